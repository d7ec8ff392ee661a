"""A booked day at another time, in less of it and with less of its load: for rehearsals.

A rehearsal on a test stack plays a scenario's day now, `speed` times as fast and with `scale` of
its load, while the engine lives in wall time.  So what is compressed is the schedule, not the
clock: an hour of the day is over in 3600 / speed seconds, but the rate of a moment stays what it is
(times `scale`), since it is the rate that an instance has to carry.  What that means for the
engine's settings is said in `conf/engine/staging.yaml`.
"""

from __future__ import annotations

from dataclasses import replace

from engine.adapters.blocking import Booked
from engine.model import Outlook


class Compressed:
    """Shows the schedule from `origin_s` on as if that were `anchor_s` (both epoch seconds)."""

    def __init__(
        self, booked: Booked, *, anchor_s: float, origin_s: float, speed: float, scale: float
    ) -> None:
        self._booked = booked
        self._anchor_s = anchor_s
        self._origin_s = origin_s
        self._speed = speed
        self._scale = scale
        self._original: Outlook | None = None
        self._shown: Outlook | None = None

    def outlook(self, now_s: float) -> Outlook:
        """The outlook as known at `now_s` of wall time."""
        booked = self._booked.outlook(self._origin_s + (now_s - self._anchor_s) * self._speed)
        if self._shown is None or booked is not self._original:
            self._original, self._shown = booked, self._compress(booked)
        return self._shown

    def _compress(self, booked: Outlook) -> Outlook:
        load, major_load = booked.load * self._scale, booked.major_load * self._scale
        for array in (load, major_load):
            array.setflags(write=False)
        return replace(
            booked,
            issued_s=self._wall_s(booked.issued_s),
            start_s=self._wall_s(booked.start_s),
            bin_s=booked.bin_s / self._speed,
            load=load,
            major_load=major_load,
            events=booked.events * self._scale,
            major_events=booked.major_events * self._scale,
        )

    def _wall_s(self, time_s: float) -> float:
        return self._anchor_s + (time_s - self._origin_s) / self._speed
