"""Years of weddings and their load."""
