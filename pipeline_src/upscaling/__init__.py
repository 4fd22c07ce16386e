"""Upscaling and downscaling of whole photographs: tiles, transparency, metadata of PNG files."""
