"""The search of once-for-all systems: the latency table, the quality predictor, and the evolution."""
