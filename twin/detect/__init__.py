"""How well the monitor detects: the same world with and without each fault."""
