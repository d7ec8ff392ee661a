"""`python -m engine …`, a module for each kind of sub-command."""
