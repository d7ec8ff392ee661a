"""Twice unusual: a residual far from its last values and far from this hour of other days.

How far is in `engine.monitoring.series.departures`; here it goes through the residuals of each
service, a value every five minutes, whatever the pace of the looks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import ServiceSpec
from engine.monitoring.detectors.tails import COLUMNS, flat, shaped, unusual
from engine.monitoring.findings import Symptom
from engine.monitoring.picture import Arrays, Picture
from engine.monitoring.series.departures import SeriesDepartures


class Departures:
    """Above `limit` a value is unusual; one value every `every_s`, hours that have a past each."""

    def __init__(
        self, specs: Sequence[ServiceSpec], limit: float = 4.0, every_s: float = 300.0
    ) -> None:
        self._services, self._limit, self._every_s = len(specs), limit, every_s
        self._series = SeriesDepartures(len(specs) * len(COLUMNS), left=288, slots=24)

    def begin(self) -> Arrays:
        """An empty past."""
        return shaped(self._series.begin(), self._services, 0.0)

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services are where they were neither lately nor on other days."""
        due_s = memory["due_s"] - picture.elapsed_s
        if due_s[0] > 0.0:
            return {**memory, "due_s": due_s}, ()
        values = np.where(picture.renewed[:, None], picture.residuals, np.nan)[:, COLUMNS]
        after, far = self._series.look(flat(memory), values.ravel(), picture.now_s)
        far = far.reshape(values.shape)
        return shaped(after, self._services, self._every_s), [
            unusual(picture, i, COLUMNS[k], "departures", value=float(far[i, k]), limit=self._limit)
            for i, k in np.argwhere(far > self._limit).tolist()
        ]
