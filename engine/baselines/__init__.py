"""Controllers to compare the engine with, each in one file."""
