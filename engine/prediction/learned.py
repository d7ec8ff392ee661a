"""Experts with many parameters: a linear regression and gradient boosting on lags and events.

Both learn what the smoothing experts leave: the target is the step to the value that is asked for
from a reference forecast, so that without anything learned they are as good as that.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor
from threadpoolctl import threadpool_limits

from engine.model import FloatArray
from engine.prediction import smoothing
from engine.prediction.experts import Expert, delayed, shifted
from engine.prediction.past import DAY_S, SeriesPast
from engine.prediction.smoothing import DAILY

LEAST_ROWS = 120
MOST_ROWS = 6000
RIDGE = 3.0
MEMORY_STEPS = 1500.0
"""Rows that long ago count 1/e of the newest in the regression."""
TREES = 120


@dataclass(slots=True)
class Ridge:
    """Linear regression on the newest values and those a day and a week before."""

    name: str = "regression on lags"
    aware: bool = True
    _lead: int = 1
    _weekly: bool = False
    _effects: FloatArray = field(default_factory=lambda: np.zeros(0))
    _model: FloatArray = field(default_factory=lambda: np.zeros(0))

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Regress the step from the present value to the one asked for."""
        self._lead = lead
        self._weekly = len(past.z) > 2 * past.seasons[1] + LEAST_ROWS
        self._effects = np.zeros(past.columns.shape[1])
        if self.aware:
            columns = past.columns[: len(past.z)]
            self._effects = smoothing.fit(past.z, columns, DAILY, 1, seasons=past.seasons).effects
        design, base = self._design(past)
        target = _ahead(past.z, lead) - self._effect(past) - base
        self._model = ridge(design, target, RIDGE * lead)

    def track(self, past: SeriesPast) -> FloatArray:
        """The present value and the expected step."""
        design, base = self._design(past)
        return past.back(base + design @ self._model + self._effect(past))

    def _effect(self, past: SeriesPast) -> FloatArray:
        """Effect of the events at the step that is asked for, from each step."""
        return past.columns[self._lead : self._lead + len(past.z)] @ self._effects

    def _design(self, past: SeriesPast) -> tuple[FloatArray, FloatArray]:
        lead = self._lead
        day, week = past.seasons
        steps = len(past.z)
        z = past.z_filled - past.columns[:steps] @ self._effects
        yesterday = shifted(z, lead, day)
        last_week = shifted(z, lead, week)
        parts = [np.ones(steps)]
        # Differences from the present value, so that a level never seen before changes nothing.
        parts += [z - delayed(z, k) for k in (1, 2, 3)]
        parts += [yesterday - z, delayed(z, day) - z, delayed(z, day + 1) - z]
        if self._weekly:
            parts += [last_week - z, delayed(z, week) - z, delayed(z, week + 1) - z]
        mean = np.convolve(z, np.full(day, 1.0 / day))[:steps]
        mean[: day - 1] = np.nan
        parts += [mean - z]
        day_off = weekend(past.times_s)
        parts += list((day_off[lead : lead + steps] - day_off[:steps]).T)
        return np.column_stack(parts), z


@dataclass(slots=True)
class Boosting:
    """Gradient boosting for the median of what a reference expert misses."""

    reference: Expert
    name: str = "gradient boosting"
    aware: bool = True
    trees: int = TREES
    _lead: int = 1
    _from: int = 0
    _model: Any = field(default=None)

    def fit(self, past: SeriesPast, lead: int) -> None:
        """Fit the reference, then the trees to what it misses."""
        self._lead, self._from = lead, len(past.values) - 1
        self.reference.fit(past, lead)
        design, base = self._design(past)
        self._model = _boosted(design, _ahead(past.z, lead) - base, self.trees)

    def track(self, past: SeriesPast) -> FloatArray:
        """The reference and its expected miss, from the last step of the fit on."""
        design, base = self._design(past)
        predicted = np.full(len(base), np.nan)
        rows = slice(min(self._from, len(base) - 1), None)
        with threadpool_limits(1):
            predicted[rows] = base[rows] + self._model.predict(design[rows])
        return past.back(predicted)

    def _design(self, past: SeriesPast) -> tuple[FloatArray, FloatArray]:
        z, lead = past.z_filled, self._lead
        day, week = past.seasons
        steps = len(z)
        base = np.arcsinh(self.reference.track(past) / past.unit)
        missed = z - delayed(base, lead)
        times_s = past.times_s[lead : lead + steps]
        hour, weekday = times_s / 3600.0 % 24.0, times_s // DAY_S % 7.0
        parts = [hour, weekday, missed, delayed(missed, 1), delayed(missed, day - lead % day)]
        parts += [z - delayed(z, 1), z - delayed(z, 2), z - delayed(z, day), z - delayed(z, week)]
        parts += [shifted(z, lead, day) - base, shifted(z, lead, week) - base, z - base]
        if self.aware:
            parts += list(past.columns[lead : lead + steps].T)
            parts += list(past.near_s[lead : lead + steps].T)
        return np.column_stack(parts), base


def weekend(times_s: FloatArray) -> FloatArray:
    """Whether it is a Saturday, whether a Sunday (steps, 2), UTC."""
    weekday = (times_s // DAY_S + 3.0) % 7.0  # the epoch began on a Thursday
    return np.column_stack((weekday == 5.0, weekday == 6.0)).astype(np.float64)


def _ahead(z: FloatArray, lead: int) -> FloatArray:
    """The value `lead` steps later; NaN where it is not known yet."""
    return np.concatenate((z[lead:], np.full(min(lead, len(z)), np.nan)))


def ridge(design: FloatArray, target: FloatArray, strength: float) -> FloatArray:
    """Huber-weighted ridge regression, a constant first; the newer rows count more.

    Raises ValueError when there are too few rows without NaN.
    """
    rows = np.flatnonzero(np.isfinite(target) & np.isfinite(design).all(axis=1))
    _check(len(rows))
    x, y = design[rows], target[rows]
    spread = np.maximum(x.std(axis=0), 1e-6)
    spread[0] = 1.0
    x = x / spread
    age = np.exp((rows - rows[-1]) / MEMORY_STEPS)
    penalty = strength * np.eye(x.shape[1])
    penalty[0, 0] = 1e-6
    slopes = np.zeros(x.shape[1])
    weight = age
    for _ in range(4):
        weighted = x * weight[:, None]
        slopes = np.linalg.solve(weighted.T @ x + penalty, weighted.T @ y)
        miss = np.abs(y - x @ slopes)
        knee = 1.4826 * float(np.median(miss)) + 1e-9
        weight = age / np.maximum(1.0, miss / knee)
    return np.asarray(slopes / spread, dtype=np.float64)


def _boosted(design: FloatArray, target: FloatArray, trees: int) -> Any:
    measured = np.flatnonzero(np.isfinite(target))[-MOST_ROWS:]
    _check(len(measured))
    model = HistGradientBoostingRegressor(
        loss="absolute_error", max_iter=trees, learning_rate=0.05, max_leaf_nodes=12,
        min_samples_leaf=20, l2_regularization=1.0, early_stopping=False, random_state=0,
    )  # fmt: skip
    # One thread: on a few thousand rows two of them mostly wait for each other.
    with threadpool_limits(1):
        return model.fit(design[measured], target[measured])


def _check(rows: int) -> None:
    if rows < LEAST_ROWS:
        raise ValueError(f"{rows} rows are too few, {LEAST_ROWS} are needed")
