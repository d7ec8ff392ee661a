"""Rolling origin: forecast each step from what was known `lead` steps before, refitting on the way.

Forecasts begin a while before the part that is scored, so that everybody, the baselines too, has
errors of its own to make intervals from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from engine.model import Calendar, FloatArray, Series
from engine.prediction.conditional import Conditions
from engine.prediction.forecaster import Forecaster
from engine.prediction.intervals import quantiles
from engine.prediction.past import usual


@dataclass(frozen=True, slots=True)
class RollingWindow:
    """Which steps are forecast: from `warm` on, scored from `first` to before `end`.

    Models are refitted every `every` steps.
    """

    warm: int
    first: int
    end: int
    every: int


@dataclass(frozen=True, slots=True, eq=False)
class RolledForecasts:
    """What one forecaster said of one series.

    `medians` (leads, steps) and `quantiles` (leads, steps, levels) by the step that is forecast,
    NaN outside the course.
    """

    name: str
    leads: tuple[int, ...]
    medians: FloatArray
    quantiles: FloatArray


def roll(
    forecaster: Forecaster,
    series: Series,
    calendar: Calendar,
    course: RollingWindow,
    *,
    conditions: Conditions | None = None,
    advance: Callable[[int], None] = lambda _: None,
) -> RolledForecasts:
    """Let `forecaster` forecast along `course`; `advance` is told how many steps were done.

    With `conditions` the intervals are learned apart in event hours.
    Where it says that there is too little to learn from, it forecasts nothing until the next fit.
    """
    leads = forecaster.leads
    medians = np.full((len(leads), len(series.values)), np.nan)
    begin = max(course.warm - max(leads) + 1, 2)
    for origin in range(begin, course.end, course.every):
        until = min(origin + course.every, course.end)
        entered = calendar.known_at(series.start_s + series.step_s * origin)
        past = Series(series.name, series.start_s, series.step_s, series.values[: until - 1])
        try:
            forecaster.fit(past, origin, entered)
        except ValueError:
            continue
        origins = np.arange(origin, until)
        forecasts = forecaster.predict(past, origins, entered)
        for row, lead in enumerate(leads):
            steps = origins + lead - 1
            inside = (steps >= course.warm) & (steps < course.end)
            medians[row, steps[inside]] = forecasts[inside, row]
        advance(until - origin)
    unit = usual(series.values[: course.warm])
    spread = [
        quantiles(row, series.values, lead, series.step_s, unit=unit, conditions=conditions)
        for row, lead in zip(medians, leads, strict=True)
    ]
    return RolledForecasts(forecaster.name, leads, medians, np.stack(spread))
