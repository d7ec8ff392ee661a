"""A season ahead, week by week: how many weddings, how much load, which days are the highest.

Most weddings of next summer are not booked yet.  How many each date may have is what earlier
seasons and the bookings so far say (`wedding_counts`, as for a capacity plan).  Load follows
weddings by the hour (least squares, recent days count more) and drifts; its intervals are those by
which the last season would have been missed with what was known before it (conformal).

It is long because a season's answer has many figures, all of one draw.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from engine.decide.recommend.wedding import confidence_of
from engine.model import FloatArray, ServiceSpec
from engine.prediction.calibration import conformal_shift
from engine.prediction.forecaster import LEVELS
from engine.prediction.timeline import instances_needed
from engine.prediction.wedding_counts import (
    DAYS_PER_YEAR,
    FEWEST_DAYS,
    LEAST,
    Codes,
    Dates,
    booking_curve,
    expect_counts,
    update,
)
from engine.settings import EngineSettings

DAY_S = 86_400.0
VALID_S = 7 * DAY_S
SEASONS = {
    "spring": (3, 4, 5),
    "summer": (6, 7, 8),
    "fall": (9, 10, 11),
    "winter": (1, 2, 12),
    "all": tuple(range(1, 13)),
}
"""Months of each season, within one calendar year."""
GROWTH_SD = 0.08
"""By how much a year's growth may differ from that of the years before, log."""
RECENT_DAYS = 180.0
FEWEST_COMPARED = 8
"""With fewer weeks or busy days to compare, a year's misses tell nothing of how wide they are."""
HALF = 0.5
"""Of a week or day at least so much has to be measured for it to be compared."""
PEAK_DAYS = 10
BUFFER = 0.10
MEDIAN, Q90, Q975 = LEVELS.index(0.5), LEVELS.index(0.9), LEVELS.index(0.975)
_AIMS = np.array(LEVELS)
_SCORES = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


@dataclass(frozen=True, slots=True, eq=False)
class SeasonsPast:
    """What is known at `now_s` of D dates in a row that are over.

    `day` (D,) days since 1970, `kind` (D,) a code of what holidays make of a date (0: an ordinary
    one), `weddings` (D,) that took place.  `load` (S, D, 24) requests/s in the 24 hours of each
    date, NaN in an hour in which nothing was measured.  `booked` (D, leads) is how many were in the
    schedule `lead_days` (leads,) before.
    """

    day: Codes
    kind: Codes
    weddings: FloatArray
    load: FloatArray
    lead_days: FloatArray
    booked: FloatArray

    def until(self, count: int) -> SeasonsPast:
        """The first `count` dates."""
        return SeasonsPast(
            self.day[:count],
            self.kind[:count],
            self.weddings[:count],
            self.load[:, :count],
            self.lead_days,
            self.booked[:count],
        )


@dataclass(frozen=True, slots=True, eq=False)
class Coming:
    """n dates to forecast: `day`, `kind` as in `SeasonsPast`, `booked` (n,) in the schedule now."""

    day: Codes
    kind: Codes
    booked: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Week:
    """One week from Monday `start` on, as far as it is in the season.

    `weddings` (LEVELS,), `booked` by now; `requests` (S, LEVELS) in the week; `before` (seasons, S)
    the requests of the same days in each of the seasons before, the latest first, NaN where there
    was no such season.
    """

    start: dt.date
    days: int
    weddings: FloatArray
    booked: float
    requests: FloatArray
    before: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class PeakDay:
    """One of the highest days: `weddings` and `peak` (S, LEVELS) requests/s in its highest hour."""

    date: dt.date
    weddings: FloatArray
    peak: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class SeasonForecast:
    """The forecast, good until `valid_until_s` (epoch seconds).

    `required` (S,) instances for the season's highest hour at the planning quantile, `with_buffer`
    (S,) the same with `BUFFER` more; `capped` are the services whose own limit is reached.
    `totals` (LEVELS,) weddings; `totals_before` those of the seasons before, the latest first.
    """

    year: int
    season: str
    services: tuple[str, ...]
    generated_at_s: float
    valid_until_s: float
    weeks: tuple[Week, ...]
    peak_days: tuple[PeakDay, ...]
    required: FloatArray
    with_buffer: FloatArray
    capped: tuple[str, ...]
    totals: FloatArray
    totals_before: tuple[float, ...]
    booked: float
    confidence: float


def season_dates(year: int, season: str) -> list[dt.date]:
    """The dates of a season; raises ValueError for one that there is not."""
    if season not in SEASONS:
        raise ValueError(f'season: "{season}" is not allowed ({", ".join(SEASONS)})')
    if not 1971 <= year <= 2100:
        raise ValueError(f"year: {year} is not allowed (1971 … 2100)")
    first = dt.date(year, 1, 1)
    days = (dt.date(year + 1, 1, 1) - first).days
    dates = [first + dt.timedelta(days=i) for i in range(days)]
    return [date for date in dates if date.month in SEASONS[season]]


