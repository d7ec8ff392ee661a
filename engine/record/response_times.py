"""Times counted by bucket, and what is read from the counts: one rule for every world.

The twin's queues, a staging worker and the load generator all count times in buckets and keep the
counts alone.  They differ in how fine the buckets are, and in who counts; the rest is here.

*Buckets.*  n ascending edges make n + 1 buckets: one up to the first edge, one between each two,
one above the last.  An edge belongs to the bucket below it, as Prometheus' `le` does.

*Merging.*  Counts over the same buckets add up: the counts of two lots of times together are the
sum of the counts of each.  Counts over other buckets are made into these by `Buckets.rebucketed`.

*Reading.*  Within a bucket, times are taken to lie evenly in the logarithm: as they would populate
the finer buckets of a histogram of higher resolution.  It is Prometheus' rule for native histograms
with exponential buckets (Prometheus documentation, "Query functions", `histogram_quantile`).  The
two outer buckets have one edge each, and everything in them is taken to lie on it: a quantile is
never below the first edge nor above the last.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.model import FloatArray

Values = TypeVar("Values", float, FloatArray)


def log_spaced(first_s: float, last_s: float, count: int) -> FloatArray:
    """`count` edges from `first_s` to `last_s`, each by the same factor above the one before."""
    edges_s: FloatArray = np.geomspace(first_s, last_s, count)
    return edges_s


def log_linear(lowest: int, octaves: int, parts: int) -> FloatArray:
    """The edges between `octaves * parts` buckets from 2^`lowest` s up.

    Each octave is cut into `parts` equal ones, so that the leading bits of a float are its bucket
    (Tene's HdrHistogram).  The first bucket has all below it too, the last all above it.
    """
    k = np.arange(1, octaves * parts)
    edges_s: FloatArray = 2.0 ** (lowest + k // parts) * (1.0 + (k % parts) / parts)
    return edges_s


def between(low_s: Values, high_s: Values, below: Values, up_to: Values, *, rank: Values) -> Values:
    """The time (s) at `rank` in a bucket from `low_s` to `high_s`, evenly in the logarithm.

    `below` times lie under the bucket and `up_to` under its end, `below` < `up_to`.  It is plain
    arithmetic, which compiled kernels compile into themselves.
    """
    slope = (np.log(high_s) - np.log(low_s)) / (up_to - below)
    time_s: Values = np.exp(slope * (rank - below) + np.log(low_s))
    return time_s


class Buckets:
    """Buckets of times between `edges_s` (n,); counts over them have shape (n + 1,).

    Raises ValueError unless the edges are one or more finite times above zero, ascending.
    """

    def __init__(self, edges_s: FloatArray) -> None:
        edges_s = np.array(edges_s, dtype=np.float64)
        if edges_s.ndim != 1 or not len(edges_s):
            raise ValueError(
                f"edges_s has shape {edges_s.shape}, expected (n,) with n of 1 or more"
            )
        if not (np.isfinite(edges_s).all() and edges_s[0] > 0.0 and (np.diff(edges_s) > 0.0).all()):
            raise ValueError("edges_s have to be finite, above 0 and ascending")
        edges_s.flags.writeable = False
        self.edges_s: FloatArray = edges_s
        # Where one time after the other is counted, bisecting floats is ten times as fast as NumPy.
        self._bounds = tuple(edges_s.tolist())

    def __len__(self) -> int:
        return len(self._bounds) + 1

    def bucket(self, time_s: float) -> int:
        """The bucket that counts `time_s`."""
        return bisect_left(self._bounds, time_s)

    def count(self, times_s: ArrayLike) -> NDArray[np.int64]:
        """Counts (n + 1,) of the times."""
        which = np.searchsorted(self.edges_s, np.asarray(times_s, dtype=np.float64), side="left")
        return np.bincount(which, minlength=len(self)).astype(np.int64)

    def dense(self, counts: Mapping[int, int]) -> NDArray[np.int64]:
        """Counts (n + 1,) of the few buckets that have any."""
        all_counts = np.zeros(len(self), np.int64)
        all_counts[list(counts)] = list(counts.values())
        return all_counts

    def quantiles(self, counts: NDArray[np.generic], shares: Sequence[float]) -> FloatArray:
        """The times (s) that `shares` (0-1) of those counted do not exceed; NaN without any.

        A quantile lies in the first bucket up to whose end there are so many, which is the one
        that holds the exact quantile.  Counts may be amounts, and less than nothing by what
        rounding leaves of a difference.  Raises ValueError for another number of counts, and for
        shares outside 0-1.
        """
        self._check(counts)
        wanted = np.asarray(shares, dtype=np.float64)
        if not ((wanted >= 0.0) & (wanted <= 1.0)).all():
            raise ValueError(f"shares: {list(shares)} is not allowed (0 … 1)")
        total = float(counts.sum())
        if not total > 0.0:
            return np.full(wanted.shape, np.nan)
        up_to = np.maximum.accumulate(np.maximum(np.cumsum(counts), 0.0)) / total
        below = np.concatenate(([0.0], up_to[:-1]))
        filled = np.flatnonzero(up_to > below)
        place = np.searchsorted(up_to[filled], wanted, side="left")
        which = filled[np.minimum(place, len(filled) - 1)]
        low_s = self.edges_s[np.maximum(which - 1, 0)]
        high_s = self.edges_s[np.minimum(which, len(self.edges_s) - 1)]
        times_s = between(low_s, high_s, below[which], up_to[which], rank=wanted)
        return np.clip(times_s, low_s, high_s)

    def up_to(self, counts: NDArray[np.generic], times_s: ArrayLike) -> FloatArray:
        """How many of those counted do not exceed each time: `quantiles` the other way round.

        Below the first edge there is nothing, and what lies above the last edge lies above any
        time.  Raises ValueError for another number of counts.
        """
        self._check(counts)
        at_s = np.maximum(np.asarray(times_s, dtype=np.float64), np.finfo(np.float64).tiny)
        at_edges = np.cumsum(counts[:-1]).astype(np.float64)
        result: FloatArray = np.interp(np.log(at_s), np.log(self.edges_s), at_edges, left=0.0)
        return result

    def rebucketed(self, counts: NDArray[np.generic], of: Buckets) -> FloatArray:
        """Counts (n + 1,) over these buckets, of counts over the buckets `of`."""
        at_edges = of.up_to(counts, self.edges_s)
        result: FloatArray = np.diff(at_edges, prepend=0.0, append=float(counts.sum()))
        return result

    def _check(self, counts: NDArray[np.generic]) -> None:
        if counts.shape != (len(self),):
            raise ValueError(f"counts has shape {counts.shape}, expected ({len(self)},)")
