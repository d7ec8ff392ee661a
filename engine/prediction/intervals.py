"""Intervals around any forecast, from the errors that it made before: adaptive conformal.

An error is measured on the scale on which effects multiply and divided by how large errors were of
late, and at that hour of the day; quantiles of these scores over the last weeks give the interval
(split conformal prediction, Vovk et al. 2005).  Series drift, so what is called 80 % is moved a
little after every hit and miss until 80 % is what it is (Gibbs and Candès 2021).  In event hours
all of this is learned apart, and leans to what all hours say while there are few (conformal
prediction by group, with shrinkage).  At no step is an error used before the value was known.
"""

from __future__ import annotations

import math

import numpy as np

from engine.model import FloatArray
from engine.prediction.conditional import Conditions, sizes
from engine.prediction.forecaster import LEVELS

DAY_S = 86_400.0
WINDOW_DAYS = 28.0
RECENT_DAYS = 2.0
"""Half-life of the size of errors."""
SAME_HOURS = 7
STEP = 0.01
"""By how much a level moves after a miss; 1/STEP is about how many steps it takes to adapt."""
STEP_INSIDE = 0.02
"""The same in event hours, which are few."""
GROUP_LEAN = 20.0
"""With so many scores of its own, a group counts half, and all scores together the other half."""
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
    conditions: Conditions | None = None,
) -> FloatArray:
    """Quantiles (steps, levels) for `forecasts` (steps,), the medians for each step of `values`.

    Row j uses errors at steps up to j - lead only; NaN until `FEWEST` of them are known.
    A quantile goes beyond the forecast and all values known by then by `MARGIN` of their range at
    most: errors on a scale on which effects multiply say nothing of how far values reach.
    With `conditions` the errors in event hours and those outside have sizes, quantiles and levels
    of their own, which lean to those of all hours together while there are few of them.
    """
    steps = len(forecasts)
    day = max(round(DAY_S / step_s), 1)
    middle = np.arcsinh(forecasts / unit)
    error = np.arcsinh(values[:steps] / unit) - middle
    scale = _scale(error, lead, day)
    inside = np.zeros(steps, dtype=np.bool_)
    if conditions is not None:
        scale = np.maximum(sizes(error, scale, lead, conditions), FLOOR)
        inside = conditions.inside[:steps]
    score = error / scale
    window = round(WINDOW_DAYS * day)
    aims = np.array(levels)
    current = np.stack((aims, aims))
    # Within one lead errors come on one side, as many as it has steps.
    moved = (STEP, STEP) if conditions is None else (STEP / lead**0.5, STEP_INSIDE / lead**0.5)
    low, high = 0.25 * np.minimum(aims, 1.0 - aims), 1.0 - 0.25 * np.minimum(aims, 1.0 - aims)
    offsets = np.full((steps, len(levels)), np.nan)
    for j in range(steps):
        judged = j - lead
        if judged < 0:
            continue
        if math.isfinite(score[judged]) and not math.isnan(offsets[judged, 0]):
            group = int(inside[judged])
            current[group] += moved[group] * (aims - (score[judged] <= offsets[judged]))
            np.clip(current[group], low, high, out=current[group])
        recent = slice(max(judged + 1 - window, 0), judged + 1)
        there = np.isfinite(score[recent])
        past = score[recent][there]
        if len(past) < FEWEST:
            continue
        level = current[int(inside[j])]
        if conditions is None:
            offsets[j] = conformal(past, level, len(past))
            continue
        alike = inside[recent][there] == inside[j]
        # Errors within one lead are much the same: so many there are of them as there are leads.
        leads = np.flatnonzero(there) // lead
        counts = len(np.unique(leads[alike])), len(np.unique(leads))
        offsets[j] = leaning(past[alike], past, level, counts=counts)
    offsets.sort(axis=1)
    # No interval reaches much further than the worst that was seen.
    worst = REACH * _worst(error, lead)[:, None]
    reach = np.clip(offsets * scale[:, None], -worst, worst)
    at_levels = np.sinh(np.clip(middle[:, None] + reach, -60.0, 60.0)) * unit
    at_levels = _within_reach(at_levels, forecasts, values[:steps], lead)
    at_levels += ROUNDING * (np.abs(at_levels) + unit) * np.sign(aims - 0.5)
    at_levels = np.sort(at_levels, axis=1)
    # The median is what was forecast: scores that lean to one side move the interval, not it.
    below, above = aims < 0.5, aims > 0.5
    at_levels[:, below] = np.minimum(at_levels[:, below], forecasts[:, None])
    at_levels[:, above] = np.maximum(at_levels[:, above], forecasts[:, None])
    at_levels[:, levels.index(0.5)] = forecasts
    return np.maximum(at_levels, 0.0) if np.nanmin(values, initial=0.0) >= 0.0 else at_levels


def conformal(scores: FloatArray, level: FloatArray, count: int) -> FloatArray:
    """Quantiles (levels,) of `scores` (n,), as of one more than `count`, on the outer side.

    `level` (levels,) are shares; `count` is how many of the scores are independent.
    """
    share = np.clip(level + (level - 0.5) / count, 0.0, 1.0)
    cut: FloatArray = np.quantile(scores, share)
    return cut


def leaning(
    own: FloatArray, pooled: FloatArray, level: FloatArray, *, counts: tuple[int, int]
) -> FloatArray:
    """Conformal quantiles of a group's `own` (n,) scores, leaning to those of all, `pooled`.

    `counts` is how many of each are independent.  A group with c of them counts
    c / (c + `GROUP_LEAN`); without any it has the quantiles of all.
    """
    of_all = conformal(pooled, level, counts[1])
    if not len(own):
        return of_all
    share = counts[0] / (counts[0] + GROUP_LEAN)
    mixed: FloatArray = share * conformal(own, level, counts[0]) + (1.0 - share) * of_all
    return mixed


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
