"""Instances that get ready and fall again, each time too few at once to be a loss."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import Arrays, Picture, Watched
from engine.monitoring.settings import RestartSettings


class Restarts:
    """Falls from ready back to booting that nobody asked for, remembered for `within_s`.

    One fall is chance, and many at once are a loss (`capacity`); what keeps falling restarts.
    """

    def __init__(self, traits: Watched, settings: RestartSettings) -> None:
        self._services, self._settings = len(traits.names), settings

    def begin(self) -> Arrays:
        """Nothing fell: ages of the last falls in seconds, oldest first, and of how many each."""
        shape = (self._services, self._settings.falls)
        return {"age_s": np.full(shape, np.nan), "many": np.zeros(shape)}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Of which services instances keep falling."""
        own = self._settings
        age_s, many = memory["age_s"] + picture.elapsed_s, memory["many"]
        falls = np.minimum(picture.fell, picture.booting) >= 1.0
        if falls.any():
            now = np.where(falls, 0.0, np.nan)[:, None]
            age_s = np.where(falls[:, None], np.concatenate((age_s[:, 1:], now), axis=1), age_s)
            fell = np.minimum(picture.fell, picture.booting)[:, None]
            many = np.where(falls[:, None], np.concatenate((many[:, 1:], fell), axis=1), many)
        memory = {"age_s": age_s, "many": many}
        restarting = age_s[:, 0] <= own.within_s
        if not restarting.any():
            return memory, ()
        return memory, [
            Symptom(
                service=picture.traits.names[i],
                kind=FindingKind.RESTARTING,
                severity=Severity.WARNING,
                watcher="restarts",
                figure="restarts",
                value=float(many[i].sum()),
                since_s=picture.now_s - float(age_s[i, 0]),
                confidence=0.9,
                limit=float(own.falls),
                words=f"{many[i].sum():.0f} restarts in {age_s[i, 0] / 60.0:.0f} min",
            )
            for i in np.flatnonzero(restarting).tolist()
        ]
