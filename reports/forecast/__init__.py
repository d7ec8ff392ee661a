"""The report of a forecast."""
