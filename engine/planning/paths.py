"""Twelve months ahead as paths: ways in which weddings and people's response may go.

How many weddings each date may have is `engine.prediction.wedding_counts`.  How much people request
per head follows weekday, time of the year and drift.  A path is one draw of the growth that all
dates share, of each date's own and of the days' response.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from engine.model import FloatArray
from engine.planning.needs import Paths
from engine.prediction.wedding_counts import (
    LEAST,
    Dates,
    ExpectedCounts,
    UpdatedCounts,
    expect_counts,
    fitted,
)


@dataclass(frozen=True, slots=True, eq=False)
class PastDates:
    """What was seen: `weddings` (n,) that took place on each date.

    `response` (n, services): logarithm of the load over what the weddings would have let expect.
    """

    dates: Dates
    weddings: FloatArray
    response: FloatArray


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedDates:
    """What earlier seasons let expect of the dates to come, and how sure that is.

    `counts` of weddings; `log_response` (n, services), `response_sd` (services,) around it,
    `response_memory` its correlation from day to day and `response_mix` (services, services) the
    square root of the correlation between services.
    """

    counts: ExpectedCounts
    log_response: FloatArray
    response_sd: FloatArray
    response_memory: float
    response_mix: FloatArray


def expect(past: PastDates, coming: Dates, growth_sd: float) -> ExpectedDates:
    """What earlier seasons say of `coming`.

    Responses follow a linear model of weekday, time of the year and drift.  `growth_sd` is by how
    much a year's growth may differ from that of the years before, log.  Raises ValueError with less
    than one year of history.
    """
    counts = expect_counts(past.dates, past.weddings, coming, growth_sd)
    seasonal = _seasonal(past.dates)
    flat = np.ones(len(past.dates))
    fits = np.stack([fitted(seasonal, column, flat) for column in past.response.T], axis=1)
    left = past.response - seasonal @ fits
    sd = left.std(axis=0)
    scaled = left / np.maximum(sd, 1e-9)
    memory = float(np.clip(np.mean(scaled[1:] * scaled[:-1]), 0.0, 0.99))
    correlation = np.clip(scaled.T @ scaled / len(scaled), -1.0, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    return ExpectedDates(
        counts=counts,
        log_response=_seasonal(coming) @ fits,
        response_sd=sd,
        response_memory=memory,
        response_mix=vectors @ np.diag(np.sqrt(np.maximum(values, 0.0))),
    )


def paths(
    counts: UpdatedCounts,
    expected: ExpectedDates,
    count: int,
    rng: np.random.Generator,
    *,
    scale: float = 1.0,
) -> Paths:
    """`count` ways in which the dates may go, weddings times `scale` and by chance of so many."""
    n, services = expected.log_response.shape
    growth = counts.growth_mean + counts.growth_sd * rng.standard_normal((count, 1))
    log_weddings = counts.own_mean + counts.own_given_growth * growth
    by_chance = 1.0 / np.maximum(scale * np.exp(counts.own_mean), LEAST)
    sd = np.sqrt(counts.own_sd**2 + by_chance)
    log_weddings = log_weddings + sd * rng.standard_normal((count, n))
    drawn = rng.standard_normal((count, n, services)) @ expected.response_mix.T
    memory = expected.response_memory
    fresh = math.sqrt(1.0 - memory**2)
    for day in range(1, n):
        drawn[:, day] = memory * drawn[:, day - 1] + fresh * drawn[:, day]
    log_response = expected.log_response[None] + drawn * expected.response_sd
    return Paths(weddings=scale * np.exp(log_weddings), response=np.exp(log_response))


def _seasonal(dates: Dates) -> FloatArray:
    """Weekday, one wave a year, and the years."""
    angle = 2.0 * math.pi * dates.year
    return np.column_stack(
        (dates.weekday[:, None] == np.arange(7), np.cos(angle), np.sin(angle), dates.year)
    ).astype(np.float64)
