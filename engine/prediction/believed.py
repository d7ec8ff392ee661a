"""Which days and hours of a history say what is usual, and which are to be left out.

A history holds holidays, outages that were written down as zeros, weeks before anybody came, and
hours that are wrong by a factor of a thousand.  None of them is a day like any other, so none may
speak of the days to come.  Each hour is compared with the same hour of the other days of its kind,
by weighted medians throughout: no single hour and no single day can move what it is compared with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray

IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

HOURS = 24
HALF_LIFE_DAYS = 7.0
CLOSED = 0.1
"""A day below this share of the usual level of its kind was closed, whatever closed it."""
OFTEN_ENOUGH = 0.25
"""A kind of day that was open at least so often is taken to be open."""
FACTOR = 4.0
"""An hour that departs further than this from what its day lets expect is left out ..."""
DEVIATIONS = 5.0
"""... if it also departs by so many usual (robust standard) deviations."""
FACTOR_OF_EVENTS = 5.0
"""Near a known event as much more as this is nothing unusual."""
SMALL = 0.05
"""Hours below this share of the day's mean are measured against this share."""
ROUNDS = 2
FEWEST = 3
"""Days that it takes for their median not to be the wrong one of them."""
TO_NORMAL = 1.4826
"""Standard deviations of a normal distribution in one median absolute deviation."""


@dataclass(frozen=True, slots=True, eq=False)
class Believed:
    """What is to be learned from; D days, `steps` (n,) for each step of the history.

    `open` (D,) are the days that say what is usual, `share` (D,) how much of a usual day's load was
    measured and believed on each of them (0-1), `left_out` (D,) how much of it was measured and is
    not believed.  `closed` (7,) are the weekdays, Monday first, on which nothing is to be expected.
    """

    steps: BoolArray
    open: BoolArray
    share: FloatArray
    left_out: FloatArray
    closed: BoolArray


