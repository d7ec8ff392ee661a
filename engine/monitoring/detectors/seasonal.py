"""Seasonal outliers: a residual far from what it is at this hour of the day on other days.

Each hour has a centre and a spread of its own, which follow from day to day; an hour speaks only
when it was seen on `days` days.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import ServiceSpec
from engine.monitoring.baseline import LEAST, REACH
from engine.monitoring.detectors.outlier import one_sided, symptom
from engine.monitoring.findings import FindingKind, Symptom
from engine.monitoring.picture import RESIDUALS, Arrays, Picture, within

HOURS = 24
HOUR_S, DAY_S = 3600.0, 86_400.0
MEAN_DEVIATION = 1.2533
"""sigma / E|x - median| of a normal distribution: sqrt(pi / 2)."""


class SeasonalOutliers:
    """Robust z of each residual against the same hour of other days."""

    def __init__(
        self, specs: Sequence[ServiceSpec], z: float = 6.0, days: int = 3, memory_days: float = 14.0
    ) -> None:
        self._services = len(specs)
        self._z, self._days, self._memory_s = z, days, memory_days * HOUR_S

    def begin(self) -> Arrays:
        """No hour was seen."""
        shape = (self._services, HOURS, len(RESIDUALS))
        return {
            "centre": np.zeros(shape),
            "spread": np.tile(LEAST, (self._services, HOURS, 1)),
            "learned_s": np.zeros(shape),
            "days": np.zeros((self._services, HOURS)),
            "hour": np.full(self._services, -1.0),
        }

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services have a residual that they never have at this hour."""
        hour = int(picture.now_s % DAY_S // HOUR_S)
        centre, spread = memory["centre"][:, hour], memory["spread"][:, hour]
        learned_s = memory["learned_s"][:, hour]
        days = memory["days"][:, hour] + (memory["hour"] != hour)
        residuals = picture.residuals
        there = ~np.isnan(residuals)
        centre = np.where(learned_s > 0.0, centre, np.where(there, residuals, 0.0))
        z = (residuals - centre) / spread
        # A second look at one moment teaches nothing.
        lived_s = np.minimum(learned_s + picture.elapsed_s, self._memory_s)
        share = picture.elapsed_s / np.where(lived_s > 0.0, lived_s, 1.0)
        reached = np.where(there, within(z, -REACH, REACH), 0.0) * spread
        moved = np.where(there, share * (MEAN_DEVIATION * np.abs(reached) - spread), 0.0)
        after = {name: array.copy() for name, array in memory.items()}
        after["centre"][:, hour] = centre + share * reached
        after["spread"][:, hour] = np.maximum(spread + moved, LEAST)
        after["learned_s"][:, hour] = np.where(there, learned_s + picture.elapsed_s, learned_s)
        after["days"][:, hour] = days
        after["hour"][:] = hour
        distance = np.where((days > self._days)[:, None], one_sided(z), np.nan)
        with np.errstate(invalid="ignore"):
            beyond = (distance > self._z) & (one_sided(picture.z) > 0.5 * self._z)
        if not beyond.any():
            return after, ()
        usual = picture._replace(centre=centre, scale=spread, z=z)
        return after, [
            symptom(
                usual, i, int(np.nanargmax(distance[i])), self._z, watcher="seasonal",
                kind=FindingKind.SEASONAL_OUTLIER,
            )
            for i in np.flatnonzero(beyond.any(axis=1)).tolist()
        ]  # fmt: skip
