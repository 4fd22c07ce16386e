"""Training: the session of a stage, the loop, optimisation, learned downscaling, and progressive shrinking."""
