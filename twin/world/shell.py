"""The thin shell around a controller in simulated time: observe, step, act, every 5 s.

What it does means what it means in production: both are driven by `engine.runtime.cycle.Cycle`.  It
gathers what the controller may know, hands its actions to the infrastructure and gives everything
to the recorder.  Faults of the engine happen here: it is killed and restored, replaced by another
leader, or has a wrong clock.
"""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import simpy

from engine.adapters.blocking import Booked
from engine.config.recurrence import Recurrence
from engine.model import (
    ManualFloor,
    ManualScale,
    Observation,
    Pause,
    Plan,
    ServiceSpec,
)
from engine.ports.store import Requests
from engine.runtime.cycle import CONTROLLER, Cycle, Gathered
from engine.runtime.errors import ControllerError
from scenarios.faults.parts import Death
from twin.config import OperatorConfig
from twin.world.cloud import Seat, SimulatedCloud
from twin.world.fleet import Fleet
from twin.world.recorder import Recorder
from twin.world.telemetry import Telemetry

_NOTHING = Requests()


@dataclass(frozen=True, slots=True)
class _Standing:
    """A standing request with the time from which it holds (epoch seconds), and when it does."""

    from_s: float
    request: ManualFloor | Pause | ManualScale
    schedule: Recurrence | None

    def at(self, now_s: float) -> ManualFloor | Pause | ManualScale | None:
        """The request, if it holds at `now_s` (epoch seconds)."""
        if not self.from_s <= now_s < self.request.expires_s:
            return None
        if self.schedule is None:
            return self.request
        occurrence = self.schedule.at(now_s)
        if occurrence is None:
            return None
        return replace(self.request, expires_s=min(occurrence.end_s, self.request.expires_s))


class Operator:
    """The people around the engine: they ask for floors and counts, and pause."""

    def __init__(self, config: OperatorConfig, start_s: float) -> None:
        self._standing = [
            _Standing(
                start_s + floor.at_s,
                ManualFloor(floor.service, floor.instances, start_s + floor.expires_s, "operator"),
                floor.schedule,
            )
            for floor in config.floors
        ] + [
            _Standing(
                start_s + pause.at_s,
                Pause(pause.service, pause.direction, start_s + pause.expires_s, pause.pinned),
                pause.schedule,
            )
            for pause in config.pauses
        ] + [
            _Standing(
                start_s + scale.at_s,
                ManualScale(
                    f"scale-{number}", scale.service, scale.instances, start_s + scale.expires_s,
                    "operator", override=scale.override,
                ),
                None,
            )
            for number, scale in enumerate(config.scales, start=1)
        ]  # fmt: skip

    def requests(self, now_s: float) -> Requests:
        """What they ask for at `now_s` (epoch seconds)."""
        if not self._standing:
            return _NOTHING
        holding = [request for s in self._standing if (request := s.at(now_s)) is not None]
        return Requests(
            tuple(request for request in holding if isinstance(request, ManualFloor)),
            tuple(request for request in holding if isinstance(request, Pause)),
            scales=tuple(request for request in holding if isinstance(request, ManualScale)),
        )


Watcher = Callable[[Observation, Plan], None]
"""Is told of each step of the leading controller, before its actions are sent."""


@dataclass(slots=True)
class Dying:
    """An engine that is to be killed, from `at_s` on and by `until_s` at the latest."""

    how: Death
    at_s: float
    until_s: float
    died: Callable[[str], None]


@dataclass(slots=True)
class _Deposed:
    """A leader that was replaced and does not know: it sees what was seen `behind` steps ago."""

    cycle: Cycle
    seat: Seat
    behind: int
    seen: deque[tuple[float, Gathered]] = field(default_factory=deque)


class Surroundings(NamedTuple):
    """What a shell sees of its world, and what it moves there."""

    specs: Sequence[ServiceSpec]
    fleets: Mapping[str, Fleet]
    telemetry: Sequence[Telemetry]
    feed: Booked
    infrastructure: SimulatedCloud
    operator: Operator


