"""What can drive a platform: the engine, the baselines to compare it with, and the registry."""
