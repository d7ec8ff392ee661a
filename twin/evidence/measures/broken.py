"""Engines that are broken on purpose: the negative controls of what is measured in the twin.

Each is a controller like any other (`controller.factory`), the real engine with one part out of
order.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from engine import Autoscaler, EngineSettings
from engine.model import Action, Category, Observation, Outlook, Plan


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
