"""The product's own detectors on labelled series of others, with frozen thresholds."""
