"""The asyncio shell of production, on a virtual clock, over the twin's cloud.

The engine is the real one, with its real shell; the ports are the world's, each spoiled in the ways
that `twin.hunt.ports` lists.  The simulated world is taken along: whenever a port is called, it has
caught up with the loop's time.  Each life of the engine is a process of its own: a kill takes
effect wherever it is just waiting, and what it has on its way is lost or not as it would be.

It is long because each port of the shell has its spoiled counterpart in it.
"""

from __future__ import annotations

# ruff: noqa: ARG002  what a method takes is said by its port
import asyncio
import math
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray

from engine.model import (
    SAMPLE_DTYPE,
    Action,
    ActionResult,
    Approval,
    Observation,
    Outlook,
    Plan,
    Status,
)
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import NO_FENCE, Fence, FencedOffError, NotLeadingError
from engine.ports.metrics import Reading
from engine.ports.notifier import Alert
from engine.ports.store import HistoryRow, Kept, Requests, RowKind
from engine.runtime import shell as live
from engine.runtime.patience import GIVE_UP
from engine.runtime.ports import Ports
from engine.runtime.settings import LiveSettings
from scenarios.faults.parts import Death
from twin.hunt.ports import RAISED, PortFault
from twin.hunt.virtual import VirtualLoop
from twin.world.cloud import CloudPort
from twin.world.shell import Dying, SimulatedShell
from twin.world.world import World

LOOK_S, WRITE_S = 2.0, 4.0
"""For how long the shell waits, less than between two samples."""

QUICK_S = 0.2
"""Longest that a port takes where nothing is wrong."""


class DeadError(RuntimeError):
    """The process that calls was killed: nothing that it does reaches anybody."""


@dataclass(slots=True)
class Disk:
    """What outlives the engine: each memory with the time when it was kept, answers and rows."""

    memories: list[tuple[float, str]] = field(default_factory=list)
    rows: dict[tuple[RowKind, str], HistoryRow] = field(default_factory=dict)
    answers: list[Approval] = field(default_factory=list)
    status: str = ""
    aside: list[str] = field(default_factory=list)
    fence: Fence = NO_FENCE


