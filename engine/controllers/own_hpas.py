"""The HorizontalPodAutoscalers that a team has, each with its own target and behaviour.

`python -m engine import kubernetes` writes the options.  A service without one keeps its count.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from pydantic import Field

from engine.config.strict import Strict, validated
from engine.controllers.asking import ask
from engine.controllers.hpa import BehaviorOptions, Hpa
from engine.model import Action, Observation, Plan, Reason, ServiceObservation
from engine.settings import EngineSettings


class OwnHpaOptions(Strict):
    """One service: its autoscaler's `target_cpu` in per cent of the slots, or its fixed count."""

    target_cpu: int | None = Field(default=None, ge=1, le=100)
    behavior: BehaviorOptions | None = None
    replicas: int | None = Field(default=None, ge=0, le=10_000_000)


class OwnHpasOptions(Strict):
    """What `controller.options` may hold; those of `engine.controllers.hpa` are for all."""

    services: dict[str, OwnHpaOptions] = Field(default_factory=dict)
    sync_s: float = Field(default=15.0, gt=0.0, le=600.0)
    window_s: float = Field(default=15.0, gt=0.0, le=600.0)
    tolerance: float = Field(default=0.1, ge=0.0, lt=1.0)


class OwnHpas:
    """One autoscaler for each service that has one; the others keep the count that is given."""

    def __init__(self, settings: EngineSettings, **options: Any) -> None:
        self.settings = settings
        self.options = validated(OwnHpasOptions, options, "controller.options")
        self._hpas = {
            name: Hpa(
                settings,
                target_cpu=own.target_cpu,
                behavior=None if own.behavior is None else own.behavior.model_dump(),
                sync_s=self.options.sync_s,
                window_s=self.options.window_s,
                tolerance=self.options.tolerance,
            )
            for name, own in self.options.services.items()
            if own.target_cpu is not None
        }

    def step(self, observation: Observation) -> Plan:
        """What each of them wants now."""
        actions: list[Action] = []
        looked = False
        for service in observation.services:
            hpa = self._hpas.get(service.spec.name)
            if hpa is not None:
                plan = hpa.step(replace(observation, services=(service,)))
                looked |= plan.cycle
                actions += plan.actions
                continue
            own = self.options.services.get(service.spec.name)
            if own is not None and own.replicas not in (None, service.desired):
                actions.append(_kept(service, int(own.replicas or 0), observation.now_s))
        return Plan(actions=tuple(actions), cycle=looked or not self._hpas)

    def snapshot(self) -> str:
        """The memory of each as JSON."""
        return json.dumps({name: hpa.snapshot() for name, hpa in self._hpas.items()})

    def restore(self, snapshot: str) -> None:
        """Take over the memories; raises ValueError for any other text."""
        memory = json.loads(snapshot)
        if not isinstance(memory, dict) or memory.keys() != self._hpas.keys():
            raise ValueError("not a snapshot of these autoscalers")
        for name, hpa in self._hpas.items():
            hpa.restore(memory[name])


def _kept(service: ServiceObservation, count: int, now_s: float) -> Action:
    return ask(
        service,
        count,
        now_s,
        reason=Reason.BOUNDS,
        trigger_s=now_s,
        evidence={},
        explanation=f"{service.spec.name}: {count}, as nothing scales it.",
    )
