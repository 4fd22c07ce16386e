"""Two states of the pipeline beside each other: what became better or worse, file by file, beyond noise."""
