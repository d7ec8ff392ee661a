"""The report of what the engine's rules cost and save."""
