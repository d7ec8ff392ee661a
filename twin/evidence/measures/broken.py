"""Engines and monitors that are broken on purpose: the controls of what is measured in the twin.

Each engine is a controller like any other (`controller.factory`), the real one with one part out of
order; each monitor sees what the real one does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from engine import Autoscaler, EngineSettings
from engine.model import Action, Category, Observation, Outlook, Plan, ServiceSpec
from engine.monitoring.findings import (
    Cause,
    CauseKind,
    Finding,
    FindingKind,
    Findings,
    Severity,
    Symptom,
)
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import MonitorSettings


class BrokenEngine:
    """The engine; a subclass says what is wrong with it."""

    def __init__(self, settings: EngineSettings) -> None:
        self.engine = Autoscaler(settings)

    def step(self, observation: Observation) -> Plan:
        """What the engine decides."""
        return self.engine.step(observation)

    def snapshot(self) -> str:
        """The engine's memory."""
        return self.engine.snapshot()

    def restore(self, snapshot: str) -> None:
        """Take over a memory; raises ValueError."""
        self.engine.restore(snapshot)


class Late(BrokenEngine):
    """Acts `wait_s` after it has decided."""

    def __init__(self, settings: EngineSettings, wait_s: float = 30.0) -> None:
        super().__init__(settings)
        self._wait_s = wait_s
        self._held: list[tuple[float, tuple[Action, ...]]] = []

    def step(self, observation: Observation) -> Plan:
        """What the engine decided `wait_s` ago, and all else of now."""
        plan = super().step(observation)
        self._held.append((observation.now_s + self._wait_s, plan.actions))
        due = [actions for due_s, actions in self._held if due_s <= observation.now_s]
        self._held = [held for held in self._held if held[0] > observation.now_s]
        return replace(plan, actions=tuple(action for actions in due for action in actions))


class WithoutEmergencies(BrokenEngine):
    """Its emergency path is switched off."""

    def step(self, observation: Observation) -> Plan:
        """What the engine decides, without its emergencies."""
        plan = super().step(observation)
        calm = (action for action in plan.actions if action.category is not Category.EMERGENCY)
        return replace(plan, actions=tuple(calm))


class WithoutOutlook(BrokenEngine):
    """Its calendar is empty: no event is booked, and nothing is expected."""

    def step(self, observation: Observation) -> Plan:
        """What the engine decides with an empty calendar."""
        return super().step(replace(observation, outlook=_emptied(observation.outlook)))


def _emptied(outlook: Outlook) -> Outlook:
    return replace(
        outlook,
        load=np.zeros_like(outlook.load),
        major_load=np.zeros_like(outlook.major_load),
        events=np.zeros_like(outlook.events),
        major_events=np.zeros_like(outlook.major_events),
    )


class Deaf(Monitor):
    """A monitor that never says anything."""

    def step(
        self,
        windows: object,
        outlook: object,
        now_s: float,
        scope: object = None,
        *,
        instances: object = None,
    ) -> Findings:
        """Nothing."""
        del windows, outlook, scope, instances
        return Findings(now_s)


class Alarmist(Monitor):
    """A monitor that alarms for each service, every ten minutes, whatever it sees."""

    AGAIN_S = 600.0

    def __init__(self, specs: Sequence[ServiceSpec], settings: MonitorSettings) -> None:
        super().__init__(specs, settings)
        self._due_s = -math.inf
        self._cries = 0

    def step(
        self,
        windows: object,
        outlook: object,
        now_s: float,
        scope: object = None,
        *,
        instances: object = None,
    ) -> Findings:
        """An alarm for each service, if it is time."""
        del windows, outlook, scope, instances
        if now_s < self._due_s:
            return Findings(now_s)
        self._due_s = now_s + self.AGAIN_S
        self._cries += 1
        alarms = tuple(self._alarm(spec.name, now_s) for spec in self.specs)
        return Findings(now_s, lasting=alarms, began=alarms)

    def _alarm(self, service: str, now_s: float) -> Finding:
        symptom = Symptom(
            service, FindingKind.RESPONSE_TIME, Severity.CRITICAL, "alarmist", "p95_s", 9.0,
            now_s, 1.0, limit=2.0,
        )  # fmt: skip
        return Finding(
            f"{service}-{self._cries}", service, symptom.kind, symptom.severity, symptom, now_s,
            now_s, math.nan, math.nan, (Cause(service, CauseKind.LOAD, 1.0, "load"),), "Look.",
        )  # fmt: skip
