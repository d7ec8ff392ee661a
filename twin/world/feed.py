"""The booked schedule as the engine gets it: refreshed now and then, never more than is booked.

Faults can stop the refresh (`stale`), let it run behind (`delay_s`), or distort what is booked
(`distort`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.forecast.outlook import BIN_S, EventLoad, Grid, event_load, outlook
from engine.model import FloatArray, Outlook, Response, Schedule, ServiceSpec
from engine.record.schema.summary import Noun
from scenarios.weddings.population import HORIZON_S, Population, cancellations, schedule

REFRESH_S = 1800.0
BEFORE_S = 3600.0
"""The outlook covers so much before the window; behind it as much as the schedule reaches."""


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """Events that came into a schedule, and events that left it; None: none."""

    came: Schedule | None = None
    left: Schedule | None = None


class BookedEvents(Protocol):
    """Events booked beforehand, as known at a time (epoch seconds)."""

    def booked(self, known_at_s: float) -> Schedule:
        """What is in the schedule at `known_at_s`."""
        ...

    def changes(self, after_s: float, until_s: float) -> Changes:
        """What came into the schedule, and what left it, in (after_s, until_s]."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Foreknowledge:
    """All that may be known beforehand of `duration_s` seconds from `start_s` (epoch seconds).

    `base` gives, for a grid, the expected requests/s (response's services, bins) that enter
    without any event, on top of `response`'s own background; None: nothing.
    """

    start_s: float
    duration_s: int
    noun: Noun
    bookings: BookedEvents
    response: Response
    base: Callable[[Grid], FloatArray] | None = None


def foreknown_weddings(population: Population, response: Response) -> Foreknowledge:
    """What is booked of a population, and how weddings usually turn into load."""
    return Foreknowledge(
        population.start_s, population.duration_s, Noun(), WeddingBookings(population), response
    )


class ScheduleFeed:
    """Hands out the outlook of the events that are booked at the time of asking."""

    def __init__(self, foreknowledge: Foreknowledge, specs: Sequence[ServiceSpec]) -> None:
        self._bookings = foreknowledge.bookings
        self._response = foreknowledge.response
        self._noun = foreknowledge.noun
        self._specs = specs
        bins = math.ceil((BEFORE_S + foreknowledge.duration_s + HORIZON_S) / BIN_S)
        self._grid = Grid(foreknowledge.start_s - BEFORE_S, bins)
        self._base = foreknowledge.base(self._grid) if foreknowledge.base is not None else None
        self._known_s = foreknowledge.start_s
        self.stale = 0
        """How many faults stop the refresh now."""
        self.delay_s = 0.0
        self.missed = 0
        """Refreshes that were due and did not come."""
        self._distortions: list[Callable[[Schedule], Schedule]] = []
        self._due_s = foreknowledge.start_s + REFRESH_S
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
            self._events, self._response, self._specs, self._grid, issued_s=self._known_s,
            base=self._base, noun=self._noun.many,
        )  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class WeddingBookings:
    """The schedule of a population."""

    population: Population

    def booked(self, known_at_s: float) -> Schedule:
        """The weddings entered and not known to be cancelled at `known_at_s`."""
        return schedule(self.population, known_at_s)

    def changes(self, after_s: float, until_s: float) -> Changes:
        """The weddings whose cancellation becomes known; none is booked on the day itself."""
        gone = cancellations(self.population, after_s, until_s)
        return Changes(left=gone if len(gone.major) else None)
