"""What is promised to the events in progress: capacity, live updates, uploads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.fewer import fewer
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import ERRORS, FAILURES, RATE, Arrays, Picture, Watched, level_table
from engine.monitoring.settings import MonitorSettings


class Promises:
    """Counts and figures against what is booked for now."""

    def __init__(self, traits: Watched, settings: MonitorSettings) -> None:
        own, names = settings.events, traits.names
        self._services = len(names)
        self._updates = names.index(own.live_updates) if own.live_updates in names else -1
        self._uploads = names.index(own.uploads) if own.uploads in names else -1
        self._share = settings.silence.share
        self._least_rate = settings.silence.least_rate
        self._failing = level_table(traits, settings, ["error_rate"])[:, :, 0, 1]

    def begin(self) -> Arrays:
        """For how long too few requests came, of each service."""
        return {"few_s": np.zeros(self._services)}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which promises are broken; none without an event in progress."""
        if not picture.events >= 1.0:
            return self.begin(), ()
        few = fewer(
            memory["few_s"], picture, picture.least, share=self._share, least_rate=self._least_rate
        )
        carried = picture.ready * picture.traits.rate_per_instance
        # What nobody waits for may queue for a while.
        short = picture.present & picture.traits.waited_for & (picture.expected > carried)
        symptoms = [
            Symptom(
                service=picture.traits.names[i],
                kind=FindingKind.PROMISE_BROKEN,
                severity=Severity.CRITICAL,
                watcher="promises",
                figure="capacity_rate",
                value=float(carried[i]),
                since_s=picture.now_s - picture.elapsed_s,
                confidence=0.9,
                low=float(picture.expected[i]),
                words=f"{picture.ready[i]:.0f} instances carry {carried[i]:.3g} requests/s, "
                f"{picture.expected[i]:.3g} are booked",
            )
            for i in np.flatnonzero(short).tolist()
        ]
        for i, kind in (
            (self._updates, FindingKind.LIVE_UPDATES_STALLED),
            (self._uploads, FindingKind.UPLOADS_FAILING),
        ):
            if i >= 0 and picture.fresh[i]:
                symptoms += self._service(picture, i, kind, stalled=bool(few.by_far[i]))
        return {"few_s": few.seen_s}, symptoms

    def _service(
        self, picture: Picture, i: int, kind: FindingKind, *, stalled: bool
    ) -> list[Symptom]:
        errors, rate = float(picture.figures[i, ERRORS]), float(picture.figures[i, RATE])
        expected = float(picture.least[i])
        limit = float(self._failing[int(picture.wedding_day), i])
        failing = errors > limit and picture.residuals[i, FAILURES] > 0.0
        stalled = stalled and kind is FindingKind.LIVE_UPDATES_STALLED
        if not (failing or stalled):
            return []
        return [
            Symptom(
                service=picture.traits.names[i],
                kind=kind,
                severity=Severity.CRITICAL,
                watcher="promises",
                figure="error_rate" if failing else "request_rate",
                value=errors if failing else rate,
                since_s=float(picture.evidence_s[i]),
                confidence=0.95,
                limit=limit if failing else float("nan"),
                low=float("nan") if failing else self._share * expected,
            )
        ]
