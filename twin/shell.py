"""The thin shell around a controller in simulated time: observe, step, act, every 5 s.

It holds no policy.  It gathers what the controller may know, hands its actions to the
infrastructure, puts its questions to the approver and gives everything to the recorder.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass

import simpy

from engine import model
from engine.model import (
    Action,
    Budget,
    Controller,
    ManualFloor,
    Observation,
    Pause,
    Plan,
    ServiceObservation,
    ServiceSpec,
)
from twin.config import Approval, OperatorConfig
from twin.fleet import Fleet
from twin.infrastructure import Infrastructure
from twin.recorder import Recorder
from twin.schedule_feed import ScheduleFeed
from twin.telemetry import Telemetry


class ControllerError(RuntimeError):
    """The controller raised, or asked for something that makes no sense."""


@dataclass(frozen=True, slots=True)
class _Standing:
    """A standing request with the time from which it holds (epoch seconds)."""

    from_s: float
    request: ManualFloor | Pause


class Operator:
    """The people around the engine: they approve, ask for floors and pause."""

    def __init__(
        self,
        env: simpy.Environment,
        config: OperatorConfig,
        approval: Approval,
        start_s: float,
    ) -> None:
        self.env = env
        self._approval = approval
        self._start_s = start_s
        self._answers: list[model.Approval] = []
        self._standing = [
            _Standing(
                start_s + floor.at_s,
                ManualFloor(floor.service, floor.instances, start_s + floor.expires_s, "operator"),
            )
            for floor in config.floors
        ] + [
            _Standing(
                start_s + pause.at_s,
                Pause(pause.service, pause.direction, start_s + pause.expires_s, pause.pinned),
            )
            for pause in config.pauses
        ]

    def ask(self, action: Action) -> None:
        """Put an action to the approver."""
        if self._approval != "never":
            delay_s = 0.0 if self._approval == "automatic" else float(self._approval)
            self.env.process(self._answer(action.decision_id, delay_s))

    def answers(self) -> tuple[model.Approval, ...]:
        """Answers since this was last asked for."""
        if not self._answers:
            return ()
        answers = tuple(self._answers)
        self._answers.clear()
        return answers

    def floors(self, now_s: float) -> tuple[ManualFloor, ...]:
        """Manual floors that hold now."""
        return tuple(
            s.request
            for s in self._standing
            if isinstance(s.request, ManualFloor) and s.from_s <= now_s < s.request.expires_s
        )

    def pauses(self, now_s: float) -> tuple[Pause, ...]:
        """Pauses that hold now."""
        return tuple(
            s.request
            for s in self._standing
            if isinstance(s.request, Pause) and s.from_s <= now_s < s.request.expires_s
        )

    def _answer(self, decision_id: str, delay_s: float) -> Generator[simpy.Event, None, None]:
        yield self.env.timeout(delay_s)
        now_s = self._start_s + self.env.now
        self._answers.append(model.Approval(decision_id, True, now_s, "approver"))


class Shell:
    """Drives one controller."""

    def __init__(
        self,
        env: simpy.Environment,
        controller: Controller,
        specs: Sequence[ServiceSpec],
        fleets: Mapping[str, Fleet],
        telemetry: Sequence[Telemetry],
        feed: ScheduleFeed,
        infrastructure: Infrastructure,
        operator: Operator,
        budget: Budget,
        recorder: Recorder,
        start_s: float,
        interval_s: int,
        catch_up: Callable[[], None],
    ) -> None:
        self.env = env
        self.controller = controller
        self._services = [
            (spec, fleets[spec.name], source) for spec, source in zip(specs, telemetry, strict=True)
        ]
        self._specs = {spec.name: spec for spec in specs}
        self._feed = feed
        self._infrastructure = infrastructure
        self._operator = operator
        self._budget = budget
        self._recorder = recorder
        self._start_s = start_s
        self._interval_s = interval_s
        self._catch_up = catch_up

    def run(self) -> Generator[simpy.Event, None, None]:
        """The process: one step a sample, for as long as the world runs."""
        while True:
            yield self.env.timeout(self._interval_s)
            self._catch_up()
            observation = self.observe()
            began = time.perf_counter()
            try:
                plan: object = self.controller.step(observation)
            except Exception as error:
                name = type(self.controller).__name__
                at = f"{self.env.now:.0f} s into the run"
                raise ControllerError(f"controller {name} raised {error!r} {at}") from error
            if not isinstance(plan, Plan):
                name = type(self.controller).__name__
                raise ControllerError(
                    f"controller {name} returned {type(plan).__name__}, not a Plan"
                )
            self._recorder.step(
                observation, plan, time.perf_counter() - began, [f for _, f, _ in self._services]
            )
            self._act(plan)

    def observe(self) -> Observation:
        """Everything that the controller may know now."""
        since_start_s = self.env.now
        now_s = self._start_s + since_start_s
        return Observation(
            now_s=now_s,
            services=tuple(
                [
                    ServiceObservation(
                        spec, fleet.desired, fleet.ready, fleet.booting, fleet.draining,
                        source.window(since_start_s),
                    )
                    for spec, fleet, source in self._services
                ]
            ),
            outlook=self._feed.outlook(now_s),
            results=self._infrastructure.results(),
            approvals=self._operator.answers(),
            floors=self._operator.floors(now_s),
            pauses=self._operator.pauses(now_s),
            budget=self._budget,
        )  # fmt: skip

    def _act(self, plan: Plan) -> None:
        for action in plan.actions:
            self._check(action)
            self._infrastructure.apply(action)
        for action in plan.awaiting:
            self._operator.ask(action)

    def _check(self, action: Action) -> None:
        """Nonsense is reported, never silently put right."""
        spec = self._specs.get(action.service)
        name = type(self.controller).__name__
        if spec is None:
            raise ControllerError(f'controller {name}: unknown service "{action.service}"')
        if not isinstance(action.to_instances, int) or not (
            spec.min_instances <= action.to_instances <= spec.max_instances
        ):
            raise ControllerError(
                f"controller {name}: {spec.name} to {action.to_instances} instances is not allowed "
                f"({spec.min_instances} … {spec.max_instances})"
            )
