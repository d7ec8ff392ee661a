"""The twin's randomness: `scenarios.streams`, where load tests find the same draws."""

from __future__ import annotations

from scenarios.streams import Streams

__all__ = ["Streams"]
