"""The run record: what a controller's run leaves behind, the same whichever world it ran in."""
