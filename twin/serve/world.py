"""A simulated world that keeps up with a clock, and the engine's ports to it.

The engine is the live one, with its shell, store and lease.  Whenever it asks a port, the world
first catches up with the clock; in between nothing in the world has to happen.
"""

from __future__ import annotations

# ruff: noqa: ARG002  what a method takes is said by its port
import asyncio
import json
from collections.abc import Generator
from dataclasses import replace
from typing import Any

import simpy
from numpy.typing import NDArray

from engine.model import Outlook
from engine.ports.clock import Clock
from engine.ports.engine_time import CLOCK, WORLD
from engine.ports.lease import Fence
from engine.ports.metrics import Reading
from engine.ports.store import Requests, Store
from engine.runtime.cycle import Cycle
from twin.world.cloud import CloudPort
from twin.world.shell import SimulatedShell


class ServedShell(SimulatedShell):
    """Takes the place of the SimPy shell in a world: that one drives until `live_from_s`.

    From then on (s after the start) another shell does, in wall time, through the ports.
    """

    live_from_s = 0.0

    def run(self) -> Generator[simpy.Event, None, None]:
        """The engine in simulated time, then only the counts."""
        simulated = super().run()
        while self.env.now + self._interval_s < self.live_from_s:
            yield next(simulated)
        fleets = [self._fleets[spec.name] for spec, _ in self._services]
        while True:
            yield self.env.timeout(self._interval_s)
            self._catch_up()
            self._recorder.count(self.env.now, fleets)

    def memory(self) -> str:
        """What the engine of simulated time knows at its end, for the live one."""
        return self._memory_of(self._cycle, self._now_s())

    def made(self) -> Cycle:
        """A cycle around a controller without memory."""
        return self._again()

    def ports(self, clock: Clock, end_s: float) -> WorldPorts:
        """The ports to this world; it keeps up with `clock` until `end_s` (s after its start)."""
        return WorldPorts(self, clock, end_s)


class WorldPorts:
    """Metrics, bookings and infrastructure of a world, as the live shell wants them."""

    def __init__(self, shell: ServedShell, clock: Clock, end_s: float) -> None:
        self._shell = shell
        self._clock = clock
        self._end_s = end_s
        self.infrastructure = CloudPort(shell._infrastructure, self.catch_up)

    def catch_up(self) -> None:
        """Let the world go on up to now."""
        shell = self._shell
        until_s = min(self._clock.now_s() - shell._start_s, self._end_s) + 1e-6
        if until_s > shell.env.now:
            shell.env.run(until=until_s)
        shell._catch_up()

    async def read(self, now_s: float) -> Reading:
        """The samples that have come by now."""
        self.catch_up()
        since_start_s = self._shell.env.now
        windows: dict[str, NDArray[Any]] = {
            spec.name: source.window(since_start_s) for spec, source in self._shell._services
        }
        return Reading(windows)

    async def totals(self, begin_s: float, end_s: float) -> dict[str, dict[str, float]]:
        """Nothing: the world keeps its own record."""
        return {}

    async def first_served(self, begin_s: float, end_s: float) -> dict[str, list[float]]:
        """Nothing."""
        return {}

    async def outlook(self, now_s: float) -> Outlook:
        """What is booked, as known now."""
        self.catch_up()
        return self._shell._feed.outlook(self._shell._start_s + self._shell.env.now)

    async def close(self) -> None:
        """Nothing to let go of."""


class OperatedStore:
    """A store in which the scenario's people ask for something, too."""

    def __init__(self, store: Store, shell: ServedShell) -> None:
        self._store = store
        self._operator = shell._operator

    async def requests(self, now_s: float) -> Requests:
        """What is asked for in the store and by the scenario."""
        asked, scripted = await self._store.requests(now_s), self._operator.requests(now_s)
        return replace(
            asked,
            floors=(*scripted.floors, *asked.floors),
            pauses=(*scripted.pauses, *asked.pauses),
            scales=(*scripted.scales, *asked.scales),
        )

    async def show_status(self, text: str, fence: Fence) -> None:
        """Show a status; who reads it is told that its times are the world's."""
        await self._store.show_status(json.dumps({**json.loads(text), CLOCK: WORLD}), fence)

    def __getattr__(self, name: str) -> Any:
        """All else is the store's."""
        return getattr(self._store, name)


class EngineClock:
    """The engine's clock: wrong where a fault of the scenario says so."""

    def __init__(self, clock: Clock, shell: ServedShell) -> None:
        self._clock = clock
        self._shell = shell

    def now_s(self) -> float:
        """Epoch seconds."""
        return self._clock.now_s() + self._shell.clock_error_s

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        """Wait as the right clock does."""
        await self._clock.wait(duration_s, stop)
