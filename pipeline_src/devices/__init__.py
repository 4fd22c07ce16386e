"""Measurements on other devices: a board that SSH reaches, and a phone that adb reaches."""
