"""From rows to a figure with its interval: few estimators, so that anybody can make them again.

All intervals are two-sided with 95 %.  A limit is judged by the end of the interval that is nearer
to it: what was measured has to keep the limit even if it was lucky.

SciPy takes a second to import, and the processes that only make rows need none of it: whoever makes
an interval imports it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CONFIDENCE = 0.95
_TAIL = 0.5 - CONFIDENCE / 2.0

Row = Mapping[str, Any]


class RowsError(ValueError):
    """Rows that no figure can be made of; the message names the row and the column."""


@dataclass(frozen=True, slots=True)
class IntervalEstimate:
    """A figure with its interval, of `n` rows; an end that the rows do not give is infinite."""

    value: float
    low: float
    high: float
    n: int


def estimate(
    rows: Sequence[Row], estimator: str, *, column: str, over: str | None, q: float | None
) -> IntervalEstimate | None:
    """The figure that `rows` give, None without any that counts; raises RowsError.

    A row whose column is null counts nowhere: there was nothing to measure in it.
    """
    if estimator == "ratio":
        assert over is not None
        return ratio(_column(rows, column), _column(rows, over))
    if estimator == "rate":
        assert over is not None
        return rate(_column(rows, column), _column(rows, over))
    values = _column(rows, column)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    if estimator == "proportion":
        return proportion(values)
    if estimator == "quantile":
        assert q is not None
        return quantile(values, q)
    return mean(values)


def mean(values: NDArray[np.float64]) -> IntervalEstimate:
    """The mean of `values`, with Student's interval (Law, "Simulation Modeling", section 4.5)."""
    from scipy import stats

    n = len(values)
    middle = math.fsum(values) / n
    if n == 1:
        return IntervalEstimate(middle, -math.inf, math.inf, n)
    sd = math.sqrt(math.fsum((values - middle) ** 2) / (n - 1))
    half = float(stats.t.ppf(1.0 - _TAIL, n - 1)) * sd / math.sqrt(n)
    return IntervalEstimate(middle, middle - half, middle + half, n)


def proportion(values: NDArray[np.float64]) -> IntervalEstimate:
    """The share of ones, with the exact interval of Clopper and Pearson (1934).

    Raises RowsError for a value that is neither 0 nor 1.
    """
    wrong = values[(values != 0.0) & (values != 1.0)]
    if len(wrong):
        raise RowsError(f"a proportion is made of 0 and 1, not of {wrong[0]:g}")
    n, ones = len(values), int(values.sum())
    return IntervalEstimate(ones / n, *_exact(ones, n), n)


def ratio(above: NDArray[np.float64], below: NDArray[np.float64]) -> IntervalEstimate | None:
    """The sum of `above` over the sum of `below`, rows as clusters (Cochran 1977, section 6.3).

    Where no row has more above than below the ratio is a share, and its interval ends at 0 and 1.
    Of counts it is never narrower than the exact interval of as many independent trials, so rows
    that are all alike still have one.
    """
    from scipy import stats

    counted = np.isfinite(above) & np.isfinite(below)
    above, below = above[counted], below[counted]
    n, total = len(above), math.fsum(below)
    if n == 0 or total <= 0.0:
        return None
    value = math.fsum(above) / total
    if n == 1:
        return IntervalEstimate(value, -math.inf, math.inf, n)
    spread = math.fsum((above - value * below) ** 2) / (n - 1)
    half = float(stats.t.ppf(1.0 - _TAIL, n - 1)) * math.sqrt(n * spread) / total
    low, high = value - half, value + half
    if (above >= 0.0).all() and (below >= above).all():
        trials = (
            _exact(math.fsum(above), total) if _counts(above) and _counts(below) else (1.0, 0.0)
        )
        low, high = max(min(low, trials[0]), 0.0), min(max(high, trials[1]), 1.0)
    return IntervalEstimate(value, low, high, n)


def rate(events: NDArray[np.float64], exposure: NDArray[np.float64]) -> IntervalEstimate | None:
    """Events over what they were waited for, as alarms a week, rows as clusters.

    The interval is that of `ratio`, and never narrower than the exact one of a Poisson count
    (Garwood 1936): that nothing happened in a short time does not say that it is rare.

    Raises RowsError for what is no count.
    """
    from scipy import stats

    counted = np.isfinite(events) & np.isfinite(exposure)
    events, exposure = events[counted], exposure[counted]
    if not _counts(events) or (events < 0.0).any():
        raise RowsError("a rate is made of counts")
    n, total = len(events), math.fsum(exposure)
    if n == 0 or total <= 0.0:
        return None
    count = math.fsum(events)
    low = float(stats.chi2.ppf(_TAIL, 2.0 * count)) / 2.0 / total if count else 0.0
    high = float(stats.chi2.ppf(1.0 - _TAIL, 2.0 * count + 2.0)) / 2.0 / total
    value = count / total
    if n > 1:
        spread = math.fsum((events - value * exposure) ** 2) / (n - 1)
        half = float(stats.t.ppf(1.0 - _TAIL, n - 1)) * math.sqrt(n * spread) / total
        low, high = max(min(low, value - half), 0.0), max(high, value + half)
    return IntervalEstimate(value, low, high, n)


def _exact(ones: float, n: float) -> tuple[float, float]:
    """The exact interval of a share, `ones` of `n` (Clopper and Pearson 1934)."""
    from scipy import stats

    low = float(stats.beta.ppf(_TAIL, ones, n - ones + 1)) if ones else 0.0
    high = float(stats.beta.ppf(1.0 - _TAIL, ones + 1, n - ones)) if ones < n else 1.0
    return low, high


def _counts(values: NDArray[np.float64]) -> bool:
    """Whether all are whole numbers, but for what rounding left of them."""
    return bool(np.allclose(values, np.rint(values), rtol=0.0, atol=1e-6))


def quantile(values: NDArray[np.float64], q: float) -> IntervalEstimate:
    """The `q` quantile with an interval between order statistics, free of a distribution.

    The ranks are those of the binomial distribution (Conover, "Practical Nonparametric
    Statistics", section 3.2); with too few values for an end of the interval, it is infinite.
    """
    from scipy import stats

    ordered = np.sort(values)
    n = len(ordered)
    value = float(ordered[min(max(math.ceil(q * n), 1), n) - 1])
    lower = int(stats.binom.ppf(_TAIL, n, q))
    upper = int(stats.binom.ppf(1.0 - _TAIL, n, q)) + 1
    low = float(ordered[lower - 1]) if lower >= 1 else -math.inf
    high = float(ordered[upper - 1]) if upper <= n else math.inf
    return IntervalEstimate(value, low, high, n)


def _column(rows: Sequence[Row], name: str) -> NDArray[np.float64]:
    """A column as floats, null as NaN."""
    values = np.empty(len(rows))
    for number, row in enumerate(rows):
        if name not in row:
            raise RowsError(f"row {number} has no {name}; it has {', '.join(row) or 'nothing'}")
        value = row[name]
        if value is None:
            values[number] = math.nan
        elif isinstance(value, bool | int | float) and math.isfinite(value):
            values[number] = float(value)
        else:
            raise RowsError(f"row {number}: {name}: {value!r} is not allowed (a number or null)")
    return values
