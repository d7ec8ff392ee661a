"""Controllers against each other in the same world: run, compare in pairs, write the evidence."""
