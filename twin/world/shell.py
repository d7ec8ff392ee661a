"""The thin shell around a controller in simulated time: observe, step, act, every 5 s.

It holds no policy.  It gathers what the controller may know, hands its actions to the
infrastructure, puts its questions to the approver and gives everything to the recorder.  Faults of
the engine happen here: it is killed and restored, replaced by another leader, or has a wrong clock.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import simpy

from engine import model
from engine.adapters.bookings_compressed import Booked
from engine.config.run import Approver
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
from engine.runtime.ask import blaming, decide
from scenarios.faults.kinds import EngineKill
from twin.config import OperatorConfig
from twin.world.cloud import Infrastructure, Seat
from twin.world.fleet import Fleet
from twin.world.recorder import Recorder
from twin.world.telemetry import Telemetry


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
        approval: Approver,
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


Watcher = Callable[[Observation, Plan], None]
"""Is told of each step of the leading controller, before its actions are sent."""


@dataclass(slots=True)
class _Death:
    """An engine that is to be killed, from `at_s` on and by `until_s` at the latest."""

    fault: EngineKill
    at_s: float
    until_s: float
    fired: Callable[[str], None]


@dataclass(slots=True)
class _Deposed:
    """A leader that was replaced and does not know: it sees what was seen `behind` steps ago."""

    controller: Controller
    seat: Seat
    behind: int
    seen: deque[Observation] = field(default_factory=deque)


class Shell:
    """Drives one controller, known as `name`; `make` gives another of the kind, without memory."""

    def __init__(
        self,
        env: simpy.Environment,
        controller: Controller,
        make: Callable[[], Controller],
        name: str,
        specs: Sequence[ServiceSpec],
        fleets: Mapping[str, Fleet],
        telemetry: Sequence[Telemetry],
        feed: Booked,
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
        self.clock_error_s = 0.0
        """How far the engine's clock is ahead of the world's."""
        self.steps = 0
        """Steps that the leading engine made."""
        self.deposed_steps = 0
        """Steps that an engine made after it had lost the lead."""
        self.restarts: list[tuple[float, float]] = []
        """When the engine was restarted, and from when its memory was; -inf: it had none."""
        self.watchers: list[Watcher] = []
        self._make = make
        self._name = name
        self._fleets = fleets
        self._services = list(zip(specs, telemetry, strict=True))
        self._specs = {spec.name: spec for spec in specs}
        self._feed = feed
        self._infrastructure = infrastructure
        self._operator = operator
        self._budget = budget
        self._recorder = recorder
        self._start_s = start_s
        self._interval_s = interval_s
        self._catch_up = catch_up
        self._seat = Seat(infrastructure, infrastructure.lease)
        self._deaths: list[_Death] = []
        self._down_until_s = -math.inf
        self._snapshot_s, self._snapshot = -math.inf, ""
        self._snapshots: deque[tuple[float, str]] = deque()
        self._keep_s = -1.0
        self._deposed: list[_Deposed] = []

    def run(self) -> Generator[simpy.Event, None, None]:
        """The process: one step a sample, for as long as the world runs."""
        fleets = [self._fleets[spec.name] for spec, _ in self._services]
        while True:
            yield self.env.timeout(self._interval_s)
            self._catch_up()
            if not self._alive():
                self._recorder.count(self.env.now, fleets)
                continue
            observation = self.observe()
            began = time.perf_counter()
            plan = self._step(self.controller, observation)
            compute_s = time.perf_counter() - began
            self.steps += 1
            self._recorder.step(self.env.now, observation, plan, compute_s, fleets)
            for watcher in self.watchers:
                watcher(observation, plan)
            death = self._dying(plan)
            if death is None:
                self._act(plan)
                self._remember(plan)
            else:
                self._act(replace(plan, actions=plan.actions[: death.fault.acted], awaiting=()))
                self._die(death)
            for deposed in self._deposed:
                self._go_on(deposed, observation)

    def kill(
        self, fault: EngineKill, at_s: float, until_s: float, fired: Callable[[str], None]
    ) -> None:
        """Arrange for the engine to be killed as `fault` says; to be called before the run."""
        self._deaths.append(_Death(fault, at_s, until_s, fired))
        self._keep_s = max(self._keep_s, fault.snapshot_age_s)

    def depose(self, behind_s: float) -> Callable[[], None]:
        """Let another engine lead; returns what makes the old one notice.

        The new one starts from the old one's memory.
        """
        old = _Deposed(self.controller, self._seat, round(behind_s / self._interval_s))
        self._deposed.append(old)
        self.controller = self._make()
        with blaming(self._name, self._when()):
            self.controller.restore(old.controller.snapshot())
        self._seat = Seat(self._infrastructure, self._infrastructure.new_lease())
        return lambda: self._deposed.remove(old)

    def observe(self) -> Observation:
        """Everything that the controller may know now."""
        since_start_s = self.env.now
        now_s = self._start_s + since_start_s
        seen = self._seat.observe()
        return Observation(
            now_s=now_s + self.clock_error_s,
            services=tuple(
                [
                    ServiceObservation(
                        spec, counts.desired, counts.ready, counts.booting, counts.draining,
                        source.window(since_start_s),
                    )
                    for spec, source in self._services
                    for counts in (seen.services[spec.name],)
                ]
            ),
            outlook=self._feed.outlook(now_s),
            results=seen.results,
            approvals=self._operator.answers(),
            floors=self._operator.floors(now_s),
            pauses=self._operator.pauses(now_s),
            budget=self._budget,
        )  # fmt: skip

    def _step(self, controller: Controller, observation: Observation) -> Plan:
        return decide(controller, observation, self._specs, self._when(), self._name)

    def _when(self) -> str:
        return f"{self.env.now:.0f} s into the run"

    def _act(self, plan: Plan) -> None:
        self._seat.apply(plan.actions)
        for action in plan.awaiting:
            self._operator.ask(action)

    def _remember(self, plan: Plan) -> None:
        """Keep the snapshots that a later restart may want, one a cycle."""
        if self._keep_s < 0.0 or not plan.cycle:
            return
        now_s = self.env.now
        with blaming(self._name, self._when()):
            self._snapshots.append((now_s, self.controller.snapshot()))
        while len(self._snapshots) > 1 and self._snapshots[1][0] <= now_s - self._keep_s:
            self._snapshots.popleft()

    def _dying(self, plan: Plan) -> _Death | None:
        """The death that is due now: with something to do, or at its last moment."""
        for death in self._deaths:
            if self.env.now >= death.at_s and (plan.actions or self.env.now >= death.until_s):
                return death
        return None

    def _die(self, death: _Death) -> None:
        now_s, fault = self.env.now, death.fault
        self._deaths.remove(death)
        old = [kept for kept in self._snapshots if kept[0] <= now_s - fault.snapshot_age_s]
        self._snapshot_s, self._snapshot = old[-1] if old else (-math.inf, "")
        self._down_until_s = now_s + fault.down_s
        memory = f"a memory {fault.snapshot_age_s:.0f} s old" if old else "no memory"
        death.fired(f"killed before acting; restarts after {fault.down_s:.0f} s with {memory}")

    def _alive(self) -> bool:
        """Whether there is an engine now; starts the next one when its time has come."""
        if self._down_until_s == -math.inf:
            return True
        if self.env.now < self._down_until_s:
            return False
        self._down_until_s = -math.inf
        self.controller = self._make()
        if self._snapshot:
            with blaming(self._name, self._when()):
                self.controller.restore(self._snapshot)
        self.restarts.append((self.env.now, self._snapshot_s))
        self._infrastructure.results(self._seat.lease)  # the answers to the dead one reach nobody
        return True

    def _go_on(self, deposed: _Deposed, observation: Observation) -> None:
        """One step of an engine that does not know that it no longer leads."""
        deposed.seen.append(observation)
        if len(deposed.seen) <= deposed.behind:
            return
        answers = deposed.seat.observe().results
        seen = replace(deposed.seen.popleft(), results=answers, approvals=())
        plan = self._step(deposed.controller, seen)
        self.deposed_steps += 1
        deposed.seat.apply(plan.actions)
