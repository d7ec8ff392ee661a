"""The report of a comparison of controllers."""
