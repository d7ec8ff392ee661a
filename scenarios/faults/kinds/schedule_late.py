"""A schedule that is behind."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from scenarios.faults.base import During, Effect, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import FeedPart


class ScheduleLate(During):
    """The feed is `delay_s` behind."""

    kind: Literal["schedule_late"] = "schedule_late"
    delay_s: Annotated[float, Field(gt=0, le=604_800)]

    spoils: ClassVar[str] = "feed"
    cause: ClassVar[str] = "load"
    example: ClassVar[dict[str, Any]] = {"delay_s": 3600, "at": 300, "duration_s": 1800}

    def effect(self, part: FeedPart, happening: Happening) -> Effect:
        """It hits each refresh that did not come."""
        return _Late(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """By a minute to a day."""
        return {"delay_s": draw.log(60, 86_400)}


class _Late(Effect):
    def __init__(self, fault: ScheduleLate, feed: FeedPart, happening: Happening) -> None:
        self._delay_s, self._feed, self._fire = fault.delay_s, feed, happening.fire
        self._missed = 0

    def begin(self) -> str:
        self._missed = self._feed.missed
        self._feed.delay_s += self._delay_s
        return f"the schedule is {self._delay_s:g} s behind"

    def end(self) -> str:
        self._feed.delay_s -= self._delay_s
        self._feed.catch_up()
        self._fire(self._feed.missed - self._missed)
        return ""


KIND = ScheduleLate
