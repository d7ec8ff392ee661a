"""Figures of a service out of the samples of its series, as PromQL would have them.

A gauge counts with its newest sample, for as long as `lookback_s`; a counter with what it grew by
between its two newest samples, a second (`irate`), where a value below the one before means that it
began anew at 0.  A series that was marked as ended counts no more, at once.  Quantiles are those of
`histogram_quantile`: linear within a bucket, of the growth of all histograms of the service.  Each
histogram may have bounds of its own, as native ones have: its count at another's bound is that of
its own next lower one.

Everything is arithmetic over columns: `Sorted` once a round, then an array operation a selection.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ingest.rare import STALE_BITS
from engine.ingest.settings import Take
from engine.ingest.watching import MemberArrays

_SPAN = 1 << 42
"""More milliseconds than samples of a round are apart (139 years)."""


@dataclass(frozen=True, slots=True)
class Sorted:
    """Samples by place, then time; of several with one time the first that came."""

    places: NDArray[np.int64]
    at_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    ended: NDArray[np.bool_]
    """Whether it is no value but the mark of an end."""
    keys: NDArray[np.int64]
    base_ms: int

    def where(self, stay: NDArray[np.bool_]) -> Sorted:
        """Those that `stay`."""
        return Sorted(
            self.places[stay], self.at_ms[stay], self.values[stay], self.ended[stay],
            self.keys[stay], self.base_ms,
        )  # fmt: skip


def in_order(
    places: NDArray[np.int64], at_ms: NDArray[np.int64], values: NDArray[np.float64]
) -> Sorted:
    """Samples in the order in which they came, put in that of `Sorted`."""
    base_ms = int(at_ms.min()) if len(at_ms) else 0
    keys = places * _SPAN + (at_ms - base_ms)
    order = np.argsort(keys, kind="stable")
    keys = keys[order]
    first = np.ones(len(keys), np.bool_)
    first[1:] = keys[1:] != keys[:-1]
    order, keys = order[first], keys[first]
    taken = values[order]
    return Sorted(
        places[order], at_ms[order], taken, taken.view(np.uint64) == STALE_BITS, keys, base_ms
    )


def added(
    samples: Sorted,
    places: NDArray[np.int64],
    at_ms: NDArray[np.int64],
    values: NDArray[np.float64],
) -> Sorted:
    """With others that came later."""
    return in_order(
        np.concatenate((samples.places, places)),
        np.concatenate((samples.at_ms, at_ms)),
        np.concatenate((samples.values, values)),
    )


def thinned(samples: Sorted, after_ms: int, step_ms: int) -> Sorted:
    """What is needed at times of the grid: of each place the two newest until each of them.

    Of what is no newer than `after_ms` nothing is.  However often a series is sampled, no more
    than that is sorted anew with what comes next.
    """
    if not len(samples.keys):
        return samples
    step = -(-samples.at_ms // step_ms)  # the time of the grid that is the first to see it
    last = np.ones(len(step), np.bool_)
    last[:-1] = (samples.places[1:] != samples.places[:-1]) | (step[1:] != step[:-1])
    before = np.zeros(len(step), np.bool_)
    before[:-1] = last[1:]
    return samples.where((last | before) & (samples.at_ms > after_ms))


@dataclass(frozen=True, slots=True)
class Instant:
    """What there is of each place at one time: NaN where there is nothing.

    `value` is the newest sample's, `at_ms` its time (0: there is none), `rate` the growth per
    second.
    """

    value: NDArray[np.float64]
    at_ms: NDArray[np.int64]
    rate: NDArray[np.float64]


def at_time(samples: Sorted, count: int, time_ms: int, lookback_ms: int) -> Instant:
    """What there is of each of `count` places at `time_ms`."""
    value, rate = np.full(count, np.nan), np.full(count, np.nan)
    at_ms = np.zeros(count, np.int64)
    if not len(samples.keys) or time_ms < samples.base_ms:
        return Instant(value, at_ms, rate)
    places = np.arange(count)
    until = places * _SPAN + min(time_ms - samples.base_ms, _SPAN - 1)
    newest = np.searchsorted(samples.keys, until, side="right") - 1
    there = _within(samples, newest, places, time_ms - lookback_ms)
    places, newest = places[there], newest[there]
    value[places], at_ms[places] = samples.values[newest], samples.at_ms[newest]
    before = newest - 1
    grew = _within(samples, before, places, time_ms - lookback_ms)
    places, newest, before = places[grew], newest[grew], before[grew]
    rate[places] = grown(samples.values[before], samples.values[newest]) / (
        (samples.at_ms[newest] - samples.at_ms[before]) / 1000.0
    )
    return Instant(value, at_ms, rate)


def _within(
    samples: Sorted, rows: NDArray[np.int64], places: NDArray[np.int64], after_ms: int
) -> NDArray[np.bool_]:
    """Which `rows` are there, of these `places`, no mark of an end, and not too old."""
    safe = np.maximum(rows, 0)
    there: NDArray[np.bool_] = (
        (rows >= 0) & (samples.places[safe] == places) & ~samples.ended[safe]
        & (samples.at_ms[safe] > after_ms)
    )  # fmt: skip
    return there


def grown(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much counters grew; one that is below what it was has begun anew at 0."""
    return np.where(after < before, after, after - before)


