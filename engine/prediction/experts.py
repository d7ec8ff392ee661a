"""The members of the ensemble: each has one idea of what comes next.

An expert fits on a past and then says, for every step of a later past, what it expected a given
lead later (`track`).  Row t of a track may use the values up to step t and nothing later.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import pandas as pd

from engine.model import FloatArray
from engine.prediction import smoothing
from engine.prediction.past import SeriesPast
from engine.prediction.smoothing import Smoothing


class Expert(Protocol):
    """One member."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Learn to look `lead` steps ahead; raises ValueError when there is too little to learn."""
        ...

    def track(self, past: SeriesPast) -> FloatArray:
        """Values expected `lead` steps after each step (steps,); NaN where it cannot tell."""
        ...


@dataclass(slots=True)
class Last:
    """The last value stays."""

    name: str = "last value"

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Nothing to learn."""

    def track(self, past: SeriesPast) -> FloatArray:
        """The value itself."""
        return past.filled


@dataclass(slots=True)
class Before:
    """What was there whole days (or weeks) before the step that is asked for."""

    days: int
    name: str = "seasonal naive"
    _lead: int = 1

    def fit(self, past: SeriesPast, lead: int) -> None:  # noqa: ARG002
        """Nothing to learn but the lead."""
        self._lead = lead

    def track(self, past: SeriesPast) -> FloatArray:
        """The value a multiple of the period before."""
        return shifted(past.filled, self._lead, self.days * past.seasons[0])


@dataclass(slots=True)
class WeekTimesRatio:
    """Last week's value, times how much more there is lately than there was then."""

    recent: int = 1
    name: str = "last week x ratio"
    _lead: int = 1

    def fit(self, past: SeriesPast, lead: int) -> None:  # noqa: ARG002
        """Nothing to learn but the lead."""
        self._lead = lead

    def track(self, past: SeriesPast) -> FloatArray:
        """Last week's value on the scale, moved by the mean recent difference."""
        week = past.seasons[1]
        moved = past.z_filled - delayed(past.z_filled, week)
        level = pd.Series(moved).rolling(self.recent, min_periods=1).mean().to_numpy()
        return past.back(shifted(past.z_filled, self._lead, week) + level)


@dataclass(slots=True)
class Median:
    """The median of the latest `days`: for series that are noise around a level."""

    days: int
    name: str = "median"

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Nothing to learn."""

    def track(self, past: SeriesPast) -> FloatArray:
        """The rolling median."""
        window = self.days * past.seasons[0]
        rolling = pd.Series(past.values).rolling(window, min_periods=max(window // 8, 1))
        return np.asarray(rolling.median(), dtype=np.float64)


@dataclass(slots=True)
class HourMedian:
    """The median at the same time of day over the latest `days`."""

    days: int = 7
    name: str = "median of the hour"
    _lead: int = 1

    def fit(self, past: SeriesPast, lead: int) -> None:  # noqa: ARG002
        """Nothing to learn but the lead."""
        self._lead = lead

    def track(self, past: SeriesPast) -> FloatArray:
        """The median of the values whole days before."""
        day = past.seasons[0]
        first = -(-self._lead // day)
        earlier = [shifted(past.values, self._lead, day * (first + k)) for k in range(self.days)]
        stacked = np.vstack(earlier)
        enough = np.isfinite(stacked).sum(axis=0) >= 2
        medians = np.full(stacked.shape[1], np.nan)
        if enough.any():
            medians[enough] = np.nanmedian(stacked[:, enough], axis=0)
        return medians


@dataclass(slots=True)
class Smoothed:
    """Exponential smoothing with the weights `names`; `aware` of the events or blind to them.

    On the scale on which effects multiply, or (`plain`) on that of the values.
    """

    name: str
    names: tuple[str, ...]
    aware: bool
    plain: bool = False
    _lead: int = 1
    _model: Smoothing | None = field(default=None)

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Fit weights and effects for this lead."""
        self._lead = lead
        self._model = smoothing.fit(
            self._y(past), self._columns(past), self.names, lead, seasons=past.seasons
        )

    def track(self, past: SeriesPast) -> FloatArray:
        """Run along the whole past with the weights of the last fit."""
        assert self._model is not None
        expected = self._model.track(self._y(past), self._columns(past), self._lead)
        return expected if self.plain else past.back(expected)

    def _y(self, past: SeriesPast) -> FloatArray:
        return past.values if self.plain else past.z

    def _columns(self, past: SeriesPast) -> FloatArray:
        return past.columns if self.aware else past.columns[:, :0]


def delayed(values: FloatArray, steps: int) -> FloatArray:
    """The value `steps` steps before; NaN where there was none."""
    return np.concatenate((np.full(min(steps, len(values)), np.nan), values))[: len(values)]


def shifted(values: FloatArray, lead: int, period: int) -> FloatArray:
    """For each step, the value whole periods before the step `lead` later, the latest known."""
    periods = -(-lead // period)
    return delayed(values, periods * period - lead)
