"""The load test's part of a run's report."""