class HuntedShell(SimulatedShell):
    """Takes the place of the SimPy shell in a world.

    After `person_s` (s) somebody approves what waits for it, through the store; inf: nobody does.
    """

    faults: tuple[PortFault, ...] = ()
    person_s = math.inf

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.loop = VirtualLoop()
        self.disk = Disk()
        self.rng = np.random.default_rng(0)
        self.engines: list[Engine] = []
        self.fired: dict[str, int] = {}
        """How often each fault of a port did something."""
        self.ended: list[str] = []
        """What an engine ended with that nobody had asked to end."""
        self.unkept: list[str] = []
        """Commands that were given although it was not on the disk that they would be."""
        self.invented_s: list[float] = []
        """When samples are from that a lying source made up."""
        self.last_step_s = 0.0
        self.duration_s = math.inf
        self._dying: list[Dying] = []  # type: ignore[assignment]

    # --- what the world asks of a shell

    def run(self) -> Generator[simpy.Event, None, None]:
        """In simulated time only the counts are taken down."""
        fleets = [self._fleets[spec.name] for spec, _ in self._services]
        while True:
            yield self.env.timeout(self._interval_s)
            self._catch_up()
            self._recorder.count(self.env.now, fleets)

    def kill(self, death: Death, at_s: float, until_s: float, died: Callable[[str], None]) -> None:
        """Arrange for the engine's death: at a call of the infrastructure."""
        self._dying.append(Dying(death, at_s, until_s, died))

    def depose(self, behind_s: float) -> Callable[[], None]:
        """Let another engine lead, once it can; returns what makes the old one notice."""
        old = self.engines[-1]
        old.falls_behind = round(behind_s / self._interval_s)
        self.start()
        return old.end

    # --- the course of it

    def live(self, world: World, seed: int) -> None:
        """Run `world` to its end on the virtual clock."""
        self.rng = np.random.default_rng(seed)
        self.duration_s = float(world.duration_s)
        self.env.process(self.run())
        try:
            self.loop.run_until_complete(self._course())
        finally:
            for _ in range(3):  # a cancelled shell still tries to keep its memory
                for task in asyncio.all_tasks(self.loop):
                    task.cancel()
                self.loop.run_until_complete(asyncio.sleep(0.0))
            self.loop.close()

    async def _course(self) -> None:
        duration_s = self.duration_s
        for fault in self.faults:
            self.loop.call_at(fault.at, self._note, fault, "fault_started")
            over_s = fault.at + fault.duration_s
            if fault.way == "hangs":
                over_s += GIVE_UP * WRITE_S
            elif fault.way == "late":
                over_s += fault.late_s
            self.loop.call_at(min(over_s, duration_s), self._note, fault, "fault_ended")
        self.start()
        while self.loop.time() < duration_s:
            await asyncio.sleep(1.0)
            self.advance()
            for dying in list(self._dying):
                if self.loop.time() >= dying.until_s and self.engines[-1].alive:
                    self.die(self.engines[-1], dying)
        for engine in self.engines:
            engine.die()

    def _note(self, fault: PortFault, kind: str) -> None:
        self.advance()
        self._recorder.event(self.env.now, kind, f"{fault.port}-{fault.way}", "port", detail="")

    def advance(self) -> None:
        """Let the world catch up with the loop."""
        until_s = min(self.loop.time(), self.duration_s) + 1e-6
        if until_s > self.env.now:
            self.env.run(until=until_s)
        self._catch_up()

    def start(self) -> None:
        """Start an engine: another process, which leads from now on."""
        self.engines.append(Engine(self))

    def die(self, engine: Engine, dying: Dying) -> None:
        """Kill it, and start another after a while, perhaps from an old memory."""
        self._dying.remove(dying)
        engine.die()
        kept_s = self.loop.time() - dying.how.snapshot_age_s
        self.disk.memories = [kept for kept in self.disk.memories if kept[0] <= kept_s]
        dying.died(f"killed; restarts after {dying.how.down_s:.0f} s")
        self.loop.call_later(max(dying.how.down_s, 0.1), self.start)

    def dying(self, engine: Engine) -> Dying | None:
        """The death that is due for `engine` at this moment."""
        if not engine.leads:
            return None
        return next((d for d in self._dying if self.loop.time() >= d.at_s), None)

    def failing(self, port: str) -> PortFault | None:
        """The fault that meets this call of `port`."""
        now_s = self.loop.time()
        for fault in self.faults:
            if fault.port != port or not fault.at <= now_s < fault.at + fault.duration_s:
                continue
            if self.rng.random() < fault.share:
                name = f"{port} {fault.way}"
                self.fired[name] = self.fired.get(name, 0) + 1
                return fault
        return None

    def raised(self) -> BaseException:
        """Something to raise."""
        kind, words = RAISED[int(self.rng.integers(len(RAISED)))]
        return kind(*words)

    def approve(self, plan: Plan, now_s: float) -> None:
        """Let a person answer what waits for it."""
        for action in plan.awaiting:
            if math.isfinite(self.person_s):
                answer = Approval(action.decision_id, True, now_s + self.person_s, "approver")
                self.loop.call_later(self.person_s, self.disk.answers.append, answer)

    def sent(self, actions: Sequence[Action]) -> None:
        """Commands are given: what is not known to protect has to be on the disk by now."""
        for action in actions:
            kept = (RowKind.INTENT, action.decision_id) in self.disk.rows
            if not kept and (action.to_instances < action.from_instances or action.scale_id):
                self.unkept.append(action.decision_id)

    def seen(self, observation: Observation, plan: Plan, spent_s: float) -> None:
        """The leading engine has decided."""
        self.advance()
        self.steps += 1
        self.last_step_s = self.loop.time()
        at_s = min(max(self.env.now, self._interval_s), self._recorder.counts.shape[1] * 1.0
                   * self._interval_s)  # fmt: skip
        fleets = [self._fleets[spec.name] for spec, _ in self._services]
        self._recorder.step(at_s, observation, plan, spent_s, fleets=fleets)
        for watcher in self.watchers:
            watcher(observation, plan)
        self.approve(plan, observation.now_s)


