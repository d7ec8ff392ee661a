"""The algorithms of other projects, exactly as they are, without their clients and caches."""
