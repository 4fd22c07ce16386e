"""The search for the best subnets of a once-for-all system."""
