"""A world for the shell whose clock the test turns, and whose parts fail when they are told to."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import math
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog

from engine.adapters.lease_file import FileLease
from engine.adapters.store import statements
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.sqlite import SqliteFile
from engine.model import (
    SAMPLE_DTYPE,
    Action,
    ActionResult,
    BootTime,
    Budget,
    Category,
    Controller,
    Observation,
    Outlook,
    Plan,
    Reason,
    Rollback,
    ServiceSpec,
    Status,
    WeddingContext,
)
from engine.ports.infrastructure import Counts, Sighting, Unreachable
from engine.ports.lease import NO_FENCE, Fence, NotLeadingError
from engine.ports.metrics import Reading
from engine.ports.notifier import Alert
from engine.ports.store import HistoryRow, Kept, Requests, RowKind
from engine.runtime import log
from engine.runtime.cycle import Cycle
from engine.runtime.ports import Ports
from engine.runtime.settings import LiveSettings
from engine.runtime.shell import LiveShell
from twin.hunt.virtual import VirtualLoop

START_S = 1_000_000.0
PATIENT_S = 120.0
"""What answers at once may still take seconds of the loop's true time on a busy machine."""
SPEC = ServiceSpec(
    name="api",
    min_instances=2,
    max_instances=100,
    slots=10,
    service_s=0.1,
    service_scv=1.0,
    boot=BootTime(10.0, 20.0),
    warmup_s=2.0,
    slo_p95_s=0.5,
    price_per_hour=3.6,
)


class TurnedClock:
    """Time passes only when somebody waits, and then at once."""

    def __init__(self) -> None:
        self.time_s = START_S
        self.waited: list[float] = []
        self.at: dict[float, Callable[[], None]] = {}
        """What happens when a time is reached."""

    def now_s(self) -> float:
        return self.time_s

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        self.waited.append(duration_s)
        self.time_s += duration_s
        for time_s in sorted(self.at):
            if time_s <= self.time_s:
                self.at.pop(time_s)()
        await asyncio.sleep(0)


class Pool:
    """Instances that are ready at once; keeps the port's two rules."""

    def __init__(self) -> None:
        self.desired = 4
        self.seen: set[str] = set()
        self.writes: list[tuple[int, int]] = []
        self.asked: list[Action] = []
        self.looks = 0
        self.results: list[ActionResult] = []
        self.unreachable = ""
        self.refuses: BaseException | None = None
        self.hangs: asyncio.Event | None = None
        self.fences: list[Fence] = []
        self.clock: TurnedClock | None = None

    async def observe(self) -> Sighting:
        self.looks += 1
        if self.hangs is not None:
            await self.hangs.wait()
        if self.unreachable:
            raise Unreachable(self.unreachable)
        results, self.results = tuple(self.results), []
        return Sighting({"api": Counts(self.desired, self.desired, 0, 0)}, results)

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        self.fences.append(fence)
        if self.refuses is not None:
            raise self.refuses
        return tuple(self._apply(action) for action in actions)

    def _apply(self, action: Action) -> ActionResult:
        self.asked.append(action)
        assert self.clock is not None
        now_s = self.clock.now_s()
        if action.decision_id not in self.seen:
            if action.from_instances != self.desired:
                return ActionResult(action.decision_id, Status.FAILED, now_s, "conflict")
            self.seen.add(action.decision_id)
            self.writes.append((self.desired, action.to_instances))
            self.desired = action.to_instances
        return ActionResult(action.decision_id, Status.ACCEPTED, now_s)

    async def close(self) -> None:
        return


@dataclass
class Source:
    """Samples 3 s old with these figures; None: no samples at all."""

    cpu: float | None = 0.5
    rate: float = 200.0
    troubles: tuple[str, ...] = ()
    stopped_s: float = math.inf
    """From when on there are no new samples."""

    async def read(self, now_s: float) -> Reading:
        if self.cpu is None:
            return Reading({"api": np.zeros(0, SAMPLE_DTYPE)}, self.troubles)
        window = np.zeros(12, SAMPLE_DTYPE)
        window["time_s"] = min(now_s, self.stopped_s) - 3.0 - 5.0 * np.arange(12)[::-1]
        window["cpu"], window["memory"], window["request_rate"] = self.cpu, 0.4, self.rate
        window["p50_s"], window["p95_s"], window["p99_s"] = 0.1, 0.2, 0.3
        return Reading({"api": window}, self.troubles)

    async def totals(self, begin_s: float, end_s: float) -> dict[str, dict[str, float]]:
        return {}

    async def first_served(self, begin_s: float, end_s: float) -> dict[str, list[float]]:
        return {}

    async def close(self) -> None:
        return