class Engine:
    """One process of the engine, and all of its ports."""

    def __init__(self, world: HuntedShell) -> None:
        self.alive = True
        self.deposed = False
        self.behind = self.falls_behind = 0
        """How many steps ago is what it sees, now and once it is overtaken."""
        self.world = world
        self.cloud = CloudPort(world._infrastructure, world.advance)
        self.fence = NO_FENCE
        self.lost = False
        self.regained = False
        self._seen: deque[Sighting] = deque()
        self.cycle = world._again()
        self.shell = live.LiveShell(
            self.cycle,
            [spec for spec, _ in world._services],
            Ports(
                metrics=SpoiledMetrics(self),
                infrastructure=SpoiledCloud(self),
                bookings=SpoiledFeed(self),
                store=SpoiledStore(self),
                lease=SpoiledLease(self),
                notifier=SpoiledPager(self),
            ),
            notes=SpoiledNotes(self),
            clock=SpoiledClock(self),
            settings=LiveSettings(
                observe_timeout_s=LOOK_S, apply_timeout_s=WRITE_S, duration_s=None
            ),
            sample_s=float(world._interval_s),
        )
        self.task = world.loop.create_task(self.shell.run())
        self.task.add_done_callback(self._over)

    @property
    def leads(self) -> bool:
        """Whether what it does counts: nobody has a newer fence."""
        newest = self.world._infrastructure.fence
        return self.alive and self.fence == newest != NO_FENCE

    def die(self) -> None:
        """SIGKILL."""
        self.alive = False
        self.task.cancel()

    def end(self) -> None:
        """It has noticed that another one leads, and is stopped."""
        self.shell.stop()
        self.die()

    def _over(self, task: asyncio.Task[None]) -> None:
        if not self.alive:
            if not task.cancelled():
                task.exception()
            return
        error = None if task.cancelled() else task.exception()
        self.world.ended.append(repr(error))

    async def call(self, port: str) -> PortFault | None:
        """Take the time that a call takes; the way in which it is to go wrong afterwards, if any.

        Raises what a call raises that never came to anything.
        """
        world = self.world
        fault = world.failing(port)
        if fault is not None and fault.way == "raises":
            await asyncio.sleep(float(world.rng.uniform(0.0, QUICK_S)))
            raise world.raised()
        if fault is not None and fault.way == "hangs":
            await asyncio.get_running_loop().create_future()
        took_s = fault.late_s if fault is not None and fault.way == "late" else 0.0
        await asyncio.sleep(took_s + float(world.rng.uniform(0.0, QUICK_S)))
        self.check()
        world.advance()
        return fault

    def check(self) -> None:
        """Raises DeadError after its end."""
        if not self.alive:
            raise DeadError

    def shown(self, sighting: Sighting) -> Sighting:
        """What it gets to see of it: an engine that was overtaken may see what was."""
        self._seen.append(sighting)
        if len(self._seen) <= self.behind:
            return replace(self._seen[0], results=())
        return self._seen.popleft()


@dataclass(slots=True)
class _Port:
    engine: Engine

    @property
    def world(self) -> HuntedShell:
        return self.engine.world

    async def close(self) -> None:
        """Nothing to let go of."""


