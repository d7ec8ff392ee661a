"""Intervals around any forecast, from the errors that it made before: adaptive conformal.

An error is measured on the scale on which effects multiply and divided by how large errors were of
late, and at that hour of the day; quantiles of these scores over the last weeks give the interval
(split conformal prediction, Vovk et al. 2005).  Series drift, so what is called 80 % is moved a
little after every hit and miss until 80 % is what it is (Gibbs and Candès 2021).  At no step is an
error used before the value was known.
"""

from __future__ import annotations

import math

import numpy as np

from engine.model import FloatArray
from engine.prediction.forecaster import LEVELS

DAY_S = 86_400.0
WINDOW_DAYS = 28.0
RECENT_DAYS = 2.0
"""Half-life of the size of errors."""
SAME_HOURS = 7
STEP = 0.01
"""By how much a level moves after a miss; 1/STEP is about how many steps it takes to adapt."""
FEWEST = 20
REACH = 1.5
FLOOR = 0.01
"""Least scale of an error, logarithmic: nobody is surer than 1 % without having shown it."""
MARGIN = 0.5
"""By so much of the range of what was seen, and no more, an interval goes beyond it."""
ROUNDING = 1e-9
"""Share by which intervals are wider than worked out, so that a value which is what was forecast
does not lie outside for the sake of its last digits."""


def quantiles(
    forecasts: FloatArray,
    values: FloatArray,
    lead: int,
    step_s: float,
    *,
    unit: float,
    levels: tuple[float, ...] = LEVELS,
) -> FloatArray:
    """Quantiles (steps, levels) for `forecasts` (steps,), the medians for each step of `values`.

    Row j uses errors at steps up to j - lead only; NaN until `FEWEST` of them are known.
    A quantile goes beyond the forecast and all values known by then by `MARGIN` of their range at
    most: errors on a scale on which effects multiply say nothing of how far values reach.
    """
    steps = len(forecasts)
    day = max(round(DAY_S / step_s), 1)
    middle = np.arcsinh(forecasts / unit)
    error = np.arcsinh(values[:steps] / unit) - middle
    scale = _scale(error, lead, day)
    score = error / scale
    window = round(WINDOW_DAYS * day)
    aims = np.array(levels)
    current = aims.copy()
    low, high = 0.25 * np.minimum(aims, 1.0 - aims), 1.0 - 0.25 * np.minimum(aims, 1.0 - aims)
    offsets = np.full((steps, len(levels)), np.nan)
    for j in range(steps):
        judged = j - lead
        if judged < 0:
            continue
        if math.isfinite(score[judged]) and not math.isnan(offsets[judged, 0]):
            current += STEP * (aims - (score[judged] <= offsets[judged]))
            np.clip(current, low, high, out=current)
        past = score[max(judged + 1 - window, 0) : judged + 1]
        past = past[np.isfinite(past)]
        if len(past) < FEWEST:
            continue
        # The conformal correction: with n scores, the quantile of n + 1.
        share = np.clip(current + (current - 0.5) / len(past), 0.0, 1.0)
        offsets[j] = np.quantile(past, share)
    offsets.sort(axis=1)
    # No interval reaches much further than the worst that was seen.
    worst = REACH * _worst(error, lead)[:, None]
    reach = np.clip(offsets * scale[:, None], -worst, worst)
    at_levels = np.sinh(np.clip(middle[:, None] + reach, -60.0, 60.0)) * unit
    at_levels = _within_reach(at_levels, forecasts, values[:steps], lead)
    at_levels += ROUNDING * (np.abs(at_levels) + unit) * np.sign(aims - 0.5)
    at_levels[:, levels.index(0.5)] = forecasts
    at_levels = np.sort(at_levels, axis=1)
    return np.maximum(at_levels, 0.0) if np.nanmin(values, initial=0.0) >= 0.0 else at_levels


def _within_reach(
    at_levels: FloatArray, forecasts: FloatArray, values: FloatArray, lead: int
) -> FloatArray:
    """`at_levels` (steps, levels), none further from what was seen than a margin of its range."""
    lowest = _so_far(np.fmin, values, lead)
    highest = _so_far(np.fmax, values, lead)
    margin = MARGIN * (highest - lowest)
    # The forecast itself is always within reach, wherever it is.
    low = np.fmin(lowest - margin, forecasts)[:, None]
    high = np.fmax(highest + margin, forecasts)[:, None]
    bounded: FloatArray = np.clip(at_levels, low, high)
    return bounded


def _so_far(extreme: np.ufunc, values: FloatArray, lead: int) -> FloatArray:
    """The `extreme` value known at each step, `lead` steps after it came; NaN before the first."""
    so_far = extreme.accumulate(np.where(np.isfinite(values), values, np.nan))
    return np.concatenate((np.full(min(lead, len(values)), np.nan), so_far))[: len(values)]


def _worst(error: FloatArray, lead: int) -> FloatArray:
    """The largest error known at each step."""
    so_far = np.maximum.accumulate(np.nan_to_num(np.abs(error)))
    return np.concatenate((np.zeros(min(lead, len(error))), so_far))[: len(error)]


def _scale(error: FloatArray, lead: int, day: int) -> FloatArray:
    """How large an error is expected to be at each step: half of late, half at that hour."""
    steps = len(error)
    size = np.abs(error)
    fading = 0.5 ** (1.0 / (RECENT_DAYS * day))
    scale = np.full(steps, FLOOR)
    total = weight = 0.0
    for j in range(steps):
        judged = j - lead
        if judged < 0:
            continue
        total, weight = fading * total, fading * weight
        if math.isfinite(size[judged]):
            total, weight = total + size[judged], weight + 1.0
        if weight == 0.0:
            continue
        lately = total / weight
        first = j - day * (-(-lead // day))
        hours = size[first::-day][:SAME_HOURS] if first >= 0 else size[:0]
        hours = hours[np.isfinite(hours)]
        there = float(hours.mean()) if len(hours) else lately
        scale[j] = max(0.5 * lately + 0.5 * there, FLOOR)
    return scale
