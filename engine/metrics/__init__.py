"""Where samples come from: one small port, and an adapter for each kind of source."""
