"""How wrong a forecast was, and whether one is better than another beyond chance.

WAPE is the sum of absolute errors over the sum of the values.  MASE divides the mean absolute error
by that of "same as yesterday" before the test (Hyndman and Koehler 2006).  The pinball loss is the
mean over all quantiles, as a share of the mean value.  A peak's error is that of the day's highest
value: its height as a share of it, its time in hours.  Differences come with intervals from a
circular block bootstrap over whole days (Politis and Romano 1992), so that a bad afternoon is not
counted as twelve independent ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.prediction.forecaster import LEVELS

BoolArray = NDArray[np.bool_]

RESAMPLES = 2000
SHORT_BY = 0.2
HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Score:
    """The figures of one forecaster at one lead; shares 0-1, NaN where there is nothing."""

    steps: int
    wape: float
    mase: float
    pinball: float
    coverage_50: float
    coverage_80: float
    coverage_95: float
    width_50: float
    width_80: float
    width_95: float
    peak_height: float
    peak_time_h: float
    above_90: float
    """Share of the values that lie above the 90 % quantile."""
    far_too_low: float
    """Share of the values of which the median forecast falls short by more than `SHORT_BY`."""


@dataclass(frozen=True, slots=True)
class Difference:
    """WAPE of one less that of another, with its 95 % interval: below zero, the first is better."""

    mean: float
    low: float
    high: float

    @property
    def verdict(self) -> str:
        """Which it is: better, worse, or as good as can be told."""
        return "better" if self.high < 0.0 else "worse" if self.low > 0.0 else "same"


def score(
    medians: FloatArray,
    quantiles: FloatArray,
    values: FloatArray,
    scored: BoolArray,
    *,
    naive_error: float,
    day: int,
    step_s: float,
) -> Score:
    """Score the steps where `scored` (steps,) is true; `day` is the number of steps in one."""
    there = scored & np.isfinite(values) & np.isfinite(medians)
    error = np.abs(medians - values)[there]
    size = float(np.abs(values[there]).sum())
    mean = size / max(int(there.sum()), 1)
    interval = there & np.isfinite(quantiles).all(axis=1)
    coverage, width = {}, {}
    for share, low, high in ((50, 2, 4), (80, 1, 5), (95, 0, 6)):
        bottom, top = quantiles[interval, low], quantiles[interval, high]
        inside = (values[interval] >= bottom) & (values[interval] <= top)
        coverage[share] = _mean(inside.astype(np.float64))
        width[share] = _ratio(_mean(top - bottom), mean)
    height, time_h = _peaks(medians, values, there, day, step_s=step_s)
    return Score(
        steps=int(there.sum()),
        wape=_ratio(float(error.sum()), size),
        mase=_ratio(_mean(error), naive_error),
        pinball=_ratio(_pinball(quantiles[interval], values[interval]), mean),
        coverage_50=coverage[50],
        coverage_80=coverage[80],
        coverage_95=coverage[95],
        width_50=width[50],
        width_80=width[80],
        width_95=width[95],
        peak_height=height,
        peak_time_h=time_h,
        above_90=_mean((values > quantiles[:, 5])[interval].astype(np.float64)),
        far_too_low=share_far_too_low(medians[there], values[there]),
    )


def share_far_too_low(medians: FloatArray, values: FloatArray) -> float:
    """Share of `values` (n,) of which the forecast `medians` fall short by more than `SHORT_BY`."""
    return _mean((medians < values - SHORT_BY * np.abs(values)).astype(np.float64))


def difference(
    own: FloatArray, other: FloatArray, sizes: FloatArray, block: int, *, rng: np.random.Generator
) -> Difference:
    """WAPE with errors `own` less WAPE with errors `other` (steps,), over blocks of `block` steps.

    Steps in which either is NaN count for neither.
    """
    there = np.isfinite(own) & np.isfinite(other) & np.isfinite(sizes)
    gap, size = (own - other)[there], np.abs(sizes[there])
    if not len(gap) or size.sum() <= 0.0:
        return Difference(np.nan, np.nan, np.nan)
    length = min(block, len(gap))
    count = -(-len(gap) // length)
    starts = rng.integers(0, len(gap), (RESAMPLES, count))
    gaps, sizes_of = _blocks(gap, length), _blocks(size, length)
    weight = sizes_of[starts].sum(axis=1)
    drawn = gaps[starts].sum(axis=1)[weight > 0.0] / weight[weight > 0.0]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Difference(float(gap.sum() / size.sum()), float(low), float(high))


def seasonal_error(values: FloatArray, day: int) -> float:
    """Mean absolute error of "same as yesterday" over `values`; NaN when there is none."""
    return _mean(np.abs(values[day:] - values[:-day]))


def _blocks(values: FloatArray, length: int) -> FloatArray:
    """Sum of the block that begins at each step, the end joined to the beginning."""
    around = np.concatenate(((0.0,), np.cumsum(np.concatenate((values, values[:length])))))
    sums: FloatArray = around[length : length + len(values)] - around[: len(values)]
    return sums


def _pinball(quantiles: FloatArray, values: FloatArray) -> float:
    gap = values[:, None] - quantiles
    levels = np.array(LEVELS)
    return _mean(np.maximum(levels * gap, (levels - 1.0) * gap).ravel())


def _peaks(
    medians: FloatArray, values: FloatArray, there: BoolArray, day: int, *, step_s: float
) -> tuple[float, float]:
    """Error of each whole day's highest value: height as a share, and time in hours."""
    heights, times_h = [], []
    rows = np.flatnonzero(there)
    if not len(rows):
        return np.nan, np.nan
    for begin in range(int(rows[0]), int(rows[-1]) + 2 - day, day):
        here = slice(begin, begin + day)
        if there[here].mean() < 0.9:
            continue
        actual = np.where(there[here], values[here], -np.inf)
        expected = np.where(there[here], medians[here], -np.inf)
        top = float(actual.max())
        if top > 0.0:
            heights.append(abs(float(expected.max()) - top) / top)
            times_h.append(abs(int(expected.argmax()) - int(actual.argmax())) * step_s / HOUR_S)
    return _mean(np.array(heights)), _mean(np.array(times_h))


def _mean(values: FloatArray) -> float:
    there = values[np.isfinite(values)]
    return float(there.mean()) if len(there) else float("nan")


def _ratio(above: float, below: float) -> float:
    return above / below if below > 0.0 else float("nan")