def forecast_season(
    past: SeasonsPast,
    coming: Coming,
    year: int,
    season: str,
    *,
    now_s: float,
    specs: Sequence[ServiceSpec],
    settings: EngineSettings,
) -> SeasonForecast:
    """Forecast the season from what is known at `now_s` (epoch seconds).

    `coming` holds its dates in order.  Hours that were not measured teach nothing; of a service
    without any that was, load and instances stay NaN.  Raises ValueError where the season is over,
    where there is less than a year of history, and where no load was measured at all.
    """
    dates = season_dates(year, season)
    today = math.floor(now_s / DAY_S)
    ordinals = np.array([_ordinal(date) for date in dates], dtype=np.int64)
    if not np.array_equal(ordinals, coming.day):
        raise ValueError(f"coming: holds other dates than {season} {year}")
    if ordinals[-1] < today:
        raise ValueError(f"year: {season} {year} is over; there is nothing to forecast")
    if len(past.day) < FEWEST_DAYS:
        raise ValueError(
            f"history: {len(past.day)} days are too few for a season (at least {FEWEST_DAYS})"
        )
    if not np.isfinite(past.load).any():
        raise ValueError(f"history: no load was measured on any of its {len(past.day)} days")
    spread_weeks, spread_peaks = _missed(past)
    weddings, count_sd, season_sd = _weddings(past, coming, today)
    model = _Load(past, coming)
    hourly = model.hourly(weddings)
    counts = weddings[:, None] * np.exp(count_sd[:, None] * _SCORES)
    day_total = hourly.sum(axis=2) * 3600.0
    day_peak = hourly.max(axis=2)[:, :, None] * np.exp(spread_peaks[:, None, :])
    weeks = _weeks(
        past,
        coming,
        weddings,
        count_sd,
        season_sd=season_sd,
        day_total=day_total,
        spread=spread_weeks,
    )
    together = np.nansum(day_peak[:, :, MEDIAN], axis=0)
    order = np.argsort(-together, kind="stable")[:PEAK_DAYS]
    peak_days = tuple(PeakDay(dates[i], counts[i], day_peak[:, i]) for i in order.tolist())
    # The highest of many days is higher than each day's median: the plan takes the upper quantile.
    highest = day_peak[:, :, Q975].max(axis=1)[:, None]
    median = day_peak[:, :, MEDIAN].max(axis=1)[:, None]
    required = instances_needed(highest, median, specs, settings)[:, 0]
    limits = np.array([spec.max_instances for spec in specs], dtype=np.float64)
    with_buffer = np.minimum(np.ceil(required * (1.0 + BUFFER)), limits)
    total = float(weddings.sum())
    total_sd = math.hypot(season_sd, float(np.sqrt(((weddings * count_sd) ** 2).sum())) / total)
    width = float(spread_weeks[:, Q90].mean())
    return SeasonForecast(
        year=year,
        season=season,
        services=tuple(spec.name for spec in specs),
        generated_at_s=now_s,
        valid_until_s=now_s + VALID_S,
        weeks=weeks,
        peak_days=peak_days,
        required=required,
        with_buffer=with_buffer,
        capped=tuple(
            spec.name for spec, count in zip(specs, required, strict=True)
            if count >= spec.max_instances
        ),
        totals=total * np.exp(total_sd * _SCORES),
        totals_before=tuple(
            float(past.weddings[rows].sum()) for rows in _before(past, coming.day) if len(rows)
        ),
        booked=float(coming.booked.sum()),
        confidence=confidence_of(math.hypot(total_sd, width / _SCORES[Q90])),
    )  # fmt: skip


def _weddings(
    past: SeasonsPast, coming: Coming, today: int
) -> tuple[FloatArray, FloatArray, float]:
    """Expected weddings of each date (n,), the log-sd of each alone (n,), and that of all."""
    lead_days = np.maximum(coming.day - today, 0).astype(np.float64)
    curve = booking_curve(past.lead_days, past.booked, past.weddings)
    expected = expect_counts(
        _dates(past.day, past.kind), past.weddings, _dates(coming.day, coming.kind), GROWTH_SD
    )
    counts = update(expected, coming.booked, lead_days, curve)
    mean = np.exp(
        counts.own_mean + counts.own_given_growth * counts.growth_mean + 0.5 * counts.own_sd**2
    )
    # What is booked is not left to chance any more.
    by_chance = np.maximum(1.0 - curve.at(lead_days), 0.0) / np.maximum(mean, LEAST)
    shared = float((mean * counts.own_given_growth).sum()) / max(float(mean.sum()), LEAST)
    return mean, np.sqrt(counts.own_sd**2 + by_chance), shared * counts.growth_sd