class SimulatedShell:
    """Drives one cycle over a simulated world.

    `cycle` is the first, and `again` gives another one around a controller without memory.
    """

    def __init__(
        self,
        env: simpy.Environment,
        cycle: Cycle,
        again: Callable[[], Cycle],
        surroundings: Surroundings,
        *,
        recorder: Recorder,
        start_s: float,
        interval_s: int,
        catch_up: Callable[[], None],
    ) -> None:
        self.env = env
        self.clock_error_s = 0.0
        """How far the engine's clock is ahead of the world's."""
        self.steps = 0
        """Steps that the leading engine made."""
        self.deposed_steps = 0
        """Steps that an engine made after it had lost the lead."""
        self.restarts: list[tuple[float, float]] = []
        """When the engine was restarted, and from when its memory was; -inf: it had none."""
        self.watchers: list[Watcher] = []
        self._cycle = cycle
        self._again = again
        self._fleets = surroundings.fleets
        self._services = list(zip(surroundings.specs, surroundings.telemetry, strict=True))
        self._feed = surroundings.feed
        self._infrastructure = infrastructure = surroundings.infrastructure
        self._operator = surroundings.operator
        self._recorder = recorder
        self._start_s = start_s
        self._interval_s = interval_s
        self._catch_up = catch_up
        self._seat = Seat(infrastructure, infrastructure.fence)
        self._deaths: list[Dying] = []
        self._down_until_s = -math.inf
        self._memory_s, self._memory = -math.inf, ""
        self._memories: deque[tuple[float, str]] = deque()
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
            now_s, gathered = self._gather()
            observation = _observation(self._cycle, now_s, gathered)
            began = time.perf_counter()
            plan = self._decide(self._cycle, observation)
            compute_s = time.perf_counter() - began
            self.steps += 1
            self._recorder.step(self.env.now, observation, plan, compute_s, fleets=fleets)
            for watcher in self.watchers:
                watcher(observation, plan)
            death = self._dying(plan)
            if death is None:
                self._seat.apply(plan.actions)
                self._remember(plan, now_s)
            else:
                self._seat.apply(plan.actions[: death.how.acted])
                self._die(death)
            for deposed in self._deposed:
                self._go_on(deposed, now_s, gathered)

    def kill(self, death: Death, at_s: float, until_s: float, died: Callable[[str], None]) -> None:
        """Arrange for the engine's death between `at_s` and `until_s`; before the run."""
        self._deaths.append(Dying(death, at_s, until_s, died))
        self._keep_s = max(self._keep_s, death.snapshot_age_s)

    def depose(self, behind_s: float) -> Callable[[], None]:
        """Let another engine lead; returns what makes the old one notice.

        The new one starts from the old one's memory.
        """
        old = _Deposed(self._cycle, self._seat, round(behind_s / self._interval_s))
        self._deposed.append(old)
        now_s = self._now_s()
        self._cycle = self._again()
        self._begin(self._cycle, now_s, self._memory_of(old.cycle, now_s))
        self._seat = Seat(self._infrastructure, self._infrastructure.new_fence())
        return lambda: self._deposed.remove(old)

    def begin_with(self, memory: str) -> None:
        """Let the controller begin with what one before it knew; to be called before the run."""
        self._begin(self._cycle, self._now_s(), memory)

    def hasten(self, now_s: float, apart_s: float, name: str, why: str) -> bool:
        """Let the leading engine look at everything in its next step; as `Cycle.hasten`."""
        hastened = self._cycle.hasten(now_s, apart_s, name, why)
        if hastened:
            self._recorder.event(
                self.env.now, "step_hastened", name, "is looked at at once", detail=why
            )
        return hastened

    def observe(self) -> Observation:
        """Everything that the controller may know now."""
        now_s, gathered = self._gather()
        return _observation(self._cycle, now_s, gathered)

    def _now_s(self) -> float:
        """The time by the engine's clock."""
        return self._start_s + self.env.now + self.clock_error_s

    def _gather(self) -> tuple[float, Gathered]:
        since_start_s = self.env.now
        now_s = self._start_s + since_start_s
        return now_s + self.clock_error_s, Gathered(
            sighting=self._seat.observe(),
            outlook=self._feed.outlook(now_s),
            windows={spec.name: source.window(since_start_s) for spec, source in self._services},
            requests=self._operator.requests(now_s),
        )

    def _decide(self, cycle: Cycle, observation: Observation) -> Plan:
        """What a controller wants.

        Raises ControllerError: a run with a controller that fails is of no use to anybody.
        """
        plan = cycle.decide(observation, f"{self.env.now:.0f} s into the run")
        if plan is None:
            raise ControllerError("; ".join(cycle.troubles.all[CONTROLLER]))
        return plan

    def _begin(self, cycle: Cycle, now_s: float, memory: str) -> None:
        if not cycle.begin(now_s, memory):
            raise ControllerError("; ".join(event.detail for event in cycle.events()))
        for event in cycle.events():
            self._recorder.event(
                self.env.now, event.kind, event.name, event.what, detail=event.detail
            )

    def _memory_of(self, cycle: Cycle, now_s: float) -> str:
        memory = cycle.memory(now_s)
        if memory is None:
            raise ControllerError("; ".join(cycle.troubles.all[CONTROLLER]))
        return memory.text

    def _remember(self, plan: Plan, now_s: float) -> None:
        """Keep the memories that a later restart may want, one a cycle."""
        if self._keep_s < 0.0 or not plan.cycle:
            return
        self._memories.append((self.env.now, self._memory_of(self._cycle, now_s)))
        while len(self._memories) > 1 and self._memories[1][0] <= self.env.now - self._keep_s:
            self._memories.popleft()

    def _dying(self, plan: Plan) -> Dying | None:
        """The death that is due now: with something to do, or at its last moment."""
        for death in self._deaths:
            if self.env.now >= death.at_s and (plan.actions or self.env.now >= death.until_s):
                return death
        return None

    def _die(self, death: Dying) -> None:
        now_s, how = self.env.now, death.how
        self._deaths.remove(death)
        old = [kept for kept in self._memories if kept[0] <= now_s - how.snapshot_age_s]
        self._memory_s, self._memory = old[-1] if old else (-math.inf, "")
        self._down_until_s = now_s + how.down_s
        memory = f"a memory {how.snapshot_age_s:.0f} s old" if old else "no memory"
        death.died(f"killed before acting; restarts after {how.down_s:.0f} s with {memory}")

    def _alive(self) -> bool:
        """Whether there is an engine now; starts the next one when its time has come."""
        if self._down_until_s == -math.inf:
            return True
        if self.env.now < self._down_until_s:
            return False
        self._down_until_s = -math.inf
        self._cycle = self._again()
        self._begin(self._cycle, self._now_s(), self._memory)
        self.restarts.append((self.env.now, self._memory_s))
        self._infrastructure.results(self._seat.fence)  # the answers to the dead one reach nobody
        return True

    def _go_on(self, deposed: _Deposed, now_s: float, gathered: Gathered) -> None:
        """One step of an engine that does not know that it no longer leads."""
        deposed.seen.append((now_s, gathered))
        if len(deposed.seen) <= deposed.behind:
            return
        then_s, then = deposed.seen.popleft()
        assert then.sighting is not None
        sighting = replace(then.sighting, results=deposed.seat.observe().results)
        seen = _observation(deposed.cycle, then_s, replace(then, sighting=sighting))
        plan = self._decide(deposed.cycle, seen)
        self.deposed_steps += 1
        deposed.seat.apply(plan.actions)


def _observation(cycle: Cycle, now_s: float, gathered: Gathered) -> Observation:
    observation = cycle.observe(now_s, gathered)
    assert observation is not None, "in a simulated world everything can be seen"
    return observation
