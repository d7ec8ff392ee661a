"""Requests that wait for a slot, and become more."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import QUEUE, WAITING, Arrays, Picture, Watched
from engine.monitoring.settings import MonitorSettings

BEFORE_S = 60.0
"""About how long ago the queue is compared with."""


class QueueGrowth:
    """The queue per slot against its levels, and against what it was a minute ago."""

    def __init__(self, traits: Watched, settings: MonitorSettings) -> None:
        levels = [settings.levels(name, "queue_per_slot") for name in traits.names]
        self._warning = np.array([one.warning for one in levels])
        self._critical = np.array([one.critical for one in levels])

    def begin(self) -> Arrays:
        """Nothing waited."""
        return {"before": np.zeros(len(self._warning))}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which queues are long and no shorter than before."""
        queue = picture.column(QUEUE)
        before = memory["before"]
        share = min(picture.elapsed_s / BEFORE_S, 1.0)
        after = np.where(np.isnan(queue), before, before + share * (queue - before))
        per_slot = picture.residuals[:, WAITING]
        long = (per_slot > self._warning) & ((queue > before) | (per_slot > self._critical))
        symptoms = []
        for i in np.flatnonzero(long).tolist():
            critical = bool(per_slot[i] > self._critical[i])
            symptoms.append(
                Symptom(
                    service=picture.traits.names[i],
                    kind=FindingKind.QUEUE_GROWTH,
                    severity=Severity.CRITICAL if critical else Severity.WARNING,
                    watcher="queue",
                    figure="queue_per_slot",
                    value=float(per_slot[i]),
                    since_s=float(picture.evidence_s[i]),
                    confidence=0.9,
                    limit=float((self._critical if critical else self._warning)[i]),
                    words=f"{queue[i]:.0f} requests wait, {before[i]:.0f} did a minute ago",
                )
            )
        return {"before": after}, symptoms
