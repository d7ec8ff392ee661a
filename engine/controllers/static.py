"""A fixed fleet, sized once for the highest booked load in sight plus a margin."""

from __future__ import annotations

import json

from engine.controllers.asking import ask
from engine.decide.callgraph import critical_services
from engine.decide.sizing import Sizing, sizing
from engine.model import (
    Action,
    Observation,
    Plan,
    Reason,
    ServiceObservation,
)
from engine.settings import EngineSettings

REACH_S = 86_400.0


class Static:
    """Asks once for what the booked peak of the next day needs, times 1 + `margin`.

    Where the calendar does not cover that day, every count stays as it is until one does.
    """

    def __init__(self, settings: EngineSettings, margin: float = 0.25) -> None:
        if not 0.0 <= margin <= 10.0:
            raise ValueError(f"controller.options.margin: {margin} is not allowed (0 … 10)")
        self.settings = settings
        self.margin = margin
        self.targets: dict[str, int] = {}

    def step(self, observation: Observation) -> Plan:
        """Ask for the fixed count wherever it is not what is desired."""
        if not self.targets and observation.outlook.covers(observation.now_s):
            critical = critical_services([service.spec for service in observation.services])
            for service in observation.services:
                name = service.spec.name
                size = sizing(service.spec, self.settings.capacity, critical=name in critical)
                self.targets[name] = self._target(observation, service, size)
        actions = [
            self._action(service, self.targets[service.spec.name], observation.now_s)
            for service in observation.services
            if service.desired != self.targets.get(service.spec.name, service.desired)
        ]
        return Plan(actions=tuple(actions))

    def snapshot(self) -> str:
        """The counts as JSON."""
        return json.dumps(self.targets, sort_keys=True)

    def restore(self, snapshot: str) -> None:
        """Take over the counts; raises ValueError when they are not counts."""
        targets = json.loads(snapshot)
        if not isinstance(targets, dict):
            raise ValueError("static controller: not a snapshot")
        self.targets = {str(name): int(count) for name, count in targets.items()}

    def _target(self, observation: Observation, service: ServiceObservation, size: Sizing) -> int:
        spec, now_s = service.spec, observation.now_s
        peak = observation.outlook.peak(spec.name, now_s, now_s + REACH_S) * (1.0 + self.margin)
        count = size.needed(peak, peak)
        return min(max(count, spec.min_instances), spec.max_instances)

    def _action(self, service: ServiceObservation, target: int, now_s: float) -> Action:
        return ask(
            service,
            target,
            now_s,
            reason=Reason.FORECAST,
            trigger_s=now_s,
            evidence={"margin": self.margin},
            explanation=f"{service.spec.name}: fixed at {target}, the booked peak plus "
            f"{self.margin:.0%}.",
        )
