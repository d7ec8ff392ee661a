"""A schedule that is not refreshed."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from scenarios.faults.base import During, Effect, Happening
from scenarios.faults.parts import FeedPart


class ScheduleStale(During):
    """The feed is not refreshed: bookings and cancellations stay unknown."""

    kind: Literal["schedule_stale"] = "schedule_stale"

    spoils: ClassVar[str] = "feed"
    cause: ClassVar[str] = "load"
    example: ClassVar[dict[str, Any]] = {"at": 300, "duration_s": 1800}

    def effect(self, part: FeedPart, happening: Happening) -> Effect:
        """It hits each refresh that was due."""
        return _Stale(part, happening)


class _Stale(Effect):
    def __init__(self, feed: FeedPart, happening: Happening) -> None:
        self._feed, self._fire = feed, happening.fire
        self._missed = 0

    def begin(self) -> str:
        self._missed = self._feed.missed
        self._feed.stale += 1
        return "the schedule is not refreshed"

    def end(self) -> str:
        self._feed.stale -= 1
        self._feed.catch_up()
        self._fire(self._feed.missed - self._missed)
        return ""


KIND = ScheduleStale