class SpoiledMetrics(_Port):
    """The telemetry."""

    async def read(self, now_s: float) -> Reading:
        """The windows as they are visible now."""
        world = self.world
        fault = await self.engine.call("metrics")
        since_start_s = world.env.now
        windows: dict[str, NDArray[np.void]] = {
            spec.name: source.window(since_start_s) for spec, source in world._services
        }
        if fault is not None and fault.way == "lies":
            name = list(windows)[int(world.rng.integers(len(windows)))]
            match int(world.rng.integers(4)):
                case 0:
                    del windows[name]
                case 1:
                    windows[name] = windows[name][::-1]
                case 2:
                    windows[name] = np.zeros(3)  # type: ignore[assignment]
                case _:
                    ahead = np.zeros(1, SAMPLE_DTYPE)
                    ahead["time_s"], ahead["cpu"] = now_s + 600.0, 50.0
                    world.invented_s.append(now_s + 600.0)
                    windows[name] = np.concatenate([windows[name], ahead])
        return Reading(windows)

    async def totals(self, begin_s: float, end_s: float) -> dict[str, dict[str, float]]:
        """Nothing: the record is the world's."""
        return {}

    async def first_served(self, begin_s: float, end_s: float) -> dict[str, list[float]]:
        """Nothing."""
        return {}


class SpoiledFeed(_Port):
    """The bookings."""

    async def outlook(self, now_s: float) -> Outlook:
        """As known now, whatever the engine's clock says."""
        world = self.world
        fault = await self.engine.call("bookings")
        if fault is not None and fault.way == "lies":
            return None  # type: ignore[return-value]
        return world._feed.outlook(world._start_s + world.env.now)