@dataclass
class Calendar:
    """The same booked load all day."""

    rate: float = 200.0
    broken: str = ""

    async def outlook(self, now_s: float) -> Outlook:
        if self.broken:
            raise ValueError(self.broken)
        load = np.full((1, 2000), self.rate)
        return Outlook(
            START_S, START_S - 3600.0, 60.0, {"api": 0}, load, 0.0 * load,
            np.full(2000, 12.0), np.full(2000, 1.0), 0.05,
        )  # fmt: skip

    async def close(self) -> None:
        return


@dataclass
class Notebook:
    """What was noted."""

    steps: list[tuple[float, Observation, Plan]] = field(default_factory=list)
    results: list[ActionResult] = field(default_factory=list)
    events: list[tuple[float, str, str, str]] = field(default_factory=list)
    statuses: list[Mapping[str, Any]] = field(default_factory=list)
    unkept: list[tuple[float, list[str]]] = field(default_factory=list)

    def step(
        self, time_s: float, observation: Observation, plan: Plan, compute_s: float, *, reading: Any
    ) -> None:
        self.steps.append((time_s, observation, plan))

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        self.unkept.append((time_s, [action.decision_id for action in actions]))

    def result(self, result: ActionResult) -> None:
        self.results.append(result)

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        self.events.append((time_s, kind, name, detail))

    def status(self, status: Mapping[str, Any]) -> None:
        self.statuses.append(status)

    def kinds(self, name: str) -> list[str]:
        return [kind for _, kind, about, _ in self.events if about == name]


def action(decision_id: str, before: int, after: int, now_s: float = START_S) -> Action:
    """An action for the api."""
    return Action(
        decision_id=decision_id,
        service="api",
        from_instances=before,
        to_instances=after,
        reason=Reason.CPU,
        category=Category.AUTOMATIC,
        confidence=0.9,
        cost_per_hour=1.0,
        rollback=Rollback(before),
        weddings=WeddingContext(),
        evidence={},
        trigger_s=now_s - 3.0,
        decided_s=now_s,
        explanation=f"api: {before} → {after}",
    )


class Scripted:
    """Answers step k with `plans[k]`, later ones with an empty plan; remembers its count."""

    def __init__(self, *plans: Plan | Exception) -> None:
        self.plans = plans
        self.count = 0
        self.seen: list[Observation] = []

    def step(self, observation: Observation) -> Plan:
        self.seen.append(observation)
        k, self.count = self.count, self.count + 1
        plan = self.plans[k] if k < len(self.plans) else Plan(cycle=k % 3 == 0)
        if isinstance(plan, Exception):
            raise plan
        return plan

    def snapshot(self) -> str:
        return json.dumps({"count": self.count})

    def restore(self, snapshot: str) -> None:
        raw = json.loads(snapshot)
        if set(raw) != {"count"}:
            raise ValueError("not a snapshot of this")
        self.count = int(raw["count"])


class Pager:
    """Takes alerts, or fails."""

    def __init__(self) -> None:
        self.alerts: list[Alert] = []
        self.broken: BaseException | None = None

    async def notify(self, alert: Alert) -> None:
        if self.broken is not None:
            raise self.broken
        self.alerts.append(alert)

    async def close(self) -> None:
        return


class StoreInMemory:
    """Answers at once, without a thread: a store for simulated time."""

    def __init__(self) -> None:
        self.text = ""
        self.status = ""
        self.rows: tuple[HistoryRow, ...] = ()

    async def requests(self, now_s: float) -> Requests:
        return Requests()

    async def newest(self) -> Fence:
        return NO_FENCE

    async def memory(self) -> str:
        return self.text

    async def keep(self, kept: Kept, fence: Fence) -> None:
        self.text = self.text if kept.memory is None else kept.memory
        self.rows += kept.rows

    async def put_memory_aside(self, fence: Fence) -> str:
        return "aside"

    async def show_status(self, text: str, fence: Fence) -> None:
        self.status = text

    async def close(self) -> None:
        return


