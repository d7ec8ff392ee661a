"""Runs as a whole: their records and summaries, replications, sweeps."""
