"""Kept samples of a range of time, each series in steps: smallest, largest, mean and count.

Rows of any spans are added up in a table of series × steps, so what is read of several tiers, and
what is not written yet, comes together without being sorted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

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
    there: set[bytes] = set()
    for part in parts:
        used = np.flatnonzero(np.bincount(part.series, minlength=len(part.labels)))
        there.update(part.labels[k] for k in used.tolist())
    order = sorted(one for one in there if query.wanted(one))
    chosen = order[query.skip : query.skip + query.most]
    numbers = {labels: k for k, labels in enumerate(chosen)}
    table = _Table(len(chosen), query)
    for part in parts:
        row_of = np.array([numbers.get(one, -1) for one in part.labels], np.int64)
        if not table.add_even(part, row_of):
            table.add(part, row_of)
    return table.ranges(tuple(chosen), len(order) > query.skip + query.most)


class _Table:
    """Steps × series that rows are added up in: in the order in which they lie on the disk."""

    def __init__(self, series: int, query: RangeQuery) -> None:
        self._query = query
        self._shape = (query.steps, series)
        self._smallest = np.full(self._shape, np.inf)
        self._largest = np.full(self._shape, -np.inf)
        self._total, self._count = np.zeros(self._shape), np.zeros(self._shape)

    def add(self, part: SpanRows, row_of: NDArray[np.int64]) -> None:
        """Rows in any order; `row_of` is by the part's series, -1 for one that is not asked for."""
        row, step = row_of[part.series], self._step(part.time_ms)
        usable = (row >= 0) & (step >= 0) & (step < self._shape[0])
        if not usable.all():
            row, step, part = row[usable], step[usable], part.at(usable)
        at, size = step * self._shape[1] + row, self._count.size
        np.minimum.at(self._smallest.reshape(-1), at, part.smallest)
        np.maximum.at(self._largest.reshape(-1), at, part.largest)
        self._total += np.bincount(at, part.mean * part.count, size).reshape(self._shape)
        self._count += np.bincount(at, part.count, size).reshape(self._shape)

    def add_even(self, part: SpanRows, row_of: NDArray[np.int64]) -> bool:
        """The same for rows of the same series in each span, by time; whether they are such.

        That is how regular scrapes are kept, and a third of the work.
        """
        width = int(np.searchsorted(part.time_ms, part.time_ms[0], side="right"))
        if len(part) % width:
            return False
        series, times_ms = part.series.reshape(-1, width), part.time_ms.reshape(-1, width)
        even = (series == series[0]).all() and (times_ms == times_ms[:, :1]).all()
        if not even or not (np.diff(times_ms[:, 0]) > 0).all():
            return False
        step = self._step(times_ms[:, 0])
        inside = np.flatnonzero((step >= 0) & (step < self._shape[0]))
        columns = np.flatnonzero(row_of[series[0]] >= 0)
        if not len(inside) or not len(columns):
            return True
        spans = slice(int(inside[0]), int(inside[-1]) + 1)
        step = step[spans]
        starts = np.flatnonzero(np.diff(step, prepend=-1))

        def of_steps(of: np.ufunc, values: NDArray[Any]) -> NDArray[np.float64]:
            by_span: NDArray[np.float64] = values.reshape(-1, width)[spans]
            if len(starts) < len(by_span):
                by_span = of.reduceat(by_span, starts)
            return by_span if len(columns) == width else by_span[:, columns]

        into = np.ix_(step[starts], row_of[series[0]][columns])
        self._smallest[into] = np.minimum(self._smallest[into], of_steps(np.minimum, part.smallest))
        self._largest[into] = np.maximum(self._largest[into], of_steps(np.maximum, part.largest))
        self._total[into] += of_steps(np.add, part.mean * part.count)
        self._count[into] += of_steps(np.add, part.count)
        return True

    def ranges(self, labels: tuple[bytes, ...], more: bool) -> SeriesRanges:
        """What was added."""
        empty = self._count == 0.0
        self._smallest[empty], self._largest[empty] = np.nan, np.nan
        with np.errstate(invalid="ignore"):  # not outside for a rounding
            mean = np.clip(self._total / self._count, self._smallest, self._largest)
        count = self._count.astype(np.int64)
        return SeriesRanges(labels, self._smallest.T, self._largest.T, mean.T, count.T, more)

    def _step(self, time_ms: NDArray[np.int64]) -> NDArray[np.int64]:
        step: NDArray[np.int64] = (time_ms - self._query.from_ms) // self._query.step_ms
        return step
