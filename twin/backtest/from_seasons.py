"""Cases from the twin's own seasons: real bookings, real surprises, and what was known when.

Some weeks of each quarter of the last season are forecast, service by service, with the months
before as history.  The booked load of an hour is what the schedule of the time let expect: for a
lead of k hours as it stood k hours before that day began, which is never later than the origin.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Sequence

import numpy as np

from engine.forecast.outlook import Grid, entering, event_load
from engine.model import FloatArray, Series
from engine.prediction.forecaster import NO_EVENTS
from scenarios.seasons.years import Seasons, multiplied
from twin.backtest.cases import Case
from twin.backtest.command import TEST_DAYS
from twin.backtest.rolling import RollingWindow
from twin.forecast.settings import ForecastConfig, composed, seasons_of

STEP_S = 3600.0
BIN_S = 300.0
DAY_S = 86_400.0
DAY = 24
HISTORY_DAYS = 112
WARM_DAYS = 21
REFIT_DAYS = 7
SOON = 6
"""Leads up to so many hours share the schedule of the longest of them."""
STARTS = ((2, 3), (5, 12), (7, 14), (10, 6))
"""Month and day at which a test begins, in the last season: four seasons of the year."""


def cases(
    leads: Sequence[int],
    seed: int,
    test_days: int = TEST_DAYS,
    simultaneous: int | None = None,
    *,
    advance: Callable[[float], None] = lambda _: None,
) -> list[Case]:
    """One case for each quarter and each service that users call.

    `simultaneous` weddings at once is the platform's size; by itself that of the configuration.
    """
    config = configuration(seed, simultaneous)
    seasons = multiplied(seasons_of(config), config.multiple)
    seasonal = []
    for number, (month, day) in enumerate(STARTS):
        first = dt.date(seasons.years[-1], month, day)
        seasonal += from_date(seasons, first, leads, seed, test_days=test_days)
        advance((number + 1) / len(STARTS))
    return seasonal


def from_date(
    seasons: Seasons, first: dt.date, leads: Sequence[int], seed: int, *, test_days: int
) -> list[Case]:
    """A case for each service that users call: `test_days` from `first` on, with the history.

    `first` has to be `HISTORY_DAYS` or more after the beginning of the seasons.
    """
    midnight = dt.datetime.combine(first, dt.time(), tzinfo=dt.UTC)
    first_s = midnight.timestamp() - HISTORY_DAYS * DAY_S
    days = HISTORY_DAYS + test_days
    booked = _booked(seasons, first_s, days, leads)
    load = seasons.until(first_s + days * DAY_S)
    begin = round((first_s - seasons.start_s) / STEP_S)
    test = DAY * HISTORY_DAYS
    course = RollingWindow(test - DAY * WARM_DAYS, test, DAY * days, DAY * REFIT_DAYS)
    seasonal = []
    for row, service in enumerate(seasons.services):
        values = load[row, begin : begin + DAY * days]
        if not values.any():
            continue
        series = Series(f"{first:%B}", first_s, STEP_S, values)
        seasonal.append(
            Case(series.name, service, series, NO_EVENTS, course, tuple(leads), seed,
                 booked[:, row])
        )  # fmt: skip
    return seasonal


def configuration(seed: int, simultaneous: int | None = None) -> ForecastConfig:
    """`conf/forecasting.yaml` for a platform of this size; raises ConfigError."""
    size = () if simultaneous is None else (f"population.simultaneous={simultaneous}",)
    return composed([f"seed={seed}", *size])


def _booked(seasons: Seasons, first_s: float, days: int, leads: Sequence[int]) -> FloatArray:
    """Booked load (leads, services, hours) from `first_s` on."""
    booked = np.empty((len(leads), len(seasons.services), DAY * days))
    soon = max((lead for lead in leads if lead <= SOON), default=0)
    per_hour = round(STEP_S / BIN_S)
    margin = per_hour * DAY
    for day in range(days):
        midnight_s = first_s + day * DAY_S
        hours = slice(day * DAY, (day + 1) * DAY)
        grid = Grid(midnight_s - DAY_S, 3 * margin, BIN_S)
        hourly: dict[int, FloatArray] = {}
        for row, lead in enumerate(leads):
            before = soon if lead <= SOON else lead
            if before not in hourly:
                schedule = seasons.booked(
                    midnight_s - before * STEP_S, midnight_s - DAY_S, midnight_s + 2.0 * DAY_S
                )
                events = event_load(schedule, seasons.response, grid)
                load = entering(events, seasons.response, grid)[:, margin : 2 * margin]
                hourly[before] = load.reshape(len(load), DAY, per_hour).mean(axis=2)
            booked[row, :, hours] = hourly[before]
    return booked
