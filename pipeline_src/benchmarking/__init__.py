"""Measurements of exported files: latency, memory, quality, and single operators."""
