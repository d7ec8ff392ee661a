"""How many weddings each date may have: what earlier seasons and the bookings so far say.

Three things are known.  Earlier seasons say which months, weekdays and kinds of day are busy and
how fast the platform grows.  The calendar says what is booked so far.  The booking curve says what
share of a date's weddings usually is booked by then.  They meet in logarithms:

    log n(d) = what earlier seasons say + growth that they do not know of (g) + this date's own (e)
    log booked(d) = log n(d) + log share known at this lead + counting error

All of it is normal, so the bookings update g and every e in closed form (a random-effects model,
Searle, Casella & McCulloch 1992).  The forecast of a season and the capacity plan both go by it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray

DAYS_PER_YEAR = 365.25
RIDGE = 1e-3
LEAST = 0.5
"""A date without a wedding counts as half of one, where a logarithm is taken."""
FEWEST_DAYS = 365
"""A year at least: a month that was never seen has no level."""
GROWTH_FROM_DAYS = 2 * 364
"""With less, growth cannot be told from the time of the year."""

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
class BookingCurve:
    """The booking curve: the share of a date's weddings that is known so many days before it.

    `share` (n,) at each of `lead_days` (n,), rising; `sd` the log-standard deviation with which
    the shares of earlier dates scattered, chance of counting apart.
    """

    lead_days: FloatArray
    share: FloatArray
    sd: float

    def at(self, lead_days: FloatArray) -> FloatArray:
        """Share known at other leads, in between linear."""
        share: FloatArray = np.interp(lead_days, self.lead_days, self.share)
        return share


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedCounts:
    """What earlier seasons let expect of n dates to come, and how sure that is.

    `log_weddings` (n,) and its `date_sd`; `growth_sd` (n,) of what the growth since may be.
    `growth_per_year` is that of the seasons before, log, and `last_year` (365,) the weddings that
    the model gives the dates of the last year.
    """

    log_weddings: FloatArray
    date_sd: float
    growth_sd: FloatArray
    growth_per_year: float
    last_year: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class UpdatedCounts:
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


def expect_counts(
    dates: Dates, weddings: FloatArray, coming: Dates, growth_sd: float
) -> ExpectedCounts:
    """What the `weddings` (days,) that took place on `dates` say of the dates `coming`.

    Counts follow a log-linear model of month, weekday, kind of day and yearly growth, weighted by
    the counts; with less than two years, without growth.  `growth_sd` is by how much a year's
    growth may differ from that of the years before, log.  Raises ValueError with less than one year
    of history.
    """
    if len(dates) < FEWEST_DAYS:
        raise ValueError(f"history: {len(dates)} days are too few ({FEWEST_DAYS} at least)")
    kinds = np.unique(dates.kind)
    grows = len(dates) >= GROWTH_FROM_DAYS
    weights = np.maximum(weddings, LEAST)
    logs = np.log(weights)
    design = _calendar(dates, kinds, grows=grows)
    fit = fitted(design, logs, weights)
    residual = logs - design @ fit
    date_sd = math.sqrt(max(float(np.average(residual**2 - 1.0 / weights, weights=weights)), 1e-6))
    ahead = np.maximum(coming.year - dates.year[-1], 0.0)
    return ExpectedCounts(
        log_weddings=_calendar(coming, kinds, grows=grows) @ fit,
        date_sd=date_sd,
        growth_sd=growth_sd * np.sqrt(ahead + 0.5),  # half a year to the middle of the last one
        growth_per_year=float(fit[-1]) if grows else 0.0,
        last_year=np.exp((design @ fit)[-365:]),
    )


def update(
    expected: ExpectedCounts, booked: FloatArray, lead_days: FloatArray, curve: BookingCurve
) -> UpdatedCounts:
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
    return UpdatedCounts(
        median=np.exp(mean),
        sd=np.sqrt(spread),
        growth_mean=growth_mean,
        growth_sd=math.sqrt(growth_variance),
        own_mean=expected.log_weddings + gain * signal,
        own_given_growth=loading * (1.0 - gain),
        own_sd=own_sd,
    )


def booking_curve(lead_days: FloatArray, booked: FloatArray, final: FloatArray) -> BookingCurve:
    """The curve of earlier dates.

    `booked` (dates, leads): weddings of each date in the schedule so many days before it; `final`
    (dates,) those that took place.  The scatter is that of whole months' shares, leads longer than
    a month, less what counting explains.
    """
    share = booked.sum(axis=0) / max(float(final.sum()), LEAST)
    months = np.arange(len(final)) // 30
    of_month = np.stack([np.bincount(months, column) for column in booked.T], axis=1)
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
    return BookingCurve(lead_days[order], share[order], math.sqrt(max(scatter, 0.0)))


def fitted(design: FloatArray, values: FloatArray, weights: FloatArray) -> FloatArray:
    """Weighted least squares with a little ridge, so that a kind seen once cannot run away."""
    weighted = design * weights[:, None]
    scale = float(weights.mean())
    normal = design.T @ weighted + RIDGE * scale * np.eye(design.shape[1])
    return np.asarray(np.linalg.solve(normal, weighted.T @ values), dtype=np.float64)


def _calendar(dates: Dates, kinds: Codes, *, grows: bool) -> FloatArray:
    """Indicators of month, weekday and kind of day, and the years if they count."""
    special = kinds[kinds != 0]
    return np.column_stack(
        (
            dates.month[:, None] == np.arange(12),
            dates.weekday[:, None] == np.arange(7),
            dates.kind[:, None] == special,
            dates.year if grows else np.zeros(len(dates)),
        )
    ).astype(np.float64)
