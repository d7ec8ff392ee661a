"""Instances that went without being asked to, and instances that never come."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import Arrays, Picture, Watched
from engine.monitoring.settings import CapacityWatch

PARTS = 16
_PARTS = np.arange(PARTS)
LEAST_LOST = 1.0


class Capacity:
    """Counts of instances against what was asked for.

    Missing is what was asked for all the time that a start may take, and was never ready in it: of
    each sixteenth of that time the fewest asked for and the most ready are kept.  One alone may
    take as long again: of hundreds of boots a day the slowest does.
    """

    def __init__(self, traits: Watched, settings: CapacityWatch) -> None:
        self._settings = settings
        self._span_s = settings.boots * traits.start_s
        self._rows = np.arange(len(self._span_s))[:, None]

    def begin(self) -> Arrays:
        """Nothing was asked for."""
        services = len(self._span_s)
        return {
            "desired": np.zeros((services, PARTS)),
            "ready": np.zeros((services, PARTS)),
            "part_s": np.zeros(services),
            "one_s": np.zeros(services),
        }

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Of which services instances are lost or missing."""
        ready, desired, present = picture.ready, picture.desired, picture.present
        fewest, most = memory["desired"].copy(), memory["ready"].copy()
        part_s = memory["part_s"] + picture.elapsed_s
        parts = np.where(present, part_s // (self._span_s / PARTS), 0.0)
        if parts.any():
            # Between two looks the counts were as at the earlier one, the last of each row.
            at = np.minimum(_PARTS + parts.astype(np.intp)[:, None], PARTS - 1)
            fewest, most = fewest[self._rows, at], most[self._rows, at]
            begun = parts > 0.0
            fewest[begun, -1], most[begun, -1] = desired[begun], ready[begun]
        part_s = np.where(parts > 0.0, part_s % (self._span_s / PARTS), part_s)
        fewest[present, -1] = np.minimum(fewest[present, -1], desired[present])
        most[present, -1] = np.maximum(most[present, -1], ready[present])
        asked = fewest.min(axis=1)
        absent = np.where(present, asked - most.max(axis=1), 0.0)
        one_s = np.where(absent == 1.0, memory["one_s"] + picture.elapsed_s, 0.0)
        memory = {"desired": fewest, "ready": most, "part_s": part_s, "one_s": one_s}

        own, names = self._settings, picture.traits.names
        before = ready + picture.lost
        lost = (picture.lost >= LEAST_LOST) & (picture.lost >= own.lost_share * before)
        missing = (absent >= np.maximum(own.missing_share * asked, 2.0)) | (
            (one_s > self._span_s) & (own.missing_share * asked <= 1.0)
        )
        if not (lost.any() or missing.any()):
            return memory, ()
        symptoms = [
            Symptom(
                service=names[i],
                kind=FindingKind.INSTANCES_LOST,
                severity=(
                    Severity.CRITICAL if picture.lost[i] > 0.25 * before[i] else Severity.WARNING
                ),
                watcher="capacity",
                figure="ready",
                value=float(ready[i]),
                since_s=picture.now_s - picture.elapsed_s,
                confidence=0.95,
                low=float(before[i] * (1.0 - own.lost_share)),
                words=f"{picture.lost[i]:.0f} of {before[i]:.0f} are gone",
            )
            for i in np.flatnonzero(lost).tolist()
        ]
        symptoms += [
            Symptom(
                service=names[i],
                kind=FindingKind.CAPACITY_MISSING,
                severity=Severity.WARNING,
                watcher="capacity",
                figure="ready",
                value=float(ready[i]),
                since_s=picture.now_s - float(self._span_s[i] + one_s[i]),
                confidence=0.9,
                low=float(asked[i]),
                words=f"{asked[i]:.0f} were asked for "
                f"{(self._span_s[i] + one_s[i]) / 60.0:.0f} min ago",
            )
            for i in np.flatnonzero(missing).tolist()
        ]
        return memory, symptoms
