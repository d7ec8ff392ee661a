"""The twin against the past: days that were measured, and that its platform was not fitted to."""
