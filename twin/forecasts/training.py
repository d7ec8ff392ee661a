"""Training data from seasons: what the calendar let expect each day, beside what came.

The one place where the seasons' truth becomes what a forecaster may see: bookings through
`Seasons.booked`, weather through its forecasts, load up to a moment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.capacity import call_order
from engine.forecast.issues import DAY_H, FORESEEN_DAYS, HOUR_S, HOURS, Issues, expected_load
from engine.model import FloatArray, ServiceSpec
from scenarios.seasons import DAY_S, Seasons

ISSUE_HOUR = 8
"""UTC hour of the daily issue: the quiet time between two days of weddings in the Americas."""


def issues_of(
    seasons: Seasons, specs: Sequence[ServiceSpec], first_day: int = 0, last_day: int | None = None
) -> Issues:
    """One issue for each day [first_day, last_day) of the seasons, with all that was observed."""
    last = len(seasons.days.dates) if last_day is None else last_day
    days = range(first_day, last)
    shape = (len(days), len(specs), HOURS)
    weddings, background = np.empty(shape), np.empty(shape)
    events = np.empty((len(days), HOURS))
    foreseen = np.empty((len(days), FORESEEN_DAYS))
    issued_s = seasons.start_s + DAY_S * np.array(days) + HOUR_S * ISSUE_HOUR
    zone_share = np.bincount(seasons.weddings.zone_id, minlength=len(seasons.zones)).astype(float)
    # The platform knows where its customers live; a day's own weddings would say a little more.
    zone_share /= max(zone_share.sum(), 1.0)
    for row, (day, at_s) in enumerate(zip(days, issued_s.tolist(), strict=True)):
        booked = seasons.booked(at_s, at_s - 6 * HOUR_S, at_s + HOURS * HOUR_S)
        weddings[row], background[row], events[row] = expected_load(
            booked, seasons.response, specs, at_s
        )
        for ahead in range(FORESEEN_DAYS):
            date = seasons.days.dates[min(day + ahead, len(seasons.days.dates) - 1)]
            foreseen[row, ahead] = seasons.foreseen_severity(at_s, date) @ zone_share
    observed = load_of_services(seasons.services, seasons.until(seasons.end_s), specs)
    return Issues(
        services=tuple(spec.name for spec in specs),
        issued_s=issued_s,
        weddings=weddings,
        background=background,
        events=events,
        foreseen=foreseen,
        severity=seasons.days.severity[first_day:last] @ zone_share,
        observed=observed[:, first_day * DAY_H + ISSUE_HOUR :],
    )


def load_of_services(
    entered: Sequence[str], load: FloatArray, specs: Sequence[ServiceSpec]
) -> FloatArray:
    """Requests/s arriving at each of `specs` (S, n), calls included, of what users send (E, n)."""
    index = {spec.name: i for i, spec in enumerate(specs)}
    arriving = np.zeros((len(specs), load.shape[1]))
    for name, row in zip(entered, load, strict=True):
        arriving[index[name]] += row
    for i in call_order(specs):
        for call in specs[i].calls:
            arriving[index[call.service]] += call.per_request * arriving[i]
    return arriving
