"""Several features of one figure in their tails at once: a sum of tail ranks, with a rest.

What is summed is in `engine.monitoring.series.tails`; here it goes through the residuals of each
service, a value every five minutes, whatever the pace of the looks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from engine.model import FloatArray, ServiceSpec
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import LOAD, RESIDUALS, RESPONSE, WORK, Arrays, Picture
from engine.monitoring.series.tails import SeriesTails

COLUMNS = (LOAD, WORK, RESPONSE)
"""The residuals that are looked at."""
LEARNED = 96.0
"""Before so many values nothing is said."""


class TailSums:
    """A sum above `least` is unusual; one value every `every_s`, quiet for `rest` values after."""

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        least: float = 6.5,
        every_s: float = 300.0,
        rest: int = 96,
    ) -> None:
        self._services, self._least, self._every_s = len(specs), least, every_s
        self._series = SeriesTails(len(specs) * len(COLUMNS), rest)

    def begin(self) -> Arrays:
        """An empty past."""
        return shaped(self._series.begin(), self._services, 0.0)

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services are in more tails than they have been for long."""
        due_s = memory["due_s"] - picture.elapsed_s
        if due_s[0] > 0.0:
            return {**memory, "due_s": due_s}, ()
        values = np.where(picture.renewed[:, None], picture.residuals, np.nan)[:, COLUMNS]
        after, sums = self._series.look(flat(memory), values.ravel())
        # At first everything is a new extreme.
        sums = np.where(after["seen"] > LEARNED, sums, 0.0).reshape(values.shape)
        return shaped(after, self._services, self._every_s), [
            unusual(picture, i, COLUMNS[k], "tails", value=float(sums[i, k]), limit=self._least)
            for i, k in np.argwhere(sums > self._least).tolist()
        ]


def shaped(series: Arrays, services: int, pace_s: float) -> dict[str, FloatArray]:
    """The rows of each service together, as a memory has them; the next value in `pace_s`."""
    own = {name: array.reshape(services, -1, *array.shape[1:]) for name, array in series.items()}
    return {**own, "due_s": np.full(services, pace_s)}


def flat(memory: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The same as the series have it: a row for each of them."""
    return {
        name: array.reshape(-1, *array.shape[2:])
        for name, array in memory.items()
        if name != "due_s"
    }


def unusual(
    picture: Picture, service: int, residual: int, watcher: str, *, value: float, limit: float
) -> Symptom:
    """That the series of a residual is unusual; for information, as nothing else says so."""
    return Symptom(
        service=picture.traits.names[service],
        kind=FindingKind.UNUSUAL_TOGETHER,
        severity=Severity.INFO,
        watcher=watcher,
        figure=RESIDUALS[residual],
        value=value,
        since_s=float(picture.evidence_s[service]),
        confidence=0.5,
        limit=limit,
    )
