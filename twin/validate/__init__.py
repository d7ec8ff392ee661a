"""The twin against the live stack: the same arrivals in both, equivalence instead of likeness."""
