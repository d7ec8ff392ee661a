"""Which hours are those that matter: the start of an event and what follows, the busiest Saturdays.

Forecasts that are right on average may be wrong in just these hours, so they are judged, and their
intervals learned, apart.  What says which hours they are is known beforehand: the calendar, or what
is booked.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.model import Calendar, FloatArray

BoolArray = NDArray[np.bool_]

HOUR_S = 3600.0
DAY_S = 86_400.0
AFTER_H = 2
"""Hours after that of the start which are an event's as well."""
SATURDAY_FROM_H = 8
"""UTC hour at which a Saturday begins: quiet in the Americas, and when forecasts are issued."""
BUSIEST = 0.5
"""Share of the Saturdays that count as the busiest."""


def event_hours(calendar: Calendar, times_s: FloatArray, step_s: float) -> BoolArray:
    """Whether each step that begins at `times_s` (steps,) is in the hours of an event.

    These are the step in which it starts and those that begin in the two hours after that one.
    """
    inside = np.zeros(len(times_s), dtype=np.bool_)
    for steps in hours_of(calendar, times_s, step_s):
        inside[steps] = True
    return inside


def hours_of(calendar: Calendar, times_s: FloatArray, step_s: float) -> list[slice]:
    """For each event its steps among those that begin at `times_s` (steps,), `step_s` apart."""
    if not len(times_s):
        return [slice(0, 0)] * len(calendar.start_s)
    first = np.floor((calendar.start_s - times_s[0]) / step_s).astype(np.int64)
    length = max(round((AFTER_H + 1) * HOUR_S / step_s), 1)
    return [slice(max(step, 0), max(step + length, 0)) for step in first.tolist()]


def busiest_saturdays(expected: FloatArray, times_s: FloatArray) -> BoolArray:
    """Whether each hour (hours,) is on one of the busier half of the Saturdays among them.

    `expected` (hours,) is the load that was booked, known before.  A Saturday has 24 hours from
    08:00 UTC on.
    """
    saturday = saturdays(times_s)
    date = np.floor((times_s - SATURDAY_FROM_H * HOUR_S) / DAY_S)
    dates = np.unique(date[saturday])
    if not len(dates):
        return saturday
    booked = np.array([expected[saturday & (date == one)].mean() for one in dates])
    busy = dates[booked >= np.quantile(booked, 1.0 - BUSIEST)]
    return saturday & np.isin(date, busy)


def saturdays(times_s: FloatArray) -> BoolArray:
    """Whether each of the times (n,) is in the 24 hours from 08:00 UTC on a Saturday."""
    day = np.floor((times_s - SATURDAY_FROM_H * HOUR_S) / DAY_S)
    is_saturday: BoolArray = (day + 3.0) % 7.0 == 5.0  # the epoch began on a Thursday
    return is_saturday
