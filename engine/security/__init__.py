"""Who may, and what they did."""
