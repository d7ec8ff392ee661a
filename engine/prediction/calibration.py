"""Quantiles that hold what they promise: split conformal, then adapted day by day.

A model's 90 % quantile is only as good as its training.  Each quantile is moved by what it missed
on data that the model has not seen (split conformal prediction, one side at a time: Vovk et al.
2005; Romano et al. 2019 for quantile models), and from then on a little after every batch of
outcomes, so that a world that drifts does not leave it behind (quantile tracking: Gibbs and Candès
2021; Angelopoulos et al. 2023).  All on the scale on which errors add, usually logarithmic.
"""

from __future__ import annotations

import math

import numpy as np

from engine.model import FloatArray

INTERVALS = (0.5, 0.8, 0.95)
STEP = 0.05
"""By how much a quantile moves for the share by which a batch was covered too little or too much,
relative to the width of the 80 % interval: some 100 batches to follow a spread that doubles."""
ROUNDING = 1e-9
"""Share of a value by which it may miss an interval for the sake of its last digits."""


def conformal_shift(predicted: FloatArray, observed: FloatArray, levels: FloatArray) -> FloatArray:
    """What to add to each predicted quantile so that it covers its share of `observed`.

    `predicted` (n, levels), `observed` (n,) not used for training, `levels` (levels,) in (0, 1).
    Zero where nothing was observed.  With n scores the quantile of n + 1 is taken, on its outer
    side, so few scores make wide intervals.
    """
    there = np.isfinite(observed) & np.isfinite(predicted).all(axis=1)
    count = int(there.sum())
    shift = np.zeros(len(levels))
    if not count:
        return shift
    scores = observed[there, None] - predicted[there]
    for k, level in enumerate(levels.tolist()):
        share = min(max(level + (level - 0.5) / count, 0.0), 1.0)
        shift[k] = np.quantile(scores[:, k], share)
    return shift


def adapted_shifts(
    predicted: FloatArray,
    observed: FloatArray,
    levels: FloatArray,
    first: FloatArray,
    *,
    delay: int = 1,
    step: float = STEP,
) -> FloatArray:
    """The shift in force for each of B batches of forecasts (B, levels), starting from `first`.

    `predicted` (B, n, levels) without any shift, `observed` (B, n), NaN where nothing was or is yet
    observed.  Batch b learns from the batches up to b - `delay` alone.  The median stays where it
    is: to follow the level is the model's business, and it has more to go by than hits and misses.
    """
    batches = len(predicted)
    moving = np.abs(levels - 0.5) > 1e-9
    shifts = np.empty((batches, len(levels)))
    current = first.copy()
    # Per batch, so that nothing that comes later decides how far it moves now.
    width = np.array([_width(batch, levels) for batch in predicted])
    for b in range(batches):
        judged = b - delay
        if judged >= 0:
            there = np.isfinite(observed[judged]) & np.isfinite(predicted[judged]).all(axis=1)
            if there.any():
                bound = predicted[judged][there] + shifts[judged]
                covered = (observed[judged][there, None] <= bound).mean(axis=0)
                current = current + step * width[judged] * moving * (levels - covered)
        shifts[b] = current
    return shifts


def coverage(
    quantiles: FloatArray, observed: FloatArray, levels: FloatArray
) -> dict[float, tuple[float, float]]:
    """Share of `observed` (n,) inside each of `INTERVALS`, and the interval's mean width.

    `quantiles` (n, levels) hold the ends of the intervals among their `levels`.
    """
    there = np.isfinite(observed) & np.isfinite(quantiles).all(axis=1)
    shares = {}
    for interval in INTERVALS:
        low, high = (_column(quantiles, levels, 0.5 + side * interval / 2) for side in (-1, 1))
        rounding = ROUNDING * np.abs(observed[there])
        inside = observed[there] >= low[there] - rounding
        inside &= observed[there] <= high[there] + rounding
        width = (high - low)[there]
        shares[interval] = (
            (float(inside.mean()), float(width.mean())) if there.any() else (math.nan, math.nan)
        )
    return shares


def _column(quantiles: FloatArray, levels: FloatArray, level: float) -> FloatArray:
    at = int(np.argmin(np.abs(levels - level)))
    if abs(float(levels[at]) - level) > 1e-6:
        raise ValueError(f"no quantile at {level:g} among {', '.join(f'{x:g}' for x in levels)}")
    column: FloatArray = quantiles[:, at]
    return column


def _width(batch: FloatArray, levels: FloatArray) -> float:
    """Mean width between the outermost quantiles within 10-90 %, at least a thousandth."""
    inner = (levels >= 0.1 - 1e-9) & (levels <= 0.9 + 1e-9)
    there = batch[np.isfinite(batch).all(axis=1)][:, inner]
    return max(float((there[:, -1] - there[:, 0]).mean()), 1e-3) if there.size else 1e-3
