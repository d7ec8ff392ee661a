"""A deterministic digital twin of the platform, driven by the real engine in simulated time."""
