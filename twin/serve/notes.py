"""What the live shell notes, for the audit log and for the world's record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.model import ActionResult, Observation, Plan
from engine.ports.metrics import Reading
from engine.security.audit.log import AuditLog
from engine.security.audit.noting import became, decided
from twin.world.world import World


class WorldNotes:
    """`engine.runtime.shell.Notes`: what is done is in the audit log before it is done."""

    def __init__(self, world: World, audit: AuditLog) -> None:
        self._world = world
        self._audit = audit

    def step(
        self,
        time_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        reading: Reading,  # noqa: ARG002 (the world has the samples)
    ) -> None:
        """Note a step."""
        world, recorder = self._world, self._world.recorder
        interval_s = world.config.telemetry.interval_s
        end_s = float(recorder.counts.shape[1] * interval_s)
        at_s = min(max(world.env.now, float(interval_s)), end_s)
        recorder.step(at_s, observation, plan, compute_s, list(world.fleets.values()))
        self._audit.append(*(decided(action, time_s) for action in plan.actions))

    def result(self, result: ActionResult) -> None:
        """Note what became of an action; the world's record has it from the cloud."""
        self._audit.append(became(result))

    def event(self, time_s: float, kind: str, name: str, what: str, detail: str) -> None:  # noqa: ARG002
        """Note something that is no decision, at the world's time."""
        self._world.recorder.event(self._world.env.now, kind, name, what, detail)

    def status(self, status: Mapping[str, Any]) -> None:
        """Nobody asks a record how the engine was."""
