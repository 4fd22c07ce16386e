"""A net as a graph with batch norm folded into its convolutions, and as a list of typed operations."""
