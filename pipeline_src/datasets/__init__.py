"""Image sets, from download and verification to the training file and its patches."""
