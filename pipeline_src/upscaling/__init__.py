"""Whole photographs: reading of every kind, tiles, 16 bits, transparency, metadata, several frames, and writing."""