def believed(
    day: IntArray,
    kind: IntArray,
    index: IntArray,
    second: FloatArray,
    *,
    values: FloatArray,
    near_event: BoolArray,
) -> Believed:
    """Judge a history of n steps on D days.

    `day` (D,) counts days since 1970 in rising order, `kind` (D,) is what sort of day each is.
    `index` (n,) is the day and `second` (n,) the time of day of each step, `values` (n,) its finite
    load, `near_event` (n,) whether a known event is near.
    """
    hour = np.minimum((second // 3600.0).astype(np.int64), HOURS - 1)
    cell = index * HOURS + hour
    size = len(day) * HOURS
    count = np.bincount(cell, minlength=size)
    with np.errstate(invalid="ignore"):
        load = (np.bincount(cell, values, size) / count).reshape(-1, HOURS)
    eventful = (np.bincount(cell, near_event, size) > 0.0).reshape(-1, HOURS)
    weight = 0.5 ** ((day[-1] - day) / HALF_LIFE_DAYS)
    level, usual = _usual(load, kind, weight)
    expected = level[:, None] * usual[kind]
    typical = _typical(level, kind, weight)
    opened = level > CLOSED * typical[kind]
    wrong = opened[:, None] & _wrong(load, expected, eventful, opened)
    whole = usual[kind].sum(axis=1)
    part = np.where(whole[:, None] > 0.0, usual[kind], 1.0)
    part /= part.sum(axis=1)[:, None]
    measured = np.where(np.isfinite(load), part, 0.0)
    share = np.where(opened[:, None] & ~wrong, measured, 0.0).sum(axis=1)
    shut = ~opened & (measured.sum(axis=1) > 0.0)
    closed, seldom = _closed(
        day, kind, weight, opened, share=np.where(shut, measured.sum(axis=1), share)
    )
    as_usual = seldom[kind] | closed[weekday_of(day)]
    # Where a kind of day is hardly ever open, those that were are the ones to leave out.
    used = np.where(seldom[kind], ~opened, opened)
    unusual = np.where(wrong, measured, 0.0).sum(axis=1)
    left_out = np.where(as_usual, 0.0, np.where(shut, measured.sum(axis=1), unusual))
    steps = used[index] & ~wrong.ravel()[cell]
    return Believed(steps, opened & ~seldom[kind], share, left_out, closed)


def weekday_of(day: IntArray) -> IntArray:
    """0 for Mondays to 6 for Sundays, of days counted since 1970."""
    weekday: IntArray = (day + 3) % 7  # 1 January 1970 was a Thursday
    return weekday


def _usual(load: FloatArray, kind: IntArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The level of each day (D,), 0 without load, and a usual day of level 1 (kinds, HOURS)."""
    level = np.array([_median(row[row > 0.0], np.ones(HOURS)[row > 0.0]) for row in load])
    kinds = int(kind.max()) + 1
    usual = np.zeros((kinds, HOURS))
    for _ in range(ROUNDS):
        with np.errstate(invalid="ignore", divide="ignore"):
            shape = np.where(level[:, None] > 0.0, load / level[:, None], np.nan)
        pooled = _medians(shape, weight, np.full(HOURS, np.nan))
        around = 0.5 * (np.roll(pooled, 1) + np.roll(pooled, -1))
        for k in range(kinds):
            vote = pooled if kinds > 1 else around
            usual[k] = np.nan_to_num(_medians(shape[kind == k], weight[kind == k], vote))
        of_kind = usual[kind]
        counted = (load > 0.0) & (of_kind > 0.0)
        level = np.array(
            [
                _median(row[there] / own[there], own[there])
                for row, own, there in zip(load, of_kind, counted, strict=True)
            ]
        )
    return level, usual


def _typical(level: FloatArray, kind: IntArray, weight: FloatArray) -> FloatArray:
    """The median level of the days of each kind (kinds,); of few, all days speak as one more."""
    seen = level > 0.0
    everybody = _median(level[seen], weight[seen])
    typical = np.zeros(int(kind.max()) + 1)
    for k in range(len(typical)):
        own = seen & (kind == k)
        values, weights = level[own], weight[own]
        if len(values) < FEWEST:
            values, weights = np.append(values, everybody), np.ones(len(values) + 1)
        typical[k] = _median(values, weights)
    return typical


def _medians(shape: FloatArray, weight: FloatArray, vote: FloatArray) -> FloatArray:
    """The median of each hour (HOURS,) of `shape` (days, HOURS); NaN where none was measured.

    Where too few days speak, `vote` (HOURS,) speaks too, as one of them.
    """
    medians = np.full(HOURS, np.nan)
    for h in range(HOURS):
        there = np.isfinite(shape[:, h])
        values, weights = shape[there, h], weight[there]
        if len(values) < FEWEST and np.isfinite(vote[h]):
            values = np.append(values, vote[h])
            weights = np.append(np.ones(len(weights)), 1.0)
        if len(values):
            medians[h] = _median(values, weights)
    return medians


def _wrong(
    load: FloatArray, expected: FloatArray, eventful: BoolArray, opened: BoolArray
) -> BoolArray:
    """The hours (D, HOURS) that no day of its level can have had."""
    least = SMALL * expected.mean(axis=1)[:, None]
    measured = np.maximum(expected, least)
    with np.errstate(invalid="ignore", divide="ignore"):
        departure = (load - expected) / measured
    counted = departure[opened & (expected.max(axis=1) > 0.0)]
    counted = counted[np.isfinite(counted)]
    spread = TO_NORMAL * float(np.median(np.abs(counted))) if len(counted) else 0.0
    factor = np.where(eventful, FACTOR * FACTOR_OF_EVENTS, FACTOR)
    high = (load > factor * measured) & (departure > DEVIATIONS * spread)
    low = (load < expected / FACTOR) & (expected > least) & (departure < -DEVIATIONS * spread)
    wrong: BoolArray = high | low
    return wrong


def _closed(
    day: IntArray, kind: IntArray, weight: FloatArray, opened: BoolArray, *, share: FloatArray
) -> tuple[BoolArray, BoolArray]:
    """The weekdays (7,) that are always closed, and the kinds of day that seldom are open."""
    counted = share > 0.0
    kinds = int(kind.max()) + 1
    seldom = np.zeros(kinds, np.bool_)
    for k in range(kinds):
        own = counted & (kind == k)
        total = float((weight * share)[own].sum())
        if total > 0.0:
            seldom[k] = float((weight * share)[own & opened].sum()) < OFTEN_ENOUGH * total
    closed = np.zeros(7, np.bool_)
    for weekday in range(7):
        own = counted & (weekday_of(day) == weekday)
        closed[weekday] = int(own.sum()) >= 2 and not (own & opened).any()
    return closed, seldom


def _median(values: FloatArray, weights: FloatArray) -> float:
    """The weighted median, the lower one of two; 0 of nothing."""
    if not len(values):
        return 0.0
    order = np.argsort(values)
    sums = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(sums, 0.5 * sums[-1] * (1.0 - 1e-12))])
