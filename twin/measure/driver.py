"""Requests at given moments, whatever becomes of the ones before (an open model).

The load must not wait for the system: a closed loop of users slows down with it, and what it did
not send it cannot measure (coordinated omission).  So arrivals are drawn beforehand, each request
is sent at its own moment, and how late the driver itself was is kept beside every result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from twin.staging.calls import Caller, CallError

NO_ANSWER = 0
"""Status of a request that nobody answered."""


@dataclass(frozen=True, slots=True, eq=False)
class Arrivals:
    """When requests come from outside: `time_s` (requests,) ascending, `service` (requests,)."""

    services: tuple[str, ...]
    time_s: FloatArray
    service: NDArray[np.int64]
    duration_s: int

    def per_second(self) -> FloatArray:
        """Whole requests by service and second, (services, seconds): as the twin takes them."""
        counts = np.zeros((len(self.services), self.duration_s))
        second = np.minimum(self.time_s.astype(np.int64), self.duration_s - 1)
        np.add.at(counts, (self.service, second), 1.0)
        return counts


def poisson(
    services: tuple[str, ...], rates: Mapping[str, FloatArray], rng: np.random.Generator
) -> Arrivals:
    """Independent Poisson streams; `rates` holds requests/s for each second, by service."""
    duration_s = max(len(rate) for rate in rates.values())
    times, which = [], []
    for index, name in enumerate(services):
        if name not in rates:
            continue
        counts = rng.poisson(rates[name])
        seconds = np.repeat(np.arange(len(counts)), counts)
        times.append(seconds + rng.random(len(seconds)))
        which.append(np.full(len(seconds), index, np.int64))
    time_s, service = np.concatenate(times), np.concatenate(which)
    order = np.argsort(time_s, kind="stable")
    return Arrivals(services, time_s[order], service[order], duration_s)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What became of each arrival, in their order; seconds from the beginning.

    `sent_s` less the arrival's time is how late the driver was, `done_s` less `sent_s` the
    response time, `status` HTTP's or `NO_ANSWER`.
    """

    arrivals: Arrivals
    sent_s: FloatArray
    done_s: FloatArray
    status: NDArray[np.int64]

    @property
    def served(self) -> NDArray[np.bool_]:
        """Which were answered as they should be."""
        return self.status == 200

    @property
    def lateness_p99_s(self) -> float:
        """How late the driver was, at most, for 99 % of the requests."""
        late = self.sent_s - self.arrivals.time_s
        return float(np.quantile(late, 0.99)) if len(late) else 0.0


async def drive(
    socket: Path, arrivals: Arrivals, timeout_s: Mapping[str, float], start_s: float
) -> Answers:
    """Send every arrival through HAProxy's `socket` from the loop's time `start_s` on."""
    loop = asyncio.get_running_loop()
    caller = Caller(socket)
    count = len(arrivals.time_s)
    sent_s, done_s = np.full(count, np.nan), np.full(count, np.nan)
    status = np.zeros(count, np.int64)
    targets = [f"/{name}/{_operation(name)}/" for name in arrivals.services]
    limits = [timeout_s[name] for name in arrivals.services]

    async def send(number: int, service: int) -> None:
        sent_s[number] = loop.time() - start_s
        try:
            answer = await caller.request(
                "POST", f"{targets[service]}{number % 1000 + 1}", b"", limits[service]
            )
            status[number] = answer.status
        except CallError:
            status[number] = NO_ANSWER
        done_s[number] = loop.time() - start_s

    under_way: set[asyncio.Task[None]] = set()
    try:
        pairs = zip(arrivals.time_s.tolist(), arrivals.service.tolist(), strict=True)
        for number, (due_s, service) in enumerate(pairs):
            wait_s = start_s + due_s - loop.time()
            if wait_s > 0.0:
                await asyncio.sleep(wait_s)
            task = loop.create_task(send(number, service))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way)
    finally:
        for task in under_way:
            task.cancel()
    return Answers(arrivals, sent_s, done_s, status)


def _operation(service: str) -> str:
    """What to ask for at `service`; anything else than these only holds a slot."""
    return {"file-storage": "photos", "real-time": "updates"}.get(service, "session")