def _dates(day: Codes, kind: Codes) -> Dates:
    """The dates of days since 1970."""
    dates = [_date(one) for one in day.tolist()]
    return Dates(
        year=day / DAYS_PER_YEAR,
        month=np.array([date.month - 1 for date in dates], dtype=np.int64),
        weekday=np.array([date.weekday() for date in dates], dtype=np.int64),
        kind=kind,
    )


class _Load:
    """Load by the hour as a line in the number of weddings, Saturdays apart, drifting.

    Each hour of the day goes by the dates on which it was measured.
    """

    def __init__(self, past: SeasonsPast, coming: Coming) -> None:
        self._coming = coming
        services = len(past.load)
        self._lines = np.zeros((2, services, 24, 2))
        saturday = (past.day + 3) % 7 == 5
        age = (past.day[-1] - past.day).astype(np.float64)
        recent = 0.5 ** (age / RECENT_DAYS)
        there = np.isfinite(past.load)
        x = np.column_stack((past.weddings, np.ones(len(past.day))))
        weight = recent / np.maximum(past.weddings, 1.0)
        for group in (0, 1):
            rows = np.flatnonzero(saturday == bool(group))
            self._lines[group] = _lines(x[rows], weight[rows], past.load[:, rows])
        # A kind of day that was never measured goes by the other one.
        for group in (0, 1):
            own, other = self._lines[group], self._lines[1 - group]
            self._lines[group] = np.where(np.isnan(own), other, own)
        self._drift = np.zeros(services)
        # Seen from the middle of what was learned from: what is missing moves it.
        middle = past.day[-1] - RECENT_DAYS / math.log(2.0)
        counted = recent * there.mean(axis=2)
        with np.errstate(invalid="ignore"):  # 0 / 0 for a service that was never measured
            moved = np.average(age, weights=recent) - (counted @ age) / counted.sum(axis=1)
        self._ahead = (coming.day[None, :] - (middle + moved)[:, None]) / DAYS_PER_YEAR
        if len(past.day) >= 2 * 364:
            lines = self._lines[saturday.astype(np.int64)]
            fitted = np.einsum("nshk,nk->snh", lines, x)
            observed = np.where(there, past.load, 0.0).sum(axis=2)
            modelled = np.maximum(np.where(there, fitted, 0.0).sum(axis=2), 1e-9)
            ratio = np.log(np.maximum(observed, 1e-9) / modelled)
            for s in range(services):
                rows = np.flatnonzero(there[s].any(axis=1))
                if len(rows) >= 364:
                    slope = np.polyfit(
                        -age[rows] / DAYS_PER_YEAR, ratio[s, rows], 1, w=np.sqrt(modelled[s, rows])
                    )[0]
                    self._drift[s] = float(np.clip(slope, -0.3, 0.3))

    def hourly(self, weddings: FloatArray) -> FloatArray:
        """Requests/s (S, n, 24) on the coming dates, with so many weddings each."""
        group = ((self._coming.day + 3) % 7 == 5).astype(np.int64)
        x = np.column_stack((weddings, np.ones(len(weddings))))
        load = np.einsum("nshk,nk->snh", self._lines[group], x)
        drift = np.exp(self._drift[:, None] * self._ahead)
        drifted: FloatArray = np.maximum(load, 0.0) * drift[:, :, None]
        return drifted


def _lines(x: FloatArray, weight: FloatArray, load: FloatArray) -> FloatArray:
    """Weighted least squares of load (S, n, 24) on x (n, 2): (S, 24, 2), over what was measured.

    An hour of the day that never was lies between its neighbours; NaN for a service without any.
    """
    services = len(load)
    values = load.transpose(1, 0, 2).reshape(len(x), -1)
    there = np.isfinite(values)
    counted = there * weight[:, None]
    gram = np.einsum("nc,ni,nj->cij", counted, x, x) + 1e-9 * np.eye(2)
    moment = np.einsum("nc,ni->ci", np.where(there, values, 0.0) * weight[:, None], x)
    fits = np.linalg.solve(gram, moment[:, :, None])[:, :, 0]
    fits[~there.any(axis=0)] = np.nan
    lines = fits.reshape(services, 24, 2)
    hours = np.arange(24.0)
    for of_service in lines:
        measured = np.isfinite(of_service[:, 0])
        if measured.any() and not measured.all():
            for k in (0, 1):
                column = of_service[measured, k]
                of_service[:, k] = np.interp(hours, hours[measured], column, period=24.0)
    return lines


