"""The booked schedule as the engine gets it: refreshed now and then, never more than is booked.

Faults can stop the refresh (`stale`), let it run behind (`delay_s`), or distort what is booked
(`distort`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from engine.forecast.outlook import BIN_S, EventLoad, Grid, event_load, outlook
from engine.model import Outlook, Response, Schedule, ServiceSpec
from twin.script import Script

REFRESH_S = 1800.0
BEFORE_S = 3600.0
BEYOND_S = 86_400.0


class ScheduleFeed:
    """Hands out the outlook of the events that are booked at the time of asking."""

    def __init__(self, script: Script, specs: Sequence[ServiceSpec]) -> None:
        self._bookings = script.bookings
        self._response: Response = script.response
        self._noun = script.noun
        self._specs = specs
        bins = math.ceil((BEFORE_S + script.duration_s + BEYOND_S) / BIN_S)
        self._grid = Grid(script.start_s - BEFORE_S, bins)
        self._base = script.base(self._grid) if script.base is not None else None
        self._known_s = script.start_s
        self.stale = 0
        """How many faults stop the refresh now."""
        self.delay_s = 0.0
        self.missed = 0
        """Refreshes that were due and did not come."""
        self._distortions: list[Callable[[Schedule], Schedule]] = []
        self._due_s = script.start_s + REFRESH_S
        self._events = self._all_events()
        self._outlook = self._built()

    def outlook(self, now_s: float) -> Outlook:
        """The outlook as of the last refresh (epoch seconds)."""
        if now_s >= self._due_s:
            self._due_s = now_s + REFRESH_S
            until_s = now_s - self.delay_s
            if self.stale or until_s < self._known_s:
                self.missed += 1
            else:
                self._refresh(until_s)
        return self._outlook

    def distort(self, change: Callable[[Schedule], Schedule]) -> None:
        """From now on show the schedule as `change` makes it."""
        self._distortions.append(change)
        self._rebuild()

    def put_right(self, change: Callable[[Schedule], Schedule]) -> None:
        """Take a distortion back."""
        self._distortions.remove(change)
        self._rebuild()

    def catch_up(self) -> None:
        """Let the next look at the outlook refresh it."""
        self._due_s = -math.inf

    def _refresh(self, until_s: float) -> None:
        after_s, self._known_s = self._known_s, until_s
        if self._distortions:
            self._rebuild()
            return
        changes = self._bookings.changes(after_s, until_s)
        if changes.came is not None:
            came = event_load(changes.came, self._response, self._grid)
            self._events = self._events.plus(came)
        if changes.left is not None:
            left = event_load(changes.left, self._response, self._grid)
            self._events = self._events.minus(left)
        if changes.came is not None or changes.left is not None:
            self._outlook = self._built()

    def _rebuild(self) -> None:
        self._events = self._all_events()
        self._outlook = self._built()

    def _all_events(self) -> EventLoad:
        booked = self._bookings.booked(self._known_s)
        for change in self._distortions:
            booked = change(booked)
        return event_load(booked, self._response, self._grid)

    def _built(self) -> Outlook:
        return outlook(
            self._events, self._response, self._specs, self._grid, self._known_s,
            base=self._base, noun=self._noun.many,
        )  # fmt: skip
