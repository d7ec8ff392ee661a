"""The simulated world and the shell that drives a controller in it."""
