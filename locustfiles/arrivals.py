"""When each request is due: a Poisson process whose rate follows the plan, drawn beforehand.

Because it is drawn beforehand, nothing that the tested system does can change it: that is what
makes the load open.  It is drawn second by second of the wall clock, each from a stream of its own
named after service and second, so a schedule of any length needs no memory to speak of, starts at
any second, and is the same in every process.  A worker takes every n-th request: together the
workers send exactly what one process would.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from locustfiles.journeys import JourneyStep, steps
from locustfiles.plan import MINUTE_S, LoadPlan
from scenarios.streams import Streams

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request: due `due_s` seconds after the start, from a `role` at `wedding` (from 1).

    `service` is the index of the plan's service, `attempt` 0 for what is not a retry.
    """

    due_s: float
    service: int
    role: str
    step: JourneyStep
    wedding: int
    attempt: int = 0


class ArrivalSchedule:
    """All arrivals of a plan, or of the share `worker` of `workers` of them."""

    def __init__(self, plan: LoadPlan, worker: int = 0, workers: int = 1) -> None:
        self.plan = plan
        self.worker = worker
        self.workers = workers
        self.blocks = math.ceil(plan.wall_s)
        self._streams = Streams(plan.seed)
        zero = np.zeros((len(plan.services), 1))
        self._expected = np.hstack([zero, np.cumsum(plan.rates, axis=1) / plan.speed])
        self._edges_s = np.arange(plan.seconds + 1) / plan.speed
        self._steps = [
            [steps(role, service, phase) for role, phase in plan.kinds] for service in plan.services
        ]
        phase_of = {name: index for index, name in enumerate(plan.phases)}
        self._candidates: dict[tuple[int, int], NDArray[np.intp]] = {}
        self._phase = np.array([phase_of.get(phase, -1) for _, phase in plan.kinds])

    def due(self, second: int) -> tuple[FloatArray, NDArray[np.intp]]:
        """Times due in that wall second, rising, and their services, whoever sends them."""
        times: list[FloatArray] = []
        for service in range(len(self.plan.services)):
            low, high = np.interp((second, second + 1), self._edges_s, self._expected[service])
            rng = self._rng("due", service, second)
            # Given their number, arrivals are independent and lie where the expected count does.
            at = low + (high - low) * rng.random(rng.poisson(high - low))
            times.append(np.interp(at, self._expected[service], self._edges_s))
        service_of = np.repeat(np.arange(len(times)), [len(t) for t in times])
        due_s = np.concatenate(times)
        order = np.argsort(due_s, kind="stable")
        return due_s[order], service_of[order]

    def block(self, second: int) -> list[Arrival]:
        """This worker's arrivals that are due in the wall second `second`, in order of time."""
        due_s, service_of = self.due(second)
        count = len(due_s)
        if not count:
            return []
        rng = self._rng("who", -1, second)
        by_kind, by_step, by_wedding = rng.random((3, count))
        minute = np.minimum((due_s * self.plan.speed).astype(int) // MINUTE_S, self._minutes - 1)
        own = np.flatnonzero((np.arange(count) + second) % self.workers == self.worker)
        arrivals = []
        for i in own.tolist():
            service, at = int(service_of[i]), int(minute[i])
            shares = self.plan.shares[service, at]
            kind = int(np.searchsorted(shares, by_kind[i] * shares[-1], side="right"))
            kind = min(kind, len(shares) - 1)
            possible = self._steps[service][kind]
            arrivals.append(
                Arrival(
                    due_s=float(due_s[i]),
                    service=service,
                    role=self.plan.kinds[kind][0],
                    step=possible[int(by_step[i] * len(possible))],
                    wedding=self._wedding(at, int(self._phase[kind]), float(by_wedding[i])),
                )
            )
        return arrivals

    def __iter__(self) -> Iterator[Arrival]:
        for second in range(self.blocks):
            yield from self.block(second)

    def intended(self, until_s: float = math.inf) -> NDArray[np.int64]:
        """First requests (services, wall seconds) that are due before `until_s`, of all workers."""
        seconds = math.ceil(max(min(until_s, float(self.blocks)), 0.0))
        counts = np.zeros((len(self.plan.services), seconds), dtype=np.int64)
        for second in range(seconds):
            due_s, service_of = self.due(second)
            counts[:, second] = np.bincount(service_of[due_s < until_s], minlength=len(counts))
        return counts

    @property
    def _minutes(self) -> int:
        return self.plan.shares.shape[1]

    def _wedding(self, minute: int, phase: int, u: float) -> int:
        """A wedding in that phase, or any where the sample has none in it."""
        key = (minute, phase)
        if key not in self._candidates:
            if len(self._candidates) > 1_000:
                self._candidates.clear()
            here = np.flatnonzero(self.plan.stage[:, minute] == phase)
            anybody = phase < 0 or not len(here)
            self._candidates[key] = np.arange(len(self.plan.stage)) if anybody else here
        candidates = self._candidates[key]
        return int(candidates[int(u * len(candidates))]) + 1

    def _rng(self, purpose: str, service: int, second: int) -> np.random.Generator:
        name = self.plan.services[service] if service >= 0 else "all"
        return self._streams(f"load.{purpose}.{name}.{second}")
