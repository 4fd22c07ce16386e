"""One run of the pipeline for the tests of several files, whatever worker runs them."""

from copies import first_run

__all__ = ["first_run"]
