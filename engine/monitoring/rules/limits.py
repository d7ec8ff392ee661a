"""Figures above their thresholds: cpu, memory, response time, failed share.

A service for which nobody waits may have all its slots busy: that is said for information, and its
queue says when it is too much (`queue`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.picture import (
    CPU,
    ERRORS,
    FAILURES,
    MEMORY,
    P95,
    Arrays,
    Picture,
    Watched,
    level_table,
)
from engine.monitoring.settings import MonitorSettings

FIGURES = (
    ("cpu", CPU, FindingKind.CPU),
    ("memory", MEMORY, FindingKind.MEMORY),
    ("p95_s", P95, FindingKind.RESPONSE_TIME),
    ("error_rate", ERRORS, FindingKind.ERRORS),
)


class FigureLimits:
    """Each figure against its two levels."""

    def __init__(self, traits: Watched, settings: MonitorSettings) -> None:
        self._levels = level_table(traits, settings, [figure for figure, _, _ in FIGURES])
        self._columns = [column for _, column, _ in FIGURES]

    def begin(self) -> Arrays:
        """It remembers nothing."""
        return {}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which figures are above their levels."""
        values = picture.figures[:, self._columns]
        levels = self._levels[int(picture.wedding_day)]
        warning, critical = levels[..., 0], levels[..., 1]
        above = values > warning
        if not above.any():
            return memory, ()
        symptoms = []
        for i, k in np.argwhere(above).tolist():
            figure, _, kind = FIGURES[k]
            value = float(values[i, k])
            if kind is FindingKind.ERRORS and not picture.residuals[i, FAILURES] > 0.0:
                continue  # so few requests that one failure is a large share
            is_critical = value > critical[i, k]
            severity = Severity.CRITICAL if is_critical else Severity.WARNING
            if kind is FindingKind.CPU and not picture.traits.waited_for[i]:
                severity = Severity.INFO
            symptoms.append(
                Symptom(
                    service=picture.traits.names[i],
                    kind=kind,
                    severity=severity,
                    watcher="limits",
                    figure=figure,
                    value=value,
                    since_s=float(picture.evidence_s[i]),
                    confidence=0.95,
                    limit=float((critical if is_critical else warning)[i, k]),
                )
            )
        return memory, symptoms
