"""Models that are worked out off the control path: a day, a season, a wedding, any series."""
