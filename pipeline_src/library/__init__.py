"""The nets that can be named without a file: those bundled with the package, and those of the run in this folder."""
