"""Requests that wait for a slot, and become more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import QUEUE, WAITING, Arrays, Picture, Watched, level_table
from engine.monitoring.settings import MonitorSettings

BEFORE_S = 60.0
"""About how long ago the queue is compared with."""


class QueueGrowth:
    """The queue per slot against its levels, and against what it was a minute ago."""

    def __init__(self, traits: Watched, settings: MonitorSettings) -> None:
        self._levels = level_table(traits, settings, ["queue_per_slot"])[:, :, 0]

    def begin(self) -> Arrays:
        """Nothing waited."""
        return {"before": np.zeros(self._levels.shape[1])}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which queues are long and no shorter than before."""
        queue = picture.column(QUEUE)
        before = memory["before"]
        share = min(picture.elapsed_s / BEFORE_S, 1.0)
        after = np.where(np.isnan(queue), before, before + share * (queue - before))
        per_slot = picture.traits.patience * picture.residuals[:, WAITING]
        warning, critical = self._levels[int(picture.wedding_day)].T
        long = (per_slot > warning) & ((queue > before) | (per_slot > critical))
        symptoms = []
        for i in np.flatnonzero(long).tolist():
            is_critical = bool(per_slot[i] > critical[i])
            symptoms.append(
                Symptom(
                    service=picture.traits.names[i],
                    kind=FindingKind.QUEUE_GROWTH,
                    severity=Severity.CRITICAL if is_critical else Severity.WARNING,
                    watcher="queue",
                    figure="queue_per_slot",
                    value=float(per_slot[i]),
                    since_s=float(picture.evidence_s[i]),
                    confidence=0.9,
                    limit=float((critical if is_critical else warning)[i]),
                    words=f"{queue[i]:.0f} requests wait, {before[i]:.0f} did a minute ago",
                )
            )
        return {"before": after}, symptoms
