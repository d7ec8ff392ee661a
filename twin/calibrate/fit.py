"""From what was counted to the figures of a platform file, each with its uncertainty.

Only causes are fitted: how long a slot is held, how long a boot takes, what a hop costs.  Waits and
end-to-end times are what the twin is to predict from them; fitting those too would make any
comparison agree.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

Z95 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure and the half-width of its 95 % interval."""

    value: float
    half_width: float

    def __str__(self) -> str:
        return f"{self.value:.4g} ± {self.half_width:.2g}"


@dataclass(frozen=True, slots=True)
class Moments:
    """Sums over some durations: how many, their sum (s) and the sum of their squares (s²)."""

    count: float
    sum_s: float
    squares: float


def service_time(blocks: Sequence[Moments]) -> tuple[Estimate, Estimate]:
    """Mean (s) and squared coefficient of variation of a service time.

    `blocks` are stretches of the measurement; the intervals come from the jackknife over them
    (Quenouille 1956, Tukey 1958), so they also hold what differs from one load level to another.
    Raises ValueError for fewer than two blocks with observations.
    """
    filled = np.array([(b.count, b.sum_s, b.squares) for b in blocks if b.count > 0.0])
    if len(filled) < 2:
        raise ValueError("service time: at least two stretches with requests are needed")
    total = filled.sum(axis=0)
    left_out = np.array([_mean_and_scv(total - block) for block in filled])
    n = len(filled)
    values = _mean_and_scv(total)
    spread = np.sqrt((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    t = stdtrit(n - 1, 0.975)
    return (
        Estimate(values[0], float(t * spread[0])),
        Estimate(values[1], float(t * spread[1])),
    )


def log_normal(durations_s: Sequence[float]) -> tuple[Estimate, Estimate]:
    """Median and 95 % quantile (s) of a log-normal through `durations_s`.

    Maximum likelihood; the intervals are those of the mean of the logarithms and, for the
    quantile, of mean + 1.645 sd by the delta method.  Raises ValueError for fewer than three
    durations or one that is not positive.
    """
    if len(durations_s) < 3 or min(durations_s) <= 0.0:
        raise ValueError("boot times: at least three are needed, all above 0")
    logs = np.log(np.asarray(durations_s))
    n = len(logs)
    mean, sd = float(logs.mean()), float(logs.std(ddof=1))
    t = float(stdtrit(n - 1, 0.975))
    median, high = math.exp(mean), math.exp(mean + Z95 * sd)
    of_high = sd * math.sqrt(1.0 / n + Z95**2 / (2.0 * (n - 1)))
    return Estimate(median, median * t * sd / math.sqrt(n)), Estimate(high, high * t * of_high)


def mean(values: Sequence[float]) -> Estimate:
    """Mean of independent values; raises ValueError for fewer than two."""
    if len(values) < 2:
        raise ValueError("mean: at least two values are needed")
    array = np.asarray(values, dtype=np.float64)
    t = float(stdtrit(len(array) - 1, 0.975))
    return Estimate(float(array.mean()), t * float(array.std(ddof=1)) / math.sqrt(len(array)))


def _mean_and_scv(sums: np.ndarray) -> tuple[float, float]:
    count, sum_s, squares = (float(part) for part in sums)
    average = sum_s / count
    return average, max(squares / count / average**2 - 1.0, 0.0)
