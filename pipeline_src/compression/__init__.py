"""Pruning, and quantisation to int8: calibration, rounding, sensitivity, and quantisation-aware training."""