class SpoiledCloud(_Port):
    """The infrastructure."""

    async def observe(self) -> Sighting:
        """The fleets' counts, and what became of this engine's commands."""
        engine, world = self.engine, self.world
        fault = await engine.call("observe")
        sighting = await engine.cloud.observe()
        if fault is not None and fault.way == "lies":
            first = next(iter(sighting.services))
            lie: Any = int(world.rng.integers(3))
            services: dict[str, Any] = dict(sighting.services)
            if lie == 0:
                del services[first]
            elif lie == 1:
                services[first] = Counts(-1, 0, 0, 0)
            else:
                services[first] = None
            return replace(sighting, services=services)
        return engine.shown(sighting)

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Send the commands on their way."""
        engine, world = self.engine, self.world
        fault = await engine.call("apply")
        dying = world.dying(engine)
        if dying is not None:
            world.sent(actions[: dying.how.acted])
            await engine.cloud.apply(actions[: dying.how.acted], fence)
            world.die(engine, dying)
            await asyncio.sleep(0.0)
            raise DeadError
        world.sent(actions)
        await engine.cloud.apply(actions, fence)
        if fault is None:
            return ()
        now_s = world._start_s + world.env.now
        match fault.way:
            case "raises_after":
                raise world.raised()
            case "twice":
                await engine.cloud.apply(actions, fence)
                results = [ActionResult(a.decision_id, Status.ACCEPTED, now_s) for a in actions]
                return (*results, *results)
            case "lies":
                return None  # type: ignore[return-value]
        return ()


class SpoiledStore(_Port):
    """The disk."""

    async def requests(self, now_s: float) -> Requests:
        """What the operator asks for, and the answers that stand."""
        world = self.world
        fault = await self.engine.call("requests")
        if fault is not None and fault.way == "lies":
            return None  # type: ignore[return-value]
        asked = world._operator.requests(world._start_s + world.env.now)
        return replace(asked, answers=tuple(world.disk.answers))

    async def newest(self) -> Fence:
        """The newest fence."""
        await self.engine.call("memory")
        return self.world.disk.fence

    async def memory(self) -> str:
        """What was kept last."""
        world = self.world

        def without() -> None:
            if self.engine.leads:  # it may have to do without
                world.restarts.append((world.env.now, -math.inf))

        late = world.loop.call_later(LOOK_S, without)  # nobody waits for it any more
        try:
            await self.engine.call("memory")
        except BaseException:
            without()
            raise
        finally:
            late.cancel()
        kept_s, text = world.disk.memories[-1] if world.disk.memories else (-math.inf, "")
        if self.engine.leads and (len(world.engines) > 1 or self.engine.regained):
            world.restarts.append((world.env.now, kept_s))
        return text

    async def keep(self, kept: Kept, fence: Fence) -> None:
        """All of it or nothing; perhaps without saying so."""
        fault = await self._write("store", fence)
        disk = self.world.disk
        if kept.memory is not None:
            disk.memories.append((self.world.env.now, kept.memory))
        disk.answers = [answer for answer in disk.answers if answer not in kept.taken]
        for row in kept.rows:
            disk.rows.setdefault((row.kind, row.id), row)
        if fault is not None and fault.way == "raises_after":
            raise self.world.raised()

    async def put_memory_aside(self, fence: Fence) -> str:
        """Begin without."""
        await self._write("memory", fence)
        self.world.disk.aside.extend(text for _, text in self.world.disk.memories)
        self.world.disk.memories.clear()
        return "aside"

    async def show_status(self, text: str, fence: Fence) -> None:
        """Show it."""
        await self._write("status", fence)
        self.world.disk.status = text

    async def _write(self, port: str, fence: Fence) -> PortFault | None:
        fault = await self.engine.call(port)
        disk = self.world.disk
        if fence < disk.fence:
            raise FencedOffError(fence, disk.fence)
        disk.fence = fence
        return fault


class SpoiledLease(_Port):
    """The lead: who was started last has it."""

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        """The fence of this engine, a new one after the lead was lost."""
        engine, world = self.engine, self.world
        fault = await engine.call("lease")
        if engine.deposed:
            return engine.fence  # it does not know
        if fault is not None and fault.way == "lost":
            engine.lost = True
            raise NotLeadingError("another engine leads", "another engine")
        if engine.fence == NO_FENCE or engine.lost or engine.fence <= above:
            engine.fence = world._infrastructure.new_fence()
            world.disk.fence = engine.fence
            for other in world.engines:
                if other is not engine:
                    other.deposed, other.behind = True, other.falls_behind
        engine.regained, engine.lost = engine.regained or engine.lost, False
        return engine.fence

    async def release(self) -> None:
        """Nothing to let go of."""


class SpoiledPager(_Port):
    """The notifier."""

    async def notify(self, alert: Alert) -> None:
        """Nobody listens."""
        await self.engine.call("notifier")


class SpoiledNotes(_Port):
    """The world's recorder, as far as the engine leads."""

    def step(
        self,
        time_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        *,
        reading: Reading,
    ) -> None:
        """Let the world know, and then perhaps fail."""
        engine, world = self.engine, self.world
        if not engine.alive:
            return
        if engine.leads:
            world.seen(observation, plan, compute_s)
        else:
            world.deposed_steps += 1
        self._perhaps_fail()

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        """The cloud notes them itself."""
        self._perhaps_fail()

    def result(self, result: ActionResult) -> None:
        """The cloud has noted it itself."""
        self._perhaps_fail()

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Note it."""
        if self.engine.alive:
            self.world._recorder.event(self.world.env.now, kind, name, what, detail=detail)
        self._perhaps_fail()

    def status(self, status: Mapping[str, Any]) -> None:
        """Nobody looks."""
        self._perhaps_fail()

    def _perhaps_fail(self) -> None:
        if self.world.failing("notes") is not None:
            raise self._an_exception()

    def _an_exception(self) -> Exception:
        error = self.world.raised()
        return error if isinstance(error, Exception) else ValueError(repr(error))


class SpoiledClock(_Port):
    """The engine's clock: wrong where a fault says so."""

    def now_s(self) -> float:
        """Epoch seconds."""
        world = self.world
        if world.failing("clock") is not None:
            raise OSError("the clock cannot be asked")
        return world._start_s + world.loop.time() + world.clock_error_s

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        """Wait for it, or until `stop` is set."""
        try:
            async with asyncio.timeout(duration_s):
                await stop.wait()
        except TimeoutError:
            pass
