"""Training data from seasons: what the calendar let expect each day, beside what came.

The one place where the seasons' truth becomes what a forecaster may see: bookings through
`Seasons.booked`, weather through its forecasts, load up to a moment.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import load_of_services
from engine.model import ServiceSpec
from engine.prediction.issues import (
    DAY_H,
    FORESEEN_DAYS,
    HOUR_S,
    HOURS,
    Issues,
    expected_load,
)
from engine.prediction.season import Coming, SeasonsPast, season_dates
from engine.prediction.similarity import (
    CURVE_BEFORE_S,
    CURVE_BIN_S,
    CURVE_BINS,
    Codes,
    PastWeddings,
    WeddingTraits,
)
from scenarios.seasons.years import DAY_S, Seasons
from scenarios.weddings import kernels
from twin.forecast.times import ISSUE_HOUR


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
    observed = load_of_services(specs, seasons.services, seasons.until(seasons.end_s))
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


def past_weddings(
    seasons: Seasons, at_s: float, limit: int, stream: np.random.Generator
) -> PastWeddings:
    """At most `limit` weddings that were booked and over at `at_s`, half of them the latest ones.

    The others are drawn from all earlier ones, so that every month and kind of day is among them.
    """
    weddings = seasons.weddings
    over = np.flatnonzero(
        (weddings.actual_s[:, -1] + seasons.start_s <= at_s)
        & (weddings.booked_at_s <= weddings.ceremony_s + seasons.start_s)
        # Those withdrawn by the day before were in no schedule any more.
        & (weddings.cancelled_at_s > weddings.ceremony_s + seasons.start_s - DAY_S)
    )
    late = over[-(limit // 2) :] if len(over) > limit else over
    early = over[: len(over) - len(late)]
    drawn = np.sort(stream.choice(early, min(limit - len(late), len(early)), replace=False))
    rows = np.concatenate((drawn, late))
    return PastWeddings(
        services=seasons.services,
        traits=traits_of(seasons, rows),
        day=weddings.day[rows].astype(np.int64),
        curves=_curves(seasons, rows),
    )


def traits_of(seasons: Seasons, rows: NDArray[np.intp]) -> WeddingTraits:
    """What was known of the weddings of `rows` when they were booked."""
    weddings = seasons.weddings
    dates = seasons.days.dates
    weekday = np.array([date.weekday() for date in dates], dtype=np.int64)
    month = np.array([date.month for date in dates], dtype=np.int64)
    people = weddings.participants_booked[rows]
    return WeddingTraits(
        type_id=weddings.type_id[rows].astype(np.int64),
        guests=people[:, seasons.roles.index("guest")].astype(np.float64),
        vendors=people[:, seasons.roles.index("vendor")].astype(np.float64),
        weekday=weekday[weddings.day[rows]],
        month=month[weddings.day[rows]],
    )


def _curves(seasons: Seasons, rows: NDArray[np.intp]) -> NDArray[np.float32]:
    """What each wedding made, as the platform's own records would tell (n, services, bins)."""
    weddings = seasons.weddings
    first = weddings.ceremony_s[rows] + seasons.offsets_s[0] - int(CURVE_BEFORE_S)
    actual_s = weddings.actual_s[rows] - first[:, None]
    people, happens = weddings.participants_actual[rows], weddings.happens[rows]
    factor = np.exp(seasons.days.log_response[weddings.day[rows], weddings.zone_id[rows]])
    factor *= weddings.activity[rows, None]
    curves = np.zeros((len(rows), len(seasons.services), CURVE_BINS), dtype=np.float32)
    own = np.zeros((len(seasons.services), CURVE_BINS))
    for i in range(len(rows)):
        own[:] = 0.0
        one = slice(i, i + 1)
        alone = kernels.Attendance(actual_s[one], people[one], happens[one], factor[one])
        kernels.add_load(own, alone, seasons.response.rates, int(CURVE_BIN_S))
        curves[i] = own / CURVE_BIN_S
    return curves


LEADS_DAYS = np.array([0.0, 1, 2, 4, 7, 14, 21, 30, 45, 60, 90, 120, 180, 240, 300, 365, 450, 540])


def seasons_past(
    seasons: Seasons, specs: Sequence[ServiceSpec], now_s: float
) -> tuple[SeasonsPast, Codes]:
    """What is known at `now_s` of all dates that are over, and the kind of every date there is."""
    over = int(np.clip((now_s - seasons.start_s) // DAY_S - 1, 0, len(seasons.days.dates)))
    weddings = seasons.weddings
    entered = np.isfinite(weddings.booked_at_s)
    took_place = np.bincount(weddings.day[weddings.happens & entered], minlength=over)[:over]
    noon_s = seasons.start_s + DAY_S * weddings.day
    booked = np.empty((over, len(LEADS_DAYS)))
    for k, lead in enumerate(LEADS_DAYS):
        at_s = noon_s - lead * DAY_S
        there = (weddings.booked_at_s <= at_s) & (weddings.cancelled_at_s > at_s)
        booked[:, k] = np.bincount(weddings.day[there], minlength=over)[:over]
    observed = load_of_services(specs, seasons.services, seasons.until(now_s))
    hours = observed[:, ISSUE_HOUR : ISSUE_HOUR + DAY_H * over]
    epoch_day = int(seasons.start_s // DAY_S)
    kinds = np.unique(np.round(seasons.days.holiday, 6), return_inverse=True)[1].astype(np.int64)
    kinds[np.abs(seasons.days.holiday - 1.0) < 1e-6] = -1
    past = SeasonsPast(
        day=epoch_day + np.arange(over, dtype=np.int64),
        kind=kinds[:over] + 1,
        weddings=took_place.astype(np.float64),
        load=hours.reshape(len(specs), over, DAY_H),
        lead_days=LEADS_DAYS,
        booked=booked,
    )
    return past, kinds + 1


def coming_dates(seasons: Seasons, kinds: Codes, year: int, season: str, *, now_s: float) -> Coming:
    """The dates of a season with what is booked of them at `now_s`."""
    first = seasons.days.dates[0]
    rows = np.array([(date - first).days for date in season_dates(year, season)], dtype=np.int64)
    if rows.min() < 0 or rows.max() >= len(seasons.days.dates):
        raise ValueError(f"year: {year} is not allowed ({seasons.years[0]} … {seasons.years[-1]})")
    weddings = seasons.weddings
    there = (weddings.booked_at_s <= now_s) & (weddings.cancelled_at_s > now_s)
    booked = np.bincount(weddings.day[there], minlength=len(seasons.days.dates))
    return Coming(
        day=int(seasons.start_s // DAY_S) + rows,
        kind=kinds[rows],
        booked=booked[rows].astype(np.float64),
    )
