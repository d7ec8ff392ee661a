"""The monitor beside the simulated engine: the same code as in production, on the same observation.

It is a watcher of the shell, so a run without it costs nothing.  It goes by the engine's clock and
stands still while the engine is dead; what it remembers lives on, as in production it is restored.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from engine.model import InstanceFigures, Observation, Plan
from engine.monitoring.monitor import Monitor
from engine.record.findings import FindingNotes

Instances = Callable[[], Mapping[str, InstanceFigures]]
"""The figures of single instances now, by service."""
Hasten = Callable[[float, float, str, str], object]
"""As `engine.runtime.cycle.Cycle.hasten`."""


class MonitorWatch:
    """Lets `monitor` look at each observation that is due, and keeps what it says."""

    def __init__(
        self, monitor: Monitor, hasten: Hasten | None = None, instances: Instances | None = None
    ) -> None:
        """`hasten` is asked for an early step, where the monitor's settings let findings ask."""
        self.monitor = monitor
        self._hasten = hasten
        self._instances = instances
        self.notes = FindingNotes()
        self.looks = 0
        self._due_s = self._instances_s = -math.inf

    def __call__(self, observation: Observation, plan: Plan) -> None:
        """Look, if it is time."""
        del plan
        now_s = observation.now_s
        every_s = self.monitor.settings.every_s
        # A clock that was set back by more than a look makes no gap.
        if self._due_s - every_s <= now_s < self._due_s:
            return
        self._due_s = now_s + every_s
        self.looks += 1
        findings = self.monitor.step(
            observation.services, observation.outlook, now_s, instances=self._single(now_s)
        )
        if not (findings.lasting or findings.ended):
            return
        self.notes.note(findings)
        early = self.monitor.settings.early_step
        finding = early.asked_by(findings.began)
        if finding is not None and self._hasten is not None:
            words = f"{finding.severity} {finding.kind}"
            self._hasten(now_s, early.apart_s, finding.service, words)

    def _single(self, now_s: float) -> Mapping[str, InstanceFigures] | None:
        """Single instances, when they are due."""
        every_s = self.monitor.settings.instances.every_s
        if self._instances is None or self._instances_s - every_s <= now_s < self._instances_s:
            return None
        self._instances_s = now_s + every_s
        return self._instances()
