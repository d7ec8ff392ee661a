"""What goes wrong, as data."""
