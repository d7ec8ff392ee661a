"""Measuring a live stack: load with known arrivals, and what the workers counted meanwhile."""
