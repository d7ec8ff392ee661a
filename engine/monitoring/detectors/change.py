"""Change points: a residual that has moved and stays there.

Two-sided cumulative sums of the standardised residuals (CUSUM; Page, "Continuous inspection
schemes", Biometrika 1954), each look counting by the time that it stands for, two minutes and four
spreads at most, so that one look alone changes no level.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import ServiceSpec
from engine.monitoring.detectors.outlier import symptom
from engine.monitoring.findings import FindingKind, Symptom
from engine.monitoring.picture import CALLS, LOAD, RESPONSE, WORK, Arrays, Picture, or_zero, within

COLUMNS = (LOAD, WORK, CALLS, RESPONSE)
LOOK_S = 5.0
MOST_S = 120.0
MOST = 4.0


class LevelChanges:
    """CUSUM with `slack` spreads that are no change, and `limit` spreads x looks that are one."""

    def __init__(
        self, specs: Sequence[ServiceSpec], slack: float = 3.0, limit: float = 24.0
    ) -> None:
        self._services = len(specs)
        self._slack, self._limit = slack, limit

    def begin(self) -> Arrays:
        """Nothing has moved."""
        shape = (self._services, len(COLUMNS))
        return {"up": np.zeros(shape), "down": np.zeros(shape)}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which levels changed."""
        weight = min(picture.elapsed_s, MOST_S) / LOOK_S
        z = within(or_zero(picture.z[:, COLUMNS]), -MOST, MOST)
        up = within(memory["up"] + weight * (z - self._slack), 0.0, 2.0 * self._limit)
        down = within(memory["down"] - weight * (z + self._slack), 0.0, 2.0 * self._limit)
        down[:, COLUMNS.index(RESPONSE)] = 0.0
        far = np.maximum(up, down)
        changed = (far > self._limit) & ~np.isnan(picture.z[:, COLUMNS])
        memory = {"up": up, "down": down}
        if not changed.any():
            return memory, ()
        return memory, [
            symptom(
                picture,
                i,
                COLUMNS[int(far[i].argmax())],
                self._slack,
                watcher="change",
                kind=FindingKind.CHANGE,
            )
            for i in np.flatnonzero(changed.any(axis=1)).tolist()
        ]
