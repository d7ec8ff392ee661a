"""The simulated cloud: takes actions, accepts them after a while, and lets the fleets follow.

An action is applied once, whatever how often it is sent: its decision id is the idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping

import simpy
from pydantic import BaseModel, ConfigDict, Field

from engine.model import Action, ActionResult, Status
from twin.fleet import Fleet


class InfrastructureConfig(BaseModel):
    """How the simulated cloud carries out what it is asked for."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    accept_s: float = Field(default=2.0, ge=0.0, le=600.0, description="request to acceptance")
    drain_s: float = Field(default=30.0, ge=0.0, le=3600.0, description="drain, billed")
    replace_after_s: float = Field(
        default=30.0, ge=0.0, le=3600.0, description="until a lost instance is replaced"
    )


class Infrastructure:
    """Carries actions out on the fleets and reports what became of them."""

    def __init__(
        self,
        env: simpy.Environment,
        config: InfrastructureConfig,
        fleets: Mapping[str, Fleet],
        start_s: float,
        noted: Callable[[ActionResult], None],
    ) -> None:
        self.env = env
        self.config = config
        self.fleets = fleets
        self._start_s = start_s
        self._noted = noted
        self._seen: set[str] = set()
        self._results: list[ActionResult] = []

    def apply(self, action: Action) -> None:
        """Take an action; a second copy changes nothing."""
        if action.decision_id in self._seen:
            return
        self._seen.add(action.decision_id)
        self.env.process(self._carry_out(action))

    def results(self) -> tuple[ActionResult, ...]:
        """What has happened since this was last asked for."""
        if not self._results:
            return ()
        results = tuple(self._results)
        self._results.clear()
        return results

    def replace_lost(self) -> Generator[simpy.Event, None, None]:
        """Once the loss has been noticed, launch anew what is missing."""
        yield self.env.timeout(self.config.replace_after_s)
        for fleet in self.fleets.values():
            fleet.reconcile()

    def _carry_out(self, action: Action) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(self.config.accept_s)
        fleet = self.fleets[action.service]
        fleet.want(action.to_instances)
        self._report(action, Status.ACCEPTED)
        while fleet.desired == action.to_instances and fleet.ready != fleet.desired:
            yield self.env.timeout(5.0)
        if fleet.desired == action.to_instances:
            self._report(action, Status.COMPLETED)

    def _report(self, action: Action, status: Status) -> None:
        result = ActionResult(action.decision_id, status, self._start_s + self.env.now)
        self._results.append(result)
        self._noted(result)
