"""Silence: no load where some is booked or usual, or no samples at all, which is no calm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.fewer import fewer
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import LOAD, RATE, Arrays, Picture, Watched, or_zero, within
from engine.monitoring.settings import MonitorSettings

USUAL_AT_LEAST, USUAL_AT_MOST = -1.5, 1.5
"""How far (log) the usual load of a day may be from the booked one to be believed."""


class Silences:
    """Arrivals against what is booked, and the age of the newest sample."""

    def __init__(self, traits: Watched, settings: MonitorSettings) -> None:
        self._services = len(traits.names)
        self._settings = settings.silence
        self._stale_after_s = settings.stale_after_s
        self._calendar = settings.calendar

    def begin(self) -> Arrays:
        """For how long nothing was measured, and for how long too few requests came."""
        return {"silent_s": np.zeros(self._services), "few_s": np.zeros(self._services)}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which services are silent, and of which nothing is known."""
        silent_s = np.where(
            picture.fresh | ~picture.present, 0.0, memory["silent_s"] + picture.elapsed_s
        )
        # Before the first sample it may take as long until one can be there.
        blind = (silent_s > 0.0) & (
            np.isfinite(picture.sampled_s) | (silent_s > self._stale_after_s)
        )
        usual = picture.centre[:, LOAD]
        if self._calendar:
            usual = within(or_zero(usual), USUAL_AT_LEAST, USUAL_AT_MOST)
            expected = picture.least * np.exp(usual)
        else:
            expected = picture.against * np.exp(usual)
        own, rate = self._settings, picture.column(RATE)
        few_s, quiet = fewer(
            memory["few_s"], picture, expected, share=own.share, least_rate=own.least_rate
        )
        memory = {"silent_s": silent_s, "few_s": few_s}
        if not (blind.any() or quiet.any()):
            return memory, ()
        names = picture.traits.names
        symptoms = [
            Symptom(
                service=names[i],
                kind=FindingKind.NO_SAMPLES,
                severity=Severity.WARNING,
                watcher="silence",
                figure="sample_age_s",
                value=float(picture.now_s - picture.sampled_s[i]),
                since_s=max(float(picture.sampled_s[i]), picture.now_s - float(silent_s[i])),
                confidence=1.0,
                limit=self._stale_after_s,
            )
            for i in np.flatnonzero(blind).tolist()
        ]
        symptoms += [
            Symptom(
                service=names[i],
                kind=FindingKind.SILENCE,
                severity=Severity.CRITICAL,
                watcher="silence",
                figure="request_rate",
                value=float(rate[i]),
                since_s=float(picture.evidence_s[i]),
                confidence=0.95,
                low=float(own.share * expected[i]),
                words=f"{expected[i]:.3g} requests/s are expected",
            )
            for i in np.flatnonzero(quiet).tolist()
        ]
        return memory, symptoms