def _missed(past: SeasonsPast) -> tuple[FloatArray, FloatArray]:
    """By how much the last year would have been missed: log quantiles (S, LEVELS), twice.

    Of a week's requests and of a busy day's highest hour, from what was known a year before the
    last date.  Hours that were measured are compared, in weeks and on days of which half was.  With
    less than two years, or too little to compare, a spread of 0.25 has to do.
    """
    services = len(past.load)
    usual = np.tile(0.25 * _SCORES, (services, 1))
    if len(past.day) < FEWEST_DAYS + 364:
        return usual, usual
    split = len(past.day) - 364
    before = past.until(split)
    longest = past.lead_days.argsort()
    lead = np.arange(364, dtype=np.float64)
    booked = np.stack([np.interp(lead[i], past.lead_days[longest], past.booked[split + i][longest])
                      for i in range(364)])  # fmt: skip
    then = Coming(past.day[split:], past.kind[split:], booked)
    weddings, _, _ = _weddings(before, then, int(past.day[split]))
    expected = _Load(before, then).hourly(weddings)
    observed = past.load[:, split:]
    weeks = 364 // 7
    busy = weddings >= np.median(weddings)
    there = np.isfinite(observed)
    observed, expected = np.where(there, observed, 0.0), np.where(there, expected, 0.0)
    measured = there.mean(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        of_weeks = np.log(
            observed.sum(axis=2).reshape(services, weeks, 7).sum(axis=2)
            / expected.sum(axis=2).reshape(services, weeks, 7).sum(axis=2)
        )
        of_peaks = np.log(observed.max(axis=2) / expected.max(axis=2))
    of_weeks[measured.reshape(services, weeks, 7).mean(axis=2) < HALF] = np.nan
    of_peaks[measured < HALF] = np.nan
    return _spread(of_weeks), _spread(of_peaks[:, busy])


def _spread(ratio: FloatArray) -> FloatArray:
    """Quantiles (S, LEVELS) of log ratios (S, n) around their median.

    What was missed in the middle was that year's luck; how far apart they were is not.
    """
    nothing = np.zeros((ratio.shape[1], len(LEVELS)))
    spread = np.tile(0.25 * _SCORES, (len(ratio), 1))
    for s, row in enumerate(ratio):
        compared = np.where(np.isfinite(row), row, np.nan)
        if np.count_nonzero(np.isfinite(compared)) >= FEWEST_COMPARED:
            shift = conformal_shift(nothing, compared, _AIMS)
            spread[s] = shift - shift[MEDIAN]
    return spread


def _weeks(
    past: SeasonsPast,
    coming: Coming,
    weddings: FloatArray,
    count_sd: FloatArray,
    *,
    season_sd: float,
    day_total: FloatArray,
    spread: FloatArray,
) -> tuple[Week, ...]:
    before = _before(past, coming.day)
    lookup = [dict(zip(past.day[rows].tolist(), rows.tolist(), strict=True)) for rows in before]
    monday = coming.day - (coming.day + 3) % 7
    weeks = []
    for start in np.unique(monday).tolist():
        rows = np.flatnonzero(monday == start)
        mean = float(weddings[rows].sum())
        own = math.sqrt(float(((weddings[rows] * count_sd[rows]) ** 2).sum())) / max(mean, 1e-9)
        counts = mean * np.exp(math.hypot(own, season_sd) * _SCORES)
        requests = day_total[:, rows].sum(axis=1)[:, None] * np.exp(spread)
        earlier = np.full((len(before), len(day_total)), np.nan)
        for k, by_day in enumerate(lookup):
            same = [day - 364 * (k + 1) for day in coming.day[rows].tolist()]
            if all(day in by_day for day in same):
                there = np.array([by_day[day] for day in same])
                earlier[k] = _requests(past.load[:, there], past.weddings[there])
        first = int(coming.day[rows[0]])
        weeks.append(
            Week(
                _date(first), len(rows), counts, float(coming.booked[rows].sum()), requests, earlier
            )
        )
    return tuple(weeks)


def _requests(load: FloatArray, weddings: FloatArray) -> FloatArray:
    """Requests (S,) of all hours of `load` (S, n, 24) by those that were measured.

    A date counts by its `weddings` (n,).  NaN where less than half was measured.
    """
    there = np.isfinite(load)
    measured = np.average(there.mean(axis=2), axis=1, weights=weddings + 1.0)
    total = np.where(there, load, 0.0).sum(axis=(1, 2)) * 3600.0
    requests: FloatArray = np.where(measured < HALF, np.nan, total / np.maximum(measured, 1e-9))
    return requests


def _before(past: SeasonsPast, day: Codes) -> list[NDArray[np.intp]]:
    """Rows of the same dates, weekday for weekday, in each of the three seasons before."""
    return [np.flatnonzero(np.isin(past.day, day - 364 * k)) for k in (1, 2, 3)]


def _ordinal(date: dt.date) -> int:
    return (date - dt.date(1970, 1, 1)).days


def _date(day: int) -> dt.date:
    return dt.date(1970, 1, 1) + dt.timedelta(days=day)
