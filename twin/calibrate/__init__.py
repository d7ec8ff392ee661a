"""A platform file from measurements of a live stack."""
