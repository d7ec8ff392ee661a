"""The monitor: what is wrong now, since when and why; see `engine.monitoring.monitor`."""
