"""Twelve months ahead: how many weddings each date may have, and how people will respond.

Three things are known.  Earlier seasons say which months, weekdays and kinds of day are busy and
how fast the platform grows.  The calendar says what is booked so far.  The booking curve says what
share of a date's weddings usually is booked by then.  They meet in logarithms:

    log n(d) = what earlier seasons say + growth that they do not know of (g) + this date's own (e)
    log booked(d) = log n(d) + log share known at this lead + counting error

All of it is normal, so the bookings update g and every e in closed form (a random-effects model,
Searle, Casella & McCulloch 1992), and a path is one draw of g, of all e and of the days' response.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.planning.needs import Paths

DAYS_PER_YEAR = 365.25
RIDGE = 1e-3
LEAST = 0.5
"""A date without a wedding counts as half of one, where a logarithm is taken."""

Codes = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Dates:
    """What the calendar says of some dates, n of them.

    `year` (n,) years since a common origin, with fraction; `month` (n,) 0-11, `weekday` (n,) 0-6,
    Monday first; `kind` (n,) a code of the kind of day: 0 for an ordinary one, others for those
    that a holiday makes special, the same code for the same kind in each year.
    """

    year: FloatArray
    month: Codes
    weekday: Codes
    kind: Codes

    def __len__(self) -> int:
        return len(self.year)


@dataclass(frozen=True, slots=True, eq=False)
class Past:
    """What was seen: `weddings` (n,) that took place on each date.

    `response` (n, services): logarithm of the load over what the weddings would have let expect.
    """

    dates: Dates
    weddings: FloatArray
    response: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Curve:
    """The booking curve: the share of a date's weddings that is known so many days before it.

    `share` (n,) at each of `lead_days` (n,), rising; `sd` the log-standard deviation with which
    the shares of earlier dates scattered, chance of counting apart.
    """

    lead_days: FloatArray
    share: FloatArray
    sd: float

    def at(self, lead_days: FloatArray) -> FloatArray:
        """Share known at other leads, in between linear."""
        known: FloatArray = np.interp(lead_days, self.lead_days, self.share)
        return known


@dataclass(frozen=True, slots=True, eq=False)
class Expected:
    """What earlier seasons let expect of the dates to come, and how sure that is.

    `log_weddings` (n,) and its `date_sd`; `growth_sd` (n,) of what the growth since may be;
    `log_response` (n, services), `response_sd` (services,) around it, `response_memory` its
    correlation from day to day and `response_mix` (services, services) the square root of the
    correlation between services.  `growth_per_year` is that of the seasons before, log, and
    `last_year` (365,) the weddings that the model gives the dates of the last year.
    """

    log_weddings: FloatArray
    date_sd: float
    growth_sd: FloatArray
    log_response: FloatArray
    response_sd: FloatArray
    response_memory: float
    response_mix: FloatArray
    growth_per_year: float
    last_year: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """The dates' weddings after the bookings so far, as a normal distribution in logarithms.

    `median` (n,) and `sd` (n,) of each date alone.  Together they are `own_mean` + g x
    `own_given_growth` with `own_sd` (n,) around it, where the growth g that they share has
    `growth_mean` and `growth_sd`.
    """

    median: FloatArray
    sd: FloatArray
    growth_mean: float
    growth_sd: float
    own_mean: FloatArray
    own_given_growth: FloatArray
    own_sd: FloatArray


def expect(past: Past, coming: Dates, growth_sd: float) -> Expected:
    """What earlier seasons say of `coming`.

    Counts follow a log-linear model of month, weekday, kind of day and yearly growth, weighted by
    the counts; responses one of weekday, time of the year and drift.  `growth_sd` is by how much a
    year's growth may differ from that of the years before, log.  Raises ValueError with less than
    one year of history.
    """
    dates = past.dates
    if len(dates) < 365:
        raise ValueError(f"history: {len(dates)} days are too few (365 at least)")
    kinds = np.unique(dates.kind)
    weights = np.maximum(past.weddings, LEAST)
    logs = np.log(weights)
    design = _calendar(dates, kinds)
    fit = _fitted(design, logs, weights)
    residual = logs - design @ fit
    date_sd = math.sqrt(max(float(np.average(residual**2 - 1.0 / weights, weights=weights)), 1e-6))
    seasonal = _seasonal(dates)
    flat = np.ones(len(dates))
    fits = np.stack([_fitted(seasonal, column, flat) for column in past.response.T], axis=1)
    left = past.response - seasonal @ fits
    sd = left.std(axis=0)
    scaled = left / np.maximum(sd, 1e-9)
    memory = float(np.clip(np.mean(scaled[1:] * scaled[:-1]), 0.0, 0.99))
    correlation = np.clip(scaled.T @ scaled / len(scaled), -1.0, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    ahead = np.maximum(coming.year - dates.year[-1], 0.0)
    return Expected(
        log_weddings=_calendar(coming, kinds) @ fit,
        date_sd=date_sd,
        growth_sd=growth_sd * np.sqrt(ahead + 0.5),  # half a year to the middle of the last one
        log_response=_seasonal(coming) @ fits,
        response_sd=sd,
        response_memory=memory,
        response_mix=vectors @ np.diag(np.sqrt(np.maximum(values, 0.0))),
        growth_per_year=float(fit[-1]),
        last_year=np.exp((design @ fit)[-365:]),
    )


def update(expected: Expected, booked: FloatArray, lead_days: FloatArray, curve: Curve) -> Outcome:
    """What the bookings so far, `booked` (n,) at `lead_days` (n,), add to what was expected.

    The unknown growth is one draw g for all dates, scaled by each date's `growth_sd`.  A date of
    which hardly anything can be booked yet teaches hardly anything.
    """
    share = np.maximum(curve.at(lead_days), 1e-6)
    likely = np.exp(expected.log_weddings) * share
    # Half a booking more, so that none has a logarithm; what that takes away is given back.
    signal = np.log((booked + LEAST) / (likely + LEAST)) * (likely + LEAST) / likely
    counting = 1.0 / likely + curve.sd**2 * np.maximum(1.0 - share, 0.0)
    loading = expected.growth_sd
    own = expected.date_sd**2
    precision = loading**2 / (own + counting)
    growth_variance = 1.0 / (1.0 + precision.sum())
    growth_mean = growth_variance * float(np.sum(loading * signal / (own + counting)))
    gain = own / (own + counting)
    own_sd = np.sqrt(own * (1.0 - gain))
    mean = expected.log_weddings + loading * growth_mean
    mean += gain * (signal - loading * growth_mean)
    spread = (loading * (1.0 - gain)) ** 2 * growth_variance + own_sd**2
    return Outcome(
        median=np.exp(mean),
        sd=np.sqrt(spread),
        growth_mean=growth_mean,
        growth_sd=math.sqrt(growth_variance),
        own_mean=expected.log_weddings + gain * signal,
        own_given_growth=loading * (1.0 - gain),
        own_sd=own_sd,
    )


def paths(
    outcome: Outcome, expected: Expected, count: int, rng: np.random.Generator, scale: float = 1.0
) -> Paths:
    """`count` ways in which the dates may go, weddings times `scale` and by chance of so many."""
    n, services = expected.log_response.shape
    growth = outcome.growth_mean + outcome.growth_sd * rng.standard_normal((count, 1))
    log_weddings = outcome.own_mean + outcome.own_given_growth * growth
    counting = 1.0 / np.maximum(scale * np.exp(outcome.own_mean), LEAST)
    sd = np.sqrt(outcome.own_sd**2 + counting)
    log_weddings = log_weddings + sd * rng.standard_normal((count, n))
    drawn = rng.standard_normal((count, n, services)) @ expected.response_mix.T
    memory = expected.response_memory
    fresh = math.sqrt(1.0 - memory**2)
    for day in range(1, n):
        drawn[:, day] = memory * drawn[:, day - 1] + fresh * drawn[:, day]
    log_response = expected.log_response[None] + drawn * expected.response_sd
    return Paths(weddings=scale * np.exp(log_weddings), response=np.exp(log_response))


def booking_curve(lead_days: FloatArray, known: FloatArray, final: FloatArray) -> Curve:
    """The curve of earlier dates.

    `known` (dates, leads): weddings of each date in the schedule so many days before it; `final`
    (dates,) those that took place.  The scatter is that of whole months' shares, leads longer than
    a month, less what counting explains.
    """
    share = known.sum(axis=0) / max(float(final.sum()), LEAST)
    months = np.arange(len(final)) // 30
    of_month = np.stack([np.bincount(months, column) for column in known.T], axis=1)
    all_of_month = np.bincount(months, final)
    far = (lead_days >= 30.0) & (share > 0.02)
    scatter = 0.0
    if far.any() and len(all_of_month) > 1:
        ratio = np.log(
            np.maximum(of_month[:, far], LEAST) / np.maximum(all_of_month, LEAST)[:, None]
        )
        expected = np.log(share[far])
        counting = (1.0 - np.minimum(share[far], 1.0)) / np.maximum(of_month[:, far], LEAST)
        scatter = float(np.mean((ratio - expected) ** 2 - counting))
    order = np.argsort(lead_days)
    return Curve(lead_days[order], share[order], math.sqrt(max(scatter, 0.0)))


def _fitted(design: FloatArray, values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted least squares with a little ridge, so that a kind seen once cannot run away."""
    weighted = design * weights[:, None]
    scale = float(weights.mean())
    normal = design.T @ weighted + RIDGE * scale * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(normal, weighted.T @ values), dtype=np.float64)


def _calendar(dates: Dates, kinds: Codes) -> FloatArray:
    """Indicators of month, weekday and kind of day, and the years."""
    special = kinds[kinds != 0]
    return np.column_stack(
        (
            dates.month[:, None] == np.arange(12),
            dates.weekday[:, None] == np.arange(7),
            dates.kind[:, None] == special,
            dates.year,
        )
    ).astype(np.float64)


def _seasonal(dates: Dates) -> FloatArray:
    """Weekday, one wave a year, and the years."""
    angle = 2.0 * math.pi * dates.year
    return np.column_stack(
        (dates.weekday[:, None] == np.arange(7), np.cos(angle), np.sin(angle), dates.year)
    ).astype(np.float64)
