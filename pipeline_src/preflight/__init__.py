"""Checks before a run that may take days: the image sets, the disk, and the time and memory of the trainings."""
