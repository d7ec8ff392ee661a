"""What is known on the day of planning: earlier seasons, and the calendar booked so far.

The seasons are drawn (`scenarios.seasons.years`), but nothing of them passes here that a platform
would not know on that day: weddings that took place, the load that was measured, and what is in
the schedule.  They are drawn for a platform of a few thousand weddings at once; a larger one is a
multiple of it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.planning.paths import PastDates
from engine.planning.profile import Profile
from engine.prediction.wedding_counts import DAYS_PER_YEAR, BookingCurve, Dates, booking_curve
from scenarios.seasons.config import HolidayConfig, LongWeekend
from scenarios.seasons.days import holiday_factors
from scenarios.seasons.years import BIN_S, DAY_S, Seasons, users_scale
from twin.plan.config import PlanConfig

MARKS = {"friday": 2.0, "saturday": 3.0, "sunday": 5.0}
BESIDE, FAMILY, NEW_YEAR = 7.0, 11.0, 13.0
LEADS = np.array([0.0, 1.0, 3.0, *range(7, 378, 7), 450.0, 550.0, 700.0])


@dataclass(frozen=True, slots=True, eq=False)
class SeasonsSoFar:
    """What is known at midnight UTC before the first date that is planned for."""

    past: PastDates
    coming: Dates
    booked: FloatArray
    lead_days: FloatArray
    curve: BookingCurve


def known_at(
    seasons: Seasons,
    config: PlanConfig,
    days: Sequence[dt.date],
    profiles: Mapping[dt.date, Profile],
) -> SeasonsSoFar:
    """What is known at midnight UTC before `days`[0] of the dates before it and of `days`."""
    dates = seasons.days.dates
    first = dates.index(days[0])
    at_s = seasons.start_s + DAY_S * first
    weddings = seasons.weddings
    took_place = np.isfinite(weddings.booked_at_s) & weddings.happens
    per_date = np.bincount(weddings.day[took_place], minlength=len(dates)).astype(np.float64)
    past_rows = np.flatnonzero(weddings.day < first)
    booked = np.bincount(weddings.day[seasons.entered(at_s)], minlength=len(dates))
    coming = slice(first, first + len(days))
    origin = dates[0]
    holidays = config.seasons.holidays
    return SeasonsSoFar(
        past=PastDates(
            dates_of(dates[:first], origin, holidays),
            per_date[:first],
            _responses(seasons, config, per_date[:first], profiles),
        ),
        coming=dates_of(days, origin, holidays),
        booked=booked[coming].astype(np.float64),
        lead_days=np.arange(len(days), dtype=np.float64),
        curve=_curve(seasons, past_rows, per_date[:first]),
    )


def _curve(seasons: Seasons, rows: NDArray[np.intp], final: FloatArray) -> BookingCurve:
    weddings = seasons.weddings
    day = weddings.day[rows]
    midnight_s = seasons.start_s + DAY_S * day.astype(np.float64)
    booked = np.empty((len(final), len(LEADS)))
    for column, lead_days in enumerate(LEADS):
        asked_s = midnight_s - DAY_S * lead_days
        there = weddings.booked_at_s[rows] <= asked_s
        there &= weddings.cancelled_at_s[rows] > asked_s
        booked[:, column] = np.bincount(day[there], minlength=len(final))
    return booking_curve(LEADS, booked, final)


def _responses(
    seasons: Seasons,
    config: PlanConfig,
    per_date: FloatArray,
    profiles: Mapping[dt.date, Profile],
) -> FloatArray:
    """Logarithm of each date's measured load over what its weddings let expect (dates, entries).

    A platform knows how many registered users it had, so their growth is given.
    """
    count = len(per_date)
    bins = DAY_S // BIN_S
    measured = seasons.load[:, : count * bins].reshape(len(seasons.services), count, bins)
    measured = measured.mean(axis=2, dtype=np.float64).T
    of_date = [profiles[date] for date in seasons.days.dates[:count]]
    rows = [list(config.platform.services).index(name) for name in seasons.services]
    entering = np.stack([each.entering[rows] for each in of_date])
    same, next_day = entering[..., :bins].mean(axis=-1), entering[..., bins:].mean(axis=-1)
    weddings = per_date / (1.0 - config.demand.usual_unbooked_share)
    expected = weddings[:, None] * same
    expected[1:] += weddings[:-1, None] * next_day[:-1]
    users = users_scale(config.seasons, config.population) * seasons.days.growth[:count]
    background = np.stack([each.background[rows].mean(axis=-1) for each in of_date])
    expected += users[:, None] * background
    full = np.zeros((count, len(config.platform.services)))
    full[:, rows] = np.log(np.maximum(measured, 1e-9) / np.maximum(expected, 1e-9))
    return full


def dates_of(days: Sequence[dt.date], origin: dt.date, config: HolidayConfig) -> Dates:
    """The calendar of some dates; of the holidays only which day is which, not what it does."""
    marked = config.model_copy(
        update={
            "long_weekend": LongWeekend(**MARKS),
            "beside_long_weekend": BESIDE,
            "family_day": FAMILY,
            "new_years_eve": NEW_YEAR,
        }
    )
    kinds = np.rint(holiday_factors(marked, tuple(days))).astype(np.int64)
    return Dates(
        year=np.array([(day - origin).days / DAYS_PER_YEAR for day in days]),
        month=np.array([day.month - 1 for day in days]),
        weekday=np.array([day.weekday() for day in days]),
        kind=np.where(kinds == 1, 0, kinds),
    )
