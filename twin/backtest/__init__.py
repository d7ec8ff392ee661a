"""How good the forecasters are: on the twin's own seasons, and on anybody's traces."""
