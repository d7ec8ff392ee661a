"""What one wedding of a date brings, hour by hour, and what is there without any.

Load is linear in weddings: a day with twice as many has twice their load, on top of everybody
else's.  So the load of a whole season is a few numbers a date times a profile, and a question such
as "how many weddings until this service is full" has an exact answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.decide.callgraph import with_calls
from engine.forecast.outlook import Grid, event_load, outlook
from engine.model import FloatArray, Response, Schedule, ServiceSpec

HOURS = 48
"""Weddings of a date run into the next day, UTC."""
BIN_S = 300.0
DAY_S = 86_400.0
COUNTER = ""
"""The service that gets one request a second from each wedding in progress."""


@dataclass(frozen=True, slots=True, eq=False)
class Profile:
    """Load in bins of equal length from the UTC midnight of a date.

    `entering` (services, bins) requests/s with which one wedding of the date enters the platform at
    each service; `in_progress` (bins,) the probability that it is in progress; both over `HOURS`
    hours.  `background` (services, bins) enters without any wedding, over the 24 hours of a day.
    """

    entering: FloatArray
    in_progress: FloatArray
    background: FloatArray

    def hourly(self) -> Profile:
        """The highest bin of each hour."""
        return Profile(
            _highest(self.entering), _highest(self.in_progress), _highest(self.background)
        )


def profile(
    kinds: Schedule,
    shares: FloatArray,
    response: Response,
    specs: Sequence[ServiceSpec],
    *,
    midnight_s: float,
) -> Profile:
    """Profile of the date that begins at `midnight_s` (epoch s, UTC), in bins of `BIN_S`.

    `kinds` are the kinds of wedding of that date, `shares` (events,) how many of all weddings each
    is.  A wedding in progress is counted as one request a second to a service of its own, so that
    it is as late as its load.
    """
    grid = Grid(midnight_s, int(HOURS * 3600 / BIN_S), BIN_S)
    weighted = replace(
        kinds,
        roles=(*kinds.roles, "wedding"),
        participants=np.column_stack((kinds.participants, np.ones(len(shares)))) * shares[:, None],
    )
    apart = [replace(spec, calls=()) for spec in specs]
    counting = _counting(response)
    counter = replace(apart[0], name=COUNTER)
    weddings = outlook(
        event_load(weighted, counting, grid), counting, (*apart, counter), grid, issued_s=midnight_s
    ).load
    day = Grid(midnight_s, int(DAY_S / BIN_S), BIN_S)
    nobody = event_load(_none_of(kinds), response, day)
    return Profile(
        entering=weddings[:-1],
        in_progress=weddings[-1],
        background=outlook(nobody, response, apart, day, issued_s=midnight_s).load,
    )


def reach(specs: Sequence[ServiceSpec]) -> FloatArray:
    """Requests that arrive at a service (row) for each that enters at another (column)."""
    return with_calls(specs, np.eye(len(specs)))


def _counting(response: Response) -> Response:
    """`response` with a role and a service that count weddings; nothing but booked weddings."""
    roles, phases, services = response.rates.shape
    rates = np.zeros((roles + 1, phases, services + 1))
    rates[:roles, :, :services] = response.rates
    rates[roles, :, services] = 1.0 / response.turnout
    return replace(
        response,
        services=(*response.services, COUNTER),
        rates=rates,
        background=np.zeros((24, services + 1)),
        unbooked_share=0.0,
    )


def _none_of(kinds: Schedule) -> Schedule:
    return replace(
        kinds,
        phase_start_s=kinds.phase_start_s[:0],
        participants=kinds.participants[:0],
        major=kinds.major[:0],
    )


def _highest(bins: FloatArray) -> FloatArray:
    each = int(3600 / BIN_S)
    highest: FloatArray = bins.reshape(*bins.shape[:-1], -1, each).max(axis=-1)
    return highest
