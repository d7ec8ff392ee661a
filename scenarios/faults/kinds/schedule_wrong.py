"""A schedule that is not true."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from engine.model import FloatArray, Schedule
from scenarios.faults.base import During, Effect, Happening, Victim
from scenarios.faults.draw import Draw
from scenarios.faults.parts import FeedPart


class ScheduleWrong(During):
    """The feed is wrong: events shifted in time, missing, or with a wrong number of people."""

    kind: Literal["schedule_wrong"] = "schedule_wrong"
    shift_s: Annotated[float, Field(ge=-86_400, le=86_400)] = 0.0
    missing: Annotated[float, Field(ge=0, le=1)] = 0.0
    scale: Annotated[float, Field(gt=0, le=100)] = 1.0

    spoils: ClassVar[str] = "feed"
    cause: ClassVar[str] = "load"
    example: ClassVar[dict[str, Any]] = {
        "shift_s": 3600, "missing": 0.2, "scale": 1.5, "at": 300, "duration_s": 1800,
    }  # fmt: skip

    def effect(self, part: FeedPart, happening: Happening) -> Effect:
        """It hits the events that are shown otherwise, or not."""
        return _Wrong(self, part, happening)

    @classmethod
    def drawn(cls, draw: Draw, victim: Victim) -> dict[str, Any]:
        """Hours early or late, with holes, and a tenth to ten times the people."""
        return {
            "shift_s": draw.whole(-7200, 7200), "missing": draw.real(0, 1),
            "scale": draw.log(0.1, 10),
        }  # fmt: skip


class _Wrong(Effect):
    def __init__(self, fault: ScheduleWrong, feed: FeedPart, happening: Happening) -> None:
        self._fault, self._feed, self._fire = fault, feed, happening.fire
        self._salt = int(happening.rng("schedule").integers(2**62))
        self._most = 0

    def _shown(self, booked: Schedule) -> Schedule:
        fault = self._fault
        kept = _kept(booked, fault.missing, self._salt)
        changed = fault.shift_s != 0.0 or fault.scale != 1.0
        self._most = max(self._most, len(kept) if changed else int(np.count_nonzero(~kept)))
        return replace(
            booked,
            phase_start_s=booked.phase_start_s[kept] + fault.shift_s,
            participants=booked.participants[kept] * fault.scale,
            major=booked.major[kept],
        )

    def begin(self) -> str:
        fault = self._fault
        self._feed.distort(self._shown)
        return f"events {fault.shift_s:+g} s, {fault.missing:.0%} missing, people x {fault.scale:g}"

    def end(self) -> str:
        self._feed.put_right(self._shown)
        self._fire(self._most)
        return ""


def _kept(booked: Schedule, missing: float, salt: int) -> NDArray[np.bool_]:
    """Which events (events,) a feed still shows that loses the share `missing`.

    Decided for each event by a hash of its own figures, so that it stays the same whatever else
    is booked or cancelled (the multiplier is that of splitmix64, Steele et al. 2014).
    """
    figures: FloatArray = booked.phase_start_s[:, 0] * 1e3 + booked.participants.sum(axis=1)
    bits = np.round(figures).astype(np.int64).view(np.uint64) ^ np.uint64(salt)
    bits ^= bits >> np.uint64(30)
    bits *= np.uint64(0xBF58476D1CE4E5B9)
    bits ^= bits >> np.uint64(27)
    kept: NDArray[np.bool_] = (bits >> np.uint64(11)) / 2.0**53 >= missing
    return kept


KIND = ScheduleWrong
