"""The monitor beside the simulated engine: the same code as in production, on the same observation.

It is a watcher of the shell, so a run without it costs nothing.  It goes by the engine's clock and
stands still while the engine is dead; what it remembers lives on, as in production it is restored.
"""

from __future__ import annotations

import math

from engine.model import Observation, Plan
from engine.monitoring.monitor import Monitor
from engine.record.findings import FindingNotes


class MonitorWatch:
    """Lets `monitor` look at each observation that is due, and keeps what it says."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self.notes = FindingNotes()
        self.looks = 0
        self._due_s = -math.inf

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
        self.notes.note(self.monitor.step(observation.services, observation.outlook, now_s))
