"""The twin's platform in faster wall time, with the live engine on it: to look at and to try."""
