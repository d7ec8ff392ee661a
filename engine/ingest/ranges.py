"""Kept samples of a range of time, each series in steps: smallest, largest, mean and count.

Rows of any spans are added up in a table of series × steps, so what is read of several tiers, and
what is not written yet, comes together without being sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.ingest.segments import SpanRows

Wanted = Callable[[bytes], bool]
"""Whether a series is asked for, by its labels as `labels.written` writes them."""


@dataclass(frozen=True, slots=True)
class RangeQuery:
    """What is asked: steps of `step_ms` from `from_ms` until before `to_ms`, of some series.

    Both times are whole steps.  Of those series `most` from the position `skip` on, in the order of
    their labels.
    """

    from_ms: int
    to_ms: int
    step_ms: int
    wanted: Wanted
    skip: int = 0
    most: int = 1_000_000

    @property
    def steps(self) -> int:
        """How many."""
        return (self.to_ms - self.from_ms) // self.step_ms


@dataclass(frozen=True, slots=True)
class SeriesRanges:
    """Series in steps: arrays (series, steps), NaN where there is no sample and `count` is 0.

    `more`: there are further series beyond these.
    """

    labels: tuple[bytes, ...]
    smallest: NDArray[np.float64]
    largest: NDArray[np.float64]
    mean: NDArray[np.float64]
    count: NDArray[np.int64]
    more: bool


def memoised(wanted: Wanted) -> Wanted:
    """The same, each series looked at once."""
    seen: dict[bytes, bool] = {}

    def once(labels: bytes) -> bool:
        if labels not in seen:
            seen[labels] = wanted(labels)
        return seen[labels]

    return once


def added_up(query: RangeQuery, parts: Sequence[SpanRows]) -> SeriesRanges:
    """The rows of all parts in the steps in which their spans begin."""
    parts = [part for part in parts if len(part)]
    used = [np.unique(part.series) for part in parts]
    there = {part.labels[k] for part, own in zip(parts, used, strict=True) for k in own.tolist()}
    order = sorted(one for one in there if query.wanted(one))
    chosen = order[query.skip : query.skip + query.most]
    numbers = {labels: k for k, labels in enumerate(chosen)}
    steps, size = query.steps, len(chosen) * query.steps
    smallest, largest = np.full(size, np.inf), np.full(size, -np.inf)
    total, count = np.zeros(size), np.zeros(size)
    for part in parts:
        row_of = np.array([numbers.get(one, -1) for one in part.labels], np.int64)
        row = row_of[part.series]
        step = (part.time_ms - query.from_ms) // query.step_ms
        at = row * steps + step
        usable = (row >= 0) & (step >= 0) & (step < steps)
        if not usable.all():
            at, part = at[usable], part.at(usable)
        np.minimum.at(smallest, at, part.smallest)
        np.maximum.at(largest, at, part.largest)
        total += np.bincount(at, part.mean * part.count, size)
        count += np.bincount(at, part.count, size)
    shape, empty = (len(chosen), steps), count == 0.0
    smallest[empty], largest[empty] = np.nan, np.nan
    with np.errstate(invalid="ignore"):
        mean = np.clip(total / count, smallest, largest)  # not outside for a rounding
    return SeriesRanges(
        tuple(chosen), smallest.reshape(shape), largest.reshape(shape), mean.reshape(shape),
        count.astype(np.int64).reshape(shape), len(order) > query.skip + query.most,
    )  # fmt: skip
