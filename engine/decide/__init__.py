"""The phases of a step, in the order in which `engine.autoscaler` runs them."""
