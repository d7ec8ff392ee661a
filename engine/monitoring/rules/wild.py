"""Samples that cannot be: figures in another unit, counters that began anew, a broken exporter.

A figure that is impossible, or hundreds of times what it was five seconds before, is no load and
no slowness.  Such a sample moves no figure, as these are medians; one alone is chance.  What comes
back and jumps again is wrong at its source, and whoever decides by those figures has to know.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import Arrays, Picture, Watched
from engine.monitoring.settings import WildSettings


class WildSamples:
    """Wild samples of each service, remembered for `within_s`."""

    def __init__(self, traits: Watched, settings: WildSettings) -> None:
        self._services, self._settings = len(traits.names), settings

    def begin(self) -> Arrays:
        """None was wild: ages of the last ones in seconds, oldest first."""
        return {"age_s": np.full((self._services, self._settings.samples), np.nan)}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Of which services samples keep being wild."""
        own = self._settings
        age_s = memory["age_s"] + picture.elapsed_s
        if picture.wild.any():
            pushed = np.concatenate((age_s[:, 1:], np.zeros((self._services, 1))), axis=1)
            age_s = np.where(picture.wild[:, None], pushed, age_s)
        memory = {"age_s": age_s}
        often = age_s[:, 0] <= own.within_s
        if not often.any():
            return memory, ()
        return memory, [
            Symptom(
                service=picture.traits.names[i],
                kind=FindingKind.WILD_SAMPLES,
                severity=Severity.WARNING,
                watcher="wild",
                figure="samples",
                value=float(own.samples),
                since_s=picture.now_s - float(age_s[i, 0]),
                confidence=0.9,
                limit=float(own.samples),
                words=f"{own.samples} samples within {age_s[i, 0]:.0f} s cannot be right",
            )
            for i in np.flatnonzero(often).tolist()
        ]
