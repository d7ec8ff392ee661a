"""A stack of our own to measure: brought up for it, scaled by hand, taken down in any case."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, replace

from engine.adapters.pool.book import PoolFile, WorkerPhase
from engine.adapters.pool.haproxy import HaproxyPool
from engine.model import Action, Category, Reason, Rollback, Status, WeddingContext
from engine.ports.lease import Fence
from twin.measure.driver import Answers, Arrivals, drive
from twin.measure.meters import Increments, Meters
from twin.staging import stack
from twin.staging.layout import Layout, Stack, StagedService
from twin.staging.worker_environment import WORKER

READY_S = 120.0
"""So long instances may take to be ready before the measurement is given up."""

LAST_TRIES = 5
"""So often a worker is asked what it has counted in the end."""


class BenchError(RuntimeError):
    """The stack could not be measured; the message says why."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One instance's way to ready, in seconds from its launch: listening, warm, serving."""

    service: str
    listening_s: float
    warm_s: float
    ready_s: float


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One stretch of load: its answers, the workers' figures, ready instances by second."""

    answers: Answers
    reading: Increments
    ready: Mapping[str, tuple[tuple[float, int], ...]]
    """By service: the count from which moment on (s from the beginning), first one first."""


class Bench:
    """A running stack whose counts are set by hand."""

    def __init__(self, place: Layout, made: Stack, services: Mapping[str, StagedService]) -> None:
        self._place, self._stack, self._services = place, made, services
        self.pool = HaproxyPool(place, WORKER)
        self.book = PoolFile(place.pool)
        self._numbered = 0
        self.names = tuple(services)
        self.token = made.token

    def reopen(self) -> None:
        """Lead the pool again, after somebody else did."""
        self.pool = HaproxyPool(self._place, WORKER)

    async def drive(self, arrivals: Arrivals, start_s: float) -> Answers:
        """Send the arrivals from the loop's time `start_s` on."""
        limits = {name: service.timeout_s for name, service in self._services.items()}
        return await drive(self._place.calls_socket, arrivals, limits, start_s)

    def meters(self) -> Meters:
        """Fresh meters on all workers."""
        slots = {name: service.spec.slots for name, service in self._services.items()}
        return Meters(self.book, slots)

    def ask(self, counts: Mapping[str, int]) -> None:
        """Ask for these counts, without waiting; raises BenchError when that is refused."""
        for name, target in counts.items():
            current = self.pool.observe().services[name].desired
            if current == target:
                continue
            self._numbered += 1
            result = self.pool.apply(
                [_action(name, current, target, self._numbered)],
                Fence(self.pool.newest_fence + 1),
            )[0]
            if result.status is not Status.ACCEPTED:
                raise BenchError(f"{name} to {target} instances: {result.detail}")

    def settle(self, counts: Mapping[str, int]) -> None:
        """Ask for these counts and wait until they are ready and nothing else is there."""
        self.ask(counts)
        end_s = time.monotonic() + READY_S
        while True:
            seen = self.pool.observe().services
            if all(
                (seen[n].ready, seen[n].booting, seen[n].draining) == (c, 0, 0)
                for n, c in counts.items()
            ):
                return
            if time.monotonic() > end_s:
                raise BenchError(f"not ready after {READY_S:.0f} s: {seen}")
            time.sleep(0.1)

    def boots(self, without: Set[str] = frozenset()) -> list[Boot]:
        """How long each instance that is ready now took, those apart whose ids are `without`."""
        meters = self.meters()
        asyncio.run(meters.read())
        boots = []
        for instance in self.book.read().instances:
            gauges = meters.gauges.get(instance.id)
            if instance.phase is WorkerPhase.READY and gauges and instance.id not in without:
                boots.append(
                    Boot(
                        instance.service,
                        gauges["wedtwin_boot_seconds"],
                        gauges["wedtwin_ready_seconds"],
                        instance.since_s - instance.launched_s,
                    )
                )
        return boots

    def kill_one(self, service: str) -> None:
        """Kill the youngest ready instance, as the kernel would."""
        import signal

        ready = self.book.read().of(service, WorkerPhase.READY)
        process = ready[-1].process
        assert process is not None
        process.send(signal.SIGKILL)

    def measure(
        self,
        arrivals: Arrivals,
        acts: Mapping[int, Callable[[], None]] | None = None,
    ) -> Measured:
        """Send the arrivals; `acts` are done at their seconds meanwhile."""
        return asyncio.run(self._measure(arrivals, acts or {}))

    async def _measure(
        self, arrivals: Arrivals, acts: Mapping[int, Callable[[], None]]
    ) -> Measured:
        loop = asyncio.get_running_loop()
        meters = self.meters()
        await meters.read()
        start_s = loop.time() + 0.2
        ready: dict[str, list[tuple[float, int]]] = {name: [] for name in self.names}

        async def watch() -> None:
            while True:
                book = await asyncio.to_thread(self.book.read)
                now_s = loop.time() - start_s
                for name, changes in ready.items():
                    count = len(book.of(name, WorkerPhase.READY))
                    if not changes or changes[-1][1] != count:
                        changes.append((now_s, count))
                await asyncio.sleep(0.1)

        async def act() -> None:
            for second in sorted(acts):
                await asyncio.sleep(max(start_s + second - loop.time(), 0.0))
                await asyncio.to_thread(acts[second])

        watching, acting = loop.create_task(watch()), loop.create_task(act())
        try:
            answers, reading = await asyncio.gather(
                self.drive(arrivals, start_s),
                meters.follow(arrivals.duration_s, start_s),
            )
            await acting
            reading = replace(reading, after=await meters.read(LAST_TRIES))
        finally:
            watching.cancel()
            acting.cancel()
        return Measured(answers, reading, {name: tuple(changes) for name, changes in ready.items()})

    def telemetry_ages_s(self, looks: int = 24, every_s: float = 0.25) -> list[float]:
        """Age of the newest sample of one worker that Prometheus shows, at each of some looks."""
        first = self.book.read().instances[0].id
        series = f'wedtwin_ready{{instance="{first}"}}'
        query = urllib.parse.urlencode({"query": f"time() - timestamp({series})"})
        url = f"http://127.0.0.1:{self._stack.ports['prometheus']}/api/v1/query?{query}"
        ages = []
        for _ in range(looks):
            with contextlib.suppress(OSError, ValueError, KeyError):
                with urllib.request.urlopen(url, timeout=2.0) as answer:
                    content = json.load(answer)
                result = content["data"]["result"]
                if result:
                    ages.append(float(result[0]["value"][1]))
            time.sleep(every_s)
        return ages


@contextlib.contextmanager
def bench(wish: stack.StackOptions, say: Callable[[str], None]) -> Iterator[Bench]:
    """Bring the stack of `wish` up, and take it down at the end, whatever happens.

    Raises StackError when it cannot be brought up.
    """
    with stack.held_up(wish, say) as made:
        standing = Bench(Layout(wish.folder), made, wish.services)
        try:
            yield standing
        finally:
            standing.pool.close()


def _action(service: str, current: int, target: int, number: int) -> Action:
    return Action(
        decision_id=f"bench-{number}",
        service=service,
        from_instances=current,
        to_instances=target,
        reason=Reason.MANUAL,
        category=Category.AUTOMATIC,
        confidence=1.0,
        cost_per_hour=0.0,
        rollback=Rollback(current),
        weddings=WeddingContext(),
        evidence={},
        trigger_s=0.0,
        decided_s=0.0,
        explanation="set by hand for a measurement",
    )
