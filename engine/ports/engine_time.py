"""What time an engine has that is asked through its store: not always the machine's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

AHEAD_S = 60.0
"""A step that is further ahead was made by another clock."""

CLOCK, WORLD = "clock", "world"
"""In a status: the engine is one of a simulated world, and has its time."""


def engine_s(status: Mapping[str, Any], wall_s: float) -> float:
    """The engine's time at `wall_s` (both epoch seconds), as far as its last `status` says it.

    A clock other than the machine's has gone on since its last step, by one step at most.
    """
    shown_s = status.get("time_s")
    if not isinstance(shown_s, int | float):
        return wall_s
    if status.get(CLOCK) == WORLD or shown_s - wall_s > AHEAD_S:
        return float(shown_s)
    return wall_s