class LosableLease:
    """A lease that others may have taken."""

    def __init__(self) -> None:
        self.fence = 1
        self.taken = False
        self.broken: BaseException | None = None
        self.released = False

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        if self.broken is not None:
            raise self.broken
        if self.taken:
            raise NotLeadingError("the engine next door leads", "the engine next door")
        self.fence = max(self.fence, above + 1)
        return Fence(self.fence)

    async def release(self) -> None:
        self.released = True


def simulated(coroutine: Coroutine[Any, Any, Any]) -> float:
    """Run it on a clock that nobody waits for; the time when it ends, s."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(coroutine)
        return runner.get_loop().time()


class LiveWorld:
    """Everything around a shell."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.clock = TurnedClock()
        self.pool = Pool()
        self.pool.clock = self.clock
        self.source = Source()
        self.calendar = Calendar()
        self.notes = Notebook()
        self.pager = Pager()
        self.file = SqliteFile(state)
        self.store = SqlStore(self.file)
        self.desk = SqlDesk(self.file)
        self.lease = FileLease(state)  # one for all lives, which follow each other in one process
        self.specs = (SPEC,)

    def status(self) -> dict[str, Any]:
        """What was shown last."""
        status: dict[str, Any] = json.loads(self.desk.status())
        return status

    def memory(self) -> str:
        """The text that was kept last."""
        return self.file.read(statements.memory)

    def put_memory(self, text: str) -> None:
        """Change what was kept; "": there is none."""
        self.file.write(lambda to: to.execute("DELETE FROM memory")).result()
        if text:
            kept = Kept(text)
            self.file.write(lambda to: statements.keep(to, kept, statements.newest(to))).result()

    def rows(self, *kinds: RowKind) -> list[HistoryRow]:
        """What was kept of these kinds."""
        return [kept.row for kept in self.desk.history(0, 10_000, kinds)]

    def in_memory(self) -> dict[str, Any]:
        """Ports without files, for simulated time."""
        return {"store": StoreInMemory(), "lease": LosableLease()}

    def shell(
        self, controller: Controller, *, duration_s: float | None = 60.0, **options: Any
    ) -> LiveShell:
        limits = ("observe_timeout_s", "apply_timeout_s")
        # A real store and a real lease answer in the loop's true time.
        settings = {} if "store" in options else dict.fromkeys(limits, PATIENT_S)
        settings |= {name: options.pop(name) for name in limits if name in options}
        ports: dict[str, Any] = {
            "metrics": self.source,
            "infrastructure": self.pool,
            "bookings": self.calendar,
            "store": self.store,
            "lease": self.lease,
            "notifier": self.pager,
        }
        ports |= {name: options.pop(name) for name in tuple(options) if name in ports}
        clock = options.pop("clock", self.clock)
        return LiveShell(
            Cycle(controller, (SPEC,), **{"budget": Budget(), **options}),
            (SPEC,),
            Ports(**ports),
            notes=self.notes,
            clock=clock,
            settings=LiveSettings(state=str(self.state), duration_s=duration_s, **settings),
            sample_s=5.0,
        )


def begun(folder: Path) -> LiveWorld:
    """A world in which all is well, with its state in a folder."""
    state = folder / "state"
    state.mkdir()
    return LiveWorld(state)


@pytest.fixture(autouse=True)
def logged() -> Iterator[io.StringIO]:
    """The log, as it is in a pipe."""
    root = logging.getLogger()
    handlers, level, configured = list(root.handlers), root.level, structlog.get_config()
    stream = io.StringIO()
    log.set_up(stream)
    yield stream
    root.handlers = handlers
    root.setLevel(level)
    structlog.configure(**configured)


@pytest.fixture
def world(tmp_path: Path) -> LiveWorld:
    """A world in which all is well."""
    return begun(tmp_path)


@pytest.fixture
def scripted() -> type[Scripted]:
    """A controller that does what it is told to."""
    return Scripted


@pytest.fixture
def act() -> Callable[..., Action]:
    """Makes an action."""
    return action