def taken(
    take: Take, quantile: float | None, members: MemberArrays, seen: Instant,
    *, owners: NDArray[np.int64], count: int,
) -> NDArray[np.float64]:  # fmt: skip
    """One figure for each of `count` owners (services, or instances); NaN where nothing is known.

    `owners` has the owner of each member.
    """
    values = (seen.rate if take in ("rate", "quantile") else seen.value)[members.places]
    there = seen.at_ms[members.places] > 0
    if take in ("rate", "quantile"):
        there &= ~np.isnan(values)  # a series that was seen once has no growth yet
    if take == "quantile":
        return _quantiles(
            0.0 if quantile is None else quantile,
            members,
            values,
            there,
            owners=owners,
            count=count,
        )
    values, owners = values[there], owners[there]
    number = np.bincount(owners, minlength=count)
    result = np.full(count, np.nan)
    if take == "largest":
        result[:] = -np.inf
        np.maximum.at(result, owners, values)
    else:
        result = np.bincount(owners, weights=values, minlength=count).astype(np.float64)
        if take == "average":
            result = result / np.maximum(number, 1)
    result[number == 0] = np.nan
    return result


def _quantiles(
    quantile: float, members: MemberArrays, values: NDArray[np.float64],
    there: NDArray[np.bool_], *, owners: NDArray[np.int64], count: int,
) -> NDArray[np.float64]:  # fmt: skip
    result = np.full(count, np.nan)
    there &= ~np.isnan(members.bounds)
    for owner in np.unique(owners[there]):
        rows = np.flatnonzero(there & (owners == owner))
        result[owner] = quantile_of(
            quantile, members.bounds[rows], members.groups[rows], values[rows]
        )
    return result


def quantile_of(
    quantile: float,
    bounds: NDArray[np.float64],
    groups: NDArray[np.int64],
    counts: NDArray[np.float64],
) -> float:
    """The quantile of several histograms together; NaN where they counted nothing.

    A row is a bucket: its upper bound, the number of its histogram, its cumulative count.
    """
    edges, column = np.unique(bounds, return_inverse=True)
    _, line = np.unique(groups, return_inverse=True)
    if not len(edges) or edges[-1] != math.inf or len(edges) < 2:
        return math.nan
    table = np.full((int(line.max()) + 1, len(edges)), np.nan)
    table[line, column] = counts
    table[:, 0] = np.where(np.isnan(table[:, 0]), 0.0, table[:, 0])
    at = np.where(np.isnan(table), 0, np.arange(len(edges)))
    filled = np.take_along_axis(table, np.maximum.accumulate(at, axis=1), axis=1)
    cumulative = np.maximum.accumulate(filled.sum(axis=0))
    total = float(cumulative[-1])
    if not total > 0.0:
        return math.nan
    rank = quantile * total
    bucket = int(np.searchsorted(cumulative, rank, side="left"))
    if bucket >= len(edges) - 1:
        return float(edges[-2])
    upper = float(edges[bucket])
    if bucket == 0 and upper <= 0.0:
        return upper
    lower = 0.0 if bucket == 0 else float(edges[bucket - 1])
    under = 0.0 if bucket == 0 else float(cumulative[bucket - 1])
    inside = float(cumulative[bucket]) - under
    return lower + (upper - lower) * ((rank - under) / inside if inside > 0.0 else 1.0)
