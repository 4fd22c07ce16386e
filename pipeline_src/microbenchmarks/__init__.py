"""Latency of single operators, as files that are made for it."""
