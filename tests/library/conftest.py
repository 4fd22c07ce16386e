"""Small nets to name."""

from library_nets import a_run, shelf

__all__ = ["a_run", "shelf"]
