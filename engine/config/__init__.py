"""Configuration: strict types at the border, and complaints that say what to put right."""
