"""The booked schedule as the engine gets it: refreshed now and then, never more than is booked."""

from __future__ import annotations

import math
from collections.abc import Sequence

from engine.forecast.outlook import BIN_S, EventLoad, Grid, event_load, outlook
from engine.model import Outlook, Response, ServiceSpec
from scenarios.population import Population, cancellations, schedule

REFRESH_S = 1800.0
BEFORE_S = 3600.0
BEYOND_S = 86_400.0


class ScheduleFeed:
    """Hands out the outlook of the weddings that are booked at the time of asking."""

    def __init__(
        self, population: Population, response: Response, specs: Sequence[ServiceSpec]
    ) -> None:
        self._population = population
        self._response = response
        self._specs = specs
        bins = math.ceil((BEFORE_S + population.duration_s + BEYOND_S) / BIN_S)
        self._grid = Grid(population.start_s - BEFORE_S, bins)
        self._known_s = population.start_s
        self._events: EventLoad = event_load(
            schedule(population, self._known_s), response, self._grid
        )
        self._outlook = self._built()

    def outlook(self, now_s: float) -> Outlook:
        """The outlook as of the last refresh (epoch seconds)."""
        if now_s >= self._known_s + REFRESH_S:
            gone = cancellations(self._population, self._known_s, now_s)
            self._known_s = now_s
            if len(gone.major):
                self._events = self._events.minus(event_load(gone, self._response, self._grid))
                self._outlook = self._built()
        return self._outlook

    def _built(self) -> Outlook:
        return outlook(self._events, self._response, self._specs, self._grid, self._known_s)
