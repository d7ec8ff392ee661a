"""Jobs that nobody waits for: accepted at once, kept in one queue, worked off slot by slot."""

from __future__ import annotations

import asyncio
import json
import time

from twin.staging.exposition import WorkerCounters
from twin.staging.layout import StagedService
from twin.staging.slots import ServiceTimes, Shed, Slots
from twin.staging.stores import Jobs, StoreError

PAUSE_S = 0.5
"""After Redis did not do what it was asked for."""

HEARTBEAT_S = 1.0


class WorkingOff:
    """An instance's slots, each taking job after job from the queue of all instances."""

    def __init__(
        self,
        service: StagedService,
        jobs: Jobs,
        slots: Slots,
        times: ServiceTimes,
        *,
        counts: WorkerCounters,
    ) -> None:
        self.share = 0.0
        """This instance's even share of the jobs that wait."""
        self._service = service
        self._jobs = jobs
        self._slots = slots
        self._times = times
        self._counts = counts
        self._draining = False
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """The instance is ready: begin to take jobs."""
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._slots.size)]
        self._tasks.append(asyncio.create_task(self._keep_alive()))

    def drain(self) -> None:
        """Take no further jobs."""
        self._draining = True

    async def finish(self) -> None:
        """Wait until the jobs that were taken are done."""
        await asyncio.gather(*self._tasks)
        await self._jobs.leave()

    async def accept(self, wedding: int) -> bytes:
        """Take a job on; raises Shed when the queue is full, StoreError.

        The limit is that of one instance and the queue that of all: what counts is the even share.
        """
        if self.share >= self._service.queue_limit:
            raise Shed
        await self._jobs.put(
            {"wedding": wedding, "asked_s": time.time(), "n": self._counts.arrived}
        )
        return b'{"accepted":true}'

    async def _work(self) -> None:
        while not self._draining:
            try:
                taken = await self._jobs.take()
                if taken is not None:
                    await self._do(taken)
            except StoreError:
                await asyncio.sleep(PAUSE_S)

    async def _do(self, taken: bytes) -> None:
        job = json.loads(taken)
        waited_s = max(0.0, time.time() - job["asked_s"])
        if waited_s > self._service.timeout_s:
            self._counts.outcomes["timed_out"] += 1
            await self._jobs.finish(taken, job["wedding"], "given up")
            return
        await self._slots.take(self._service.timeout_s)
        began_s = time.monotonic()
        self._counts.waited.observe(waited_s)
        try:
            await asyncio.sleep(self._times.draw_s())
        finally:
            self._slots.give_back()
        held_s = time.monotonic() - began_s
        self._counts.held.observe(held_s)
        await self._jobs.finish(taken, job["wedding"], '{"tags":["couple","cake"]}')
        self._counts.responded(waited_s + held_s)
        self._counts.outcomes["served"] += 1

    async def _keep_alive(self) -> None:
        while not self._draining:
            try:
                self.share = await self._jobs.heartbeat()
            except StoreError:
                self.share = 0.0
            await asyncio.sleep(HEARTBEAT_S)
