"""Limits and baselines: whether a run is as good as it has to be."""
