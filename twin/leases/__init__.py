"""Worlds in which engines share shards and everything around them goes wrong."""
