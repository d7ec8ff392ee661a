"""The report of a hindcast."""
