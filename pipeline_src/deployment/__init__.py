"""Exported files: the formats, the card beside each file, and upscaling of photographs in tiles."""
