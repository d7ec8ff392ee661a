"""`python -m twin plan`: the planner's input from the configuration, its checks in the twin."""
