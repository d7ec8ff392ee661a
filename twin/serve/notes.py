"""What the live shell notes, for the audit log and for the world's record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.model import Action, ActionResult, Observation, Plan
from engine.ports.metrics import Reading
from engine.security.audit.courier import Courier
from engine.security.audit.noting import decided
from twin.world.world import World


class WorldNotes:
    """`engine.runtime.shell.Notes`, for the world; what is done the store stages for the log."""

    def __init__(self, world: World, courier: Courier) -> None:
        self._world = world
        self._courier = courier

    def step(
        self,
        time_s: float,  # noqa: ARG002 (the world has its own)
        observation: Observation,
        plan: Plan,
        compute_s: float,
        *,
        reading: Reading,  # noqa: ARG002 (the world has the samples)
    ) -> None:
        """Note a step."""
        world, recorder = self._world, self._world.recorder
        interval_s = world.config.telemetry.interval_s
        end_s = float(recorder.counts.shape[1] * interval_s)
        at_s = min(max(world.env.now, float(interval_s)), end_s)
        recorder.step(at_s, observation, plan, compute_s, fleets=list(world.fleets.values()))

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        """Say in the audit log itself what is done."""
        self._courier.audit.append(*(decided(action, time_s) for action in actions))

    def result(self, result: ActionResult) -> None:
        """The world's record has it from the cloud."""

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:  # noqa: ARG002
        """Note something that is no decision, at the world's time."""
        self._world.recorder.event(self._world.env.now, kind, name, what, detail=detail)

    def status(self, status: Mapping[str, Any]) -> None:  # noqa: ARG002 (nobody asks a record)
        """Raises OSError while the audit log lags behind the store."""
        if self._courier.trouble:
            raise OSError(0, self._courier.trouble)
