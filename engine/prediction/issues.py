"""What was known when: one issue a day of what the calendar lets expect, beside what came.

A forecaster for the next two days learns from pairs of these.  An *issue* holds the booked outlook
as it was at that moment, for each hour from then on; later bookings and cancellations are not in
it.  Observed hours that lie at or after an issue must not change what is forecast from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.forecast.outlook import Grid, event_load, outlook
from engine.model import FloatArray, Response, Schedule, ServiceSpec

HOUR_S = 3600.0
DAY_S = 86_400.0
HOURS = 48
"""An issue reaches so far: the next day, and the one after it."""
DAY_H = 24
BINS_PER_HOUR = 12
FORESEEN_DAYS = 3
"""Days that an issue holds a weather forecast for: its own date and the next two."""


@dataclass(frozen=True, slots=True, eq=False)
class Issues:
    """D daily issues for S services, and the hourly load observed so far.

    `issued_s` (D,) epoch seconds, a day apart, on full hours.  `weddings` and `background`
    (D, S, HOURS) requests/s that the booked weddings and everybody else let expect in each hour
    from the issue on, `events` (D, HOURS) those in progress.  `foreseen` (D, FORESEEN_DAYS) is the
    severity of bad weather forecast then, `severity` (D,) what it was on the date of the issue,
    known from the next issue on (NaN: never).  `observed` (S, hours) from the first issue on, NaN
    where nothing was measured; it may end anywhere.
    """

    services: tuple[str, ...]
    issued_s: FloatArray
    weddings: FloatArray
    background: FloatArray
    events: FloatArray
    foreseen: FloatArray
    severity: FloatArray
    observed: FloatArray

    def __len__(self) -> int:
        return len(self.issued_s)

    def outcomes(self) -> FloatArray:
        """Observed load in the hours of each issue (D, S, HOURS), NaN where not known."""
        days, services = len(self), len(self.services)
        padded = np.full((services, DAY_H * days + HOURS), np.nan)
        held = min(self.observed.shape[1], padded.shape[1])
        padded[:, :held] = self.observed[:, :held]
        hours = DAY_H * np.arange(days)[:, None] + np.arange(HOURS)[None, :]
        return padded[:, hours].transpose(1, 0, 2)

    def until(self, row: int) -> Issues:
        """The first `row` issues, with what was known when issue `row` was made."""
        return replace(
            self,
            issued_s=self.issued_s[:row],
            weddings=self.weddings[:row],
            background=self.background[:row],
            events=self.events[:row],
            foreseen=self.foreseen[:row],
            severity=self.severity[:row],
            observed=self.observed[:, : DAY_H * row],
        )


def expected_load(
    schedule: Schedule,
    response: Response,
    specs: Sequence[ServiceSpec],
    from_s: float,
    *,
    hours: int = HOURS,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Mean load of each hour from `from_s` on: of weddings, of everybody else; and the weddings.

    (S, hours) and (S, hours) requests/s with calls between services, (hours,) in progress.
    """
    grid = Grid(from_s, hours * BINS_PER_HOUR, HOUR_S / BINS_PER_HOUR)
    events = event_load(schedule, response, grid)
    whole = outlook(events, response, specs, grid, issued_s=from_s)
    quiet = replace(response, background=np.zeros_like(response.background))
    weddings = outlook(events, quiet, specs, grid, issued_s=from_s).load

    def hourly(bins: FloatArray) -> FloatArray:
        means: FloatArray = bins.reshape(*bins.shape[:-1], hours, BINS_PER_HOUR).mean(axis=-1)
        return means

    return hourly(weddings), hourly(whole.load - weddings), hourly(whole.events)
