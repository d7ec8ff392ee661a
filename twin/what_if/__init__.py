"""The hours to come, tried out in the twin from the state of a live engine's moment."""
