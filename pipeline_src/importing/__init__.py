"""Published checkpoints as weights of this pipeline: :mod:`reading` a file, and its :mod:`layouts`.

A file is read to a flat dict of names and tensors, without building a single object of the program that wrote it. The
layout of the net that the file is imported as says which of these tensors becomes which of ours.
"""
