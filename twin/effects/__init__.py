"""What faults do to the world."""
