"""Times in snapshots: JSON has no infinity, so "never yet" is null there."""

from __future__ import annotations

import math


def to_json(time_s: float) -> float | None:
    """A time, None for minus infinity."""
    return time_s if math.isfinite(time_s) else None


def from_json(value: float | None) -> float:
    """The other way round; raises TypeError or ValueError for what is no time."""
    return -math.inf if value is None else float(value)
