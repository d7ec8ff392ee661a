"""The shortest way to a controller: one that decides each count anew from what it sees."""

from __future__ import annotations

from abc import ABC, abstractmethod

from engine.controllers.asking import ask
from engine.model import Action, Observation, Plan, Reason, ServiceObservation
from engine.settings import EngineSettings


class Stateless(ABC):
    """Asks for `target` wherever another count is desired, once in each cycle."""

    reason = Reason.FORECAST
    """What its actions are counted as."""

    def __init__(self, settings: EngineSettings) -> None:
        self.settings = settings

    @abstractmethod
    def target(self, service: ServiceObservation, observation: Observation) -> int:
        """The count that `service` should have, within its bounds: nothing is clamped here."""

    def step(self, observation: Observation) -> Plan:
        """Ask for every count that is not what it should be."""
        now_s = observation.now_s
        actions: list[Action] = []
        for service in observation.services:
            target = self.target(service, observation)
            if target != service.desired:
                actions.append(
                    ask(
                        service,
                        target,
                        now_s,
                        reason=self.reason,
                        trigger_s=now_s,
                        evidence={},
                        explanation=f"{type(self).__name__} wants {target} of {service.spec.name}.",
                    )
                )
        return Plan(actions=tuple(actions))

    def snapshot(self) -> str:
        """There is nothing to remember."""
        return "{}"

    def restore(self, snapshot: str) -> None:
        """Take over nothing; raises ValueError for what is no snapshot of this class."""
        if snapshot != self.snapshot():
            raise ValueError(f"{type(self).__name__}: not a snapshot")
