"""What the experts look at: a series up to some step, on a scale on which effects multiply.

The scale is the inverse hyperbolic sine: a logarithm where the values are large, a line through
zero where they are small, so zeros and negative values need no special case.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.model import Calendar, FloatArray, Series
from engine.prediction import events

DAY_S = 86_400.0
SMALL = 0.05
"""Below this share of the usual value the scale turns from logarithmic to linear."""


@dataclass(frozen=True, slots=True, eq=False)
class SeriesPast:
    """The known part of a series, prepared once for all experts.

    `values` (steps,) with NaN where missing, `filled` the same with the last value carried on,
    `z` and `z_filled` both on the scale of `unit`; `columns` (steps + longest lead, stretches), 1
    for one event of size 1 and log2(1 + sizes) for several, and `near_s` (steps + longest lead, 2)
    the events around them; `seasons` the steps of a day and a week.
    """

    values: FloatArray
    filled: FloatArray
    z: FloatArray
    z_filled: FloatArray
    unit: float
    times_s: FloatArray
    columns: FloatArray
    near_s: FloatArray
    seasons: tuple[int, int]

    def back(self, z: FloatArray) -> FloatArray:
        """From the scale to values."""
        values: FloatArray = np.sinh(np.clip(z, -60.0, 60.0)) * self.unit
        return values


def usual(values: FloatArray) -> float:
    """The unit of the scale for `values`: a small share of the median size of what is not zero."""
    sizes = np.abs(values[np.isfinite(values)])
    sizes = sizes[sizes > 0.0]
    return SMALL * float(np.median(sizes)) if len(sizes) else 1.0


def prepare(
    series: Series, until: int, calendar: Calendar, longest: int, *, unit: float
) -> SeriesPast:
    """The past of `series` before step `until`, with `longest` steps of the calendar to come."""
    values = series.values[:until]
    filled = _carried(values)
    beyond = np.arange(until + longest, dtype=np.float64)
    times_s = series.start_s + series.step_s * beyond
    day = max(round(DAY_S / series.step_s), 1)
    return SeriesPast(
        values=values,
        filled=filled,
        z=np.arcsinh(values / unit),
        z_filled=np.arcsinh(filled / unit),
        unit=unit,
        times_s=times_s,
        # Effects multiply and overlapping events add up: a second one is worth less than the first.
        columns=np.log2(1.0 + events.columns(calendar, times_s, series.step_s)),
        near_s=events.nearness(calendar, times_s),
        seasons=(day, 7 * day),
    )


def _carried(values: FloatArray) -> FloatArray:
    """`values` with gaps filled by the last one before; before the first one: the first one."""
    there = np.isfinite(values)
    if not there.any():
        return np.zeros_like(values)
    last = np.maximum.accumulate(np.where(there, np.arange(len(values)), -1))
    return values[np.where(last < 0, int(np.argmax(there)), last)]
