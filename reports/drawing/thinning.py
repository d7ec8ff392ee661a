"""Long series made short enough to draw, without losing what matters in them.

A day of 5 s samples is 17,280 points a line; a screen shows some 700.  Lines are thinned to the
lowest and the highest sample of each interval, in the order in which they came, so no spike is
lost; response times show the highest, costs the mean (so that areas stay right), and step lines
with few steps are exact.
"""

from __future__ import annotations

import itertools

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


POINTS = 600


INTERVALS = POINTS // 2


def envelope(t: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The line through the lowest and highest sample of each interval, in their own order.

    Where the values change at few points, exactly these points instead (for step lines).
    """
    if len(t) <= POINTS:
        return t, values
    same = (values[1:] == values[:-1]) | (np.isnan(values[1:]) & np.isnan(values[:-1]))
    changes = np.flatnonzero(~same) + 1
    if len(changes) <= POINTS // 2:
        kept = np.unique(np.concatenate(([0], changes - 1, changes, [len(t) - 1])))
        return t[kept], values[kept]
    edges = np.linspace(0, len(t), INTERVALS + 1).astype(int)
    kept_list: list[int] = []
    for first, last in itertools.pairwise(edges):
        piece = values[first:last]
        finite = np.isfinite(piece)
        if not finite.any():
            kept_list.append(first)
            continue
        low = first + int(np.argmin(np.where(finite, piece, np.inf)))
        high = first + int(np.argmax(np.where(finite, piece, -np.inf)))
        kept_list += sorted({low, high})
    kept = np.array(kept_list)
    return t[kept], values[kept]


def interval_maxima(t: FloatArray, values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The highest sample of each interval, at the middle of the interval; NaN where none is."""
    if len(t) <= POINTS:
        return t, values
    starts = np.linspace(0, len(t), POINTS + 1).astype(int)[:-1]
    return np.add.reduceat(t, starts) / np.diff([*starts, len(t)]), np.fmax.reduceat(values, starts)


def interval_means(t: FloatArray, *values: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
    """The mean of each interval, over what is not NaN."""
    if len(t) <= INTERVALS:
        return t, list(values)
    starts = np.linspace(0, len(t), INTERVALS + 1).astype(int)[:-1]
    at = np.add.reduceat(t, starts) / np.diff([*starts, len(t)])
    means = []
    for series in values:
        finite = np.isfinite(series)
        number = np.add.reduceat(finite.astype(float), starts)
        total = np.add.reduceat(np.where(finite, series, 0.0), starts)
        means.append(np.divide(total, number, out=np.full(len(at), np.nan), where=number > 0))
    return at, means


def binned(t: FloatArray, values: FloatArray, edges: FloatArray) -> FloatArray:
    """The mean in each bin of time; a bin without a sample has that of the one before."""
    where = np.clip(np.searchsorted(edges, t, side="right") - 1, 0, len(edges) - 2)
    finite = np.isfinite(values)
    number = np.bincount(where[finite], minlength=len(edges) - 1)
    total = np.bincount(where[finite], values[finite], minlength=len(edges) - 1)
    last = np.maximum.accumulate(np.where(number > 0, np.arange(len(number)), 0))
    return np.divide(total, number, out=np.zeros(len(number)), where=number > 0)[last]
