"""LR images with the faults of photographs (``imaging/degradation.py``): nothing is learnt, and nothing is here."""
