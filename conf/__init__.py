"""The Hydra tree: what can be chosen and overridden on the command line, as YAML."""
