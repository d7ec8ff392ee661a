"""The forecaster for load that a schedule announces: booked load, times what is learned of it.

What is booked says when the load comes; what is left to forecast is the ratio of observed to
booked.  That ratio is a series like any other, with a level, hours, weekdays and surprises, so the
ensemble of `engine.forecast.short_horizon` forecasts it.  Its experts are weighed by the load that
they miss, not by the ratio: a night's ratio is of little account.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import Calendar, FloatArray, Series
from engine.prediction.forecaster import NO_EVENTS, IntArray
from engine.prediction.short_horizon import ShortHorizon

LEAST = 1e-9


class ScheduledForecaster:
    """Booked load times the forecast ratio; without `learn`, the booked load itself.

    `booked` (leads, steps) is the load that was expected of each step by what was booked `leads`
    steps before.
    """

    def __init__(self, leads: Sequence[int], booked: FloatArray, *, learn: bool = True) -> None:
        self._leads = tuple(leads)
        self._booked = np.maximum(booked, LEAST)
        self._learn = learn
        self._ratios = [
            ShortHorizon((lead,), importance=row)
            for lead, row in zip(leads, self._booked, strict=True)
        ]

    @property
    def name(self) -> str:
        """What it is called in tables."""
        return "schedule x learned ratio" if self._learn else "schedule only"

    @property
    def leads(self) -> tuple[int, ...]:
        """For how many steps ahead it forecasts."""
        return self._leads

    def fit(self, series: Series, until: int, calendar: Calendar) -> None:  # noqa: ARG002
        """Learn the ratio from the steps before `until`."""
        if self._learn:
            for row, model in enumerate(self._ratios):
                model.fit(self._ratio(series, row), until, NO_EVENTS)

    def predict(self, series: Series, origins: IntArray, calendar: Calendar) -> FloatArray:  # noqa: ARG002
        """Medians (origins, leads)."""
        forecasts = np.empty((len(origins), len(self._leads)))
        for row, lead in enumerate(self._leads):
            steps = origins + lead - 1
            inside = steps < self._booked.shape[1]
            forecasts[:, row] = np.nan
            forecasts[inside, row] = self._booked[row, steps[inside]]
            if self._learn:
                model = self._ratios[row]
                ratio = self._ratio(series, row)
                forecasts[:, row] *= model.predict(ratio, origins, NO_EVENTS)[:, 0]
        return forecasts

    def _ratio(self, series: Series, row: int) -> Series:
        ratio = series.values / self._booked[row, : len(series.values)]
        return Series(series.name, series.start_s, series.step_s, ratio)
