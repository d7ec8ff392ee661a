"""What lies around a step: the cycle, the shell in wall time, troubles.  No policy."""
