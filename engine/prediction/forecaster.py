"""What every forecaster of a series is, so that a backtest can ask them all the same.

An *origin* `o` is a position on the series' grid: values before it are known, value `o` is not.
A *lead* of k steps from there means value `o + k - 1`, so lead 1 is the very next step.  A
forecaster learns once in a while (`fit`, off any control path) and forecasts from any number of
origins at once (`predict`), each from what lies before it alone: whatever stands in the series from
an origin on must not change what is forecast there.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from engine.model import Calendar, FloatArray, Series

IntArray = NDArray[np.int64]

MOST_GUESTS = 100_000
"""At one wedding, and as many vendors: more is a mistake."""

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
"""Quantiles that are forecast: the median and the ends of the 50, 80 and 95 % intervals."""

NO_EVENTS = Calendar(np.zeros(0), np.zeros(0), (), np.zeros(0))
"""The calendar of somebody who has none."""


class Forecaster(Protocol):
    """Forecasts the median of a series at given leads."""

    @property
    def name(self) -> str:
        """What it is called in tables."""
        ...

    @property
    def leads(self) -> tuple[int, ...]:
        """For how many steps ahead it forecasts."""
        ...

    def fit(self, series: Series, until: int, calendar: Calendar) -> None:
        """Learn from `series.values[:until]` and from what `calendar` said then.

        Raises ValueError when there is too little to learn from.
        """
        ...

    def predict(self, series: Series, origins: IntArray, calendar: Calendar) -> FloatArray:
        """Medians (origins, leads), NaN where it cannot tell."""
        ...
