"""The tick of the fluid services once more, in plain Python, to compare the kernels with.

Written for reading, and differently from `kernels` wherever that is possible: cohorts are small
objects in a list, Erlang's C formula is the exact recursion, and the response time is summed over
quantiles of the gamma distribution instead of looked up.  So the two agree on counts to rounding,
and on slow requests as far as the kernels' approximations and tables are good.  Thousands of times
slower; used by the tests only.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.special import gammaincinv

from engine.decide.callgraph import call_order
from engine.model import FloatArray, ServiceSpec
from twin.queues.port import ClientBehaviour
from twin.queues.response import base_moments

CALLS = -1
"""Attempt level of calls from other services, which are not repeated."""

GAMMA_POINTS = 4000


def erlang_c(servers: int, rho: float) -> float:
    """Probability that an arrival waits in M/M/c, by the recursion of Erlang's B formula."""
    if rho >= 1.0:
        return 1.0
    blocked = 1.0
    for k in range(1, servers + 1):
        blocked = servers * rho * blocked / (k + servers * rho * blocked)
    return blocked / (1.0 - rho * (1.0 - blocked))


@dataclass
class Cohort:
    """Requests that arrived in one tick and still wait, by attempt level."""

    tick: int
    waiting: dict[int, float]
    admitted: float

    @property
    def amount(self) -> float:
        """How many wait."""
        return sum(self.waiting.values())

    def take(self, amount: float) -> dict[int, float]:
        """Remove `amount`, of each level alike."""
        share = amount / self.amount
        taken = {level: waiting * share for level, waiting in self.waiting.items()}
        for level in self.waiting:
            self.waiting[level] = 0.0 if share >= 1.0 else self.waiting[level] - taken[level]
        return taken


@dataclass
class ReferenceService:
    """State of one service."""

    ready: int = 0
    slowdown: float = 1.0
    cohorts: list[Cohort] = field(default_factory=list)
    in_service: dict[int, float] = field(default_factory=dict)
    due: dict[int, dict[int, float]] = field(default_factory=dict)
    done: dict[int, float] = field(default_factory=dict)
    spans: list[tuple[float, float, float]] = field(default_factory=list)
    wait_p: float = 0.0
    wait_s: float = 0.0
    own_delay_s: float = 0.0
    delay_s: float = 0.0
    refused: float = 0.0
    lost: float = 0.0
    failing: float = 0.0
    arrived: float = 0.0
    retried: float = 0.0
    served: float = 0.0
    failed: float = 0.0
    shed: float = 0.0
    timed_out: float = 0.0
    slow: float = 0.0


class ReferencePlatform:
    """The same services as `FluidPlatform`, a tick at a time, without samples."""

    def __init__(
        self,
        services: Sequence[ServiceSpec],
        arrivals: FloatArray,
        clients: Sequence[ClientBehaviour],
    ) -> None:
        self.specs = tuple(services)
        self.arrivals = arrivals
        self.clients = tuple(clients)
        self.services = [ReferenceService() for _ in services]
        self.order = call_order(services)
        self.index = {spec.name: s for s, spec in enumerate(services)}
        self.tick = 0

    def totals(self) -> FloatArray:
        """As `FluidPlatform.totals`."""
        return np.array(
            [
                [
                    *(s.arrived, s.retried, s.served, s.failed, s.shed, s.timed_out, s.slow),
                    sum(cohort.amount for cohort in s.cohorts),
                    sum(s.in_service.values()),
                ]
                for s in self.services
            ]
        )

    def lose(self, service: int, share: float) -> None:
        """As `FluidPlatform.lose`."""
        state = self.services[service]
        for level, amount in state.in_service.items():
            state.in_service[level] = amount * (1.0 - share)
            state.failed += amount * share
            state.lost += amount * share
            self._retry(service, level, amount * share, self.tick - 1)

    def step(self) -> None:
        """One tick of all services."""
        incoming = [{0: 0.0, CALLS: 0.0} for _ in self.specs]
        for s in self.order:
            self._move(s, incoming[s])
            finished = sum(self.services[s].done.values())
            for call in self.specs[s].calls:
                level = 0 if call.asynchronous else CALLS
                incoming[self.index[call.service]][level] += call.per_request * finished
        for s in reversed(self.order):
            self._answer(s)
        self.tick += 1

    def _move(self, s: int, incoming: dict[int, float]) -> None:
        """The same parts in the same order as `kernels.fluid.moving.move`."""
        spec, state = self.specs[s], self.services[s]
        capacity = state.ready * spec.slots / (spec.service_s * state.slowdown)
        state.refused = 0.0
        self._time_out(s)
        backlog = sum(cohort.amount for cohort in state.cohorts)
        arrived = self._arrive(s, incoming)
        started, used = self._start(s, capacity, backlog, arrived)
        self._shed(s)
        self._relax(s, capacity, arrived, used)
        queued = sum(cohort.amount for cohort in state.cohorts)
        if used > 0.0:
            mean = sum(n * (a + b) / 2.0 for n, a, b in state.spans) / used
            state.own_delay_s = mean + state.wait_p * state.wait_s
        elif queued > 0.0:
            state.own_delay_s = self.tick + 1.0 - state.cohorts[0].tick
        self._complete(s, started)

    def _time_out(self, s: int) -> None:
        client, state, tick = self.clients[s], self.services[s], self.tick
        for cohort in state.cohorts:
            if cohort.tick <= tick - math.ceil(client.timeout_s):
                state.timed_out += cohort.amount
                state.refused += cohort.amount
                for level, amount in cohort.waiting.items():
                    self._retry(s, level, amount, tick)
                cohort.waiting = {}
        state.cohorts = [c for c in state.cohorts if c.amount > 0.0]

    def _arrive(self, s: int, incoming: dict[int, float]) -> float:
        state, tick = self.services[s], self.tick
        again = state.due.pop(tick, {})
        state.retried += sum(again.values())
        new = {level: again.get(level, 0.0) for level in range(self.clients[s].max_retries + 1)}
        new[0] += self.arrivals[s, tick] + incoming[0]
        new[CALLS] = incoming[CALLS]
        arrived = sum(new.values())
        state.arrived += arrived
        if arrived > 0.0:
            state.cohorts.append(Cohort(tick, new, arrived))
        return arrived

    def _start(
        self, s: int, capacity: float, backlog: float, arrived: float
    ) -> tuple[dict[int, float], float]:
        """What starts, by attempt level and in all."""
        state, tick = self.services[s], self.tick
        started: dict[int, float] = {}
        used = 0.0
        state.spans = []
        for cohort in state.cohorts:
            amount = min(cohort.amount, capacity - used)
            if amount <= 0.0:
                continue
            if cohort.tick == tick and backlog + arrived <= capacity:
                busy_s = min(backlog / (capacity - arrived), 1.0) if backlog > 0.0 else 0.0
                state.spans.append((amount * busy_s, backlog / capacity, 0.0))
                state.spans.append((amount * (1.0 - busy_s), 0.0, 0.0))
            else:
                gone = cohort.admitted - cohort.amount
                ends = [
                    tick
                    + (used + part) / capacity
                    - (cohort.tick + (gone + part) / cohort.admitted)
                    for part in (0.0, amount)
                ]
                state.spans.append((amount, ends[0], ends[1]))
            for level, part in cohort.take(amount).items():
                started[level] = started.get(level, 0.0) + part
            used += amount
        state.cohorts = [c for c in state.cohorts if c.amount > 0.0]
        return started, used

    def _limit(self, s: int) -> float:
        """How many may wait."""
        state = self.services[s]
        return self.clients[s].queue_limit_per_slot * max(state.ready, 1) * self.specs[s].slots

    def _shed(self, s: int) -> None:
        state, tick = self.services[s], self.tick
        queued, limit = sum(cohort.amount for cohort in state.cohorts), self._limit(s)
        if queued <= limit or state.cohorts[-1].tick != tick:
            return
        cohort = state.cohorts[-1]
        shed = min(queued - limit, cohort.amount)
        for level, part in cohort.take(shed).items():
            self._retry(s, level, part, tick)
        cohort.admitted -= shed
        state.shed += shed
        state.refused += shed
        state.cohorts = [c for c in state.cohorts if c.amount > 0.0]

    def _relax(self, s: int, capacity: float, arrived: float, used: float) -> None:
        spec, client, state = self.specs[s], self.clients[s], self.services[s]
        queued = sum(cohort.amount for cohort in state.cohorts)
        spread = 0.5 * (1.0 + spec.service_scv)
        state.wait_p = 1.0
        if capacity <= 0.0:
            return
        room_s = min(max(self._limit(s) - queued, 0.0) / capacity, math.ceil(client.timeout_s))
        state.wait_s = min(state.wait_s, room_s)
        highest = min(math.sqrt(state.wait_s**2 + 4.0 / math.pi * spread / capacity), room_s)
        if queued > 1e-12 * max(arrived, 1.0):
            if arrived > capacity:
                stationary = spread / (arrived - capacity)
                state.wait_s = max(state.wait_s, min(stationary, highest))
        elif used < capacity:
            stationary = spread / (capacity - used)
            falling = state.wait_s - (1.0 - used / capacity)
            state.wait_s = min(max(stationary, falling), highest)
            state.wait_p = erlang_c(state.ready * spec.slots, used / capacity)
        else:
            state.wait_s = highest

    def _complete(self, s: int, started: dict[int, float]) -> None:
        state = self.services[s]
        holding_s = self.specs[s].service_s * state.slowdown
        for level in {*started, *state.in_service}:
            amount = state.in_service.get(level, 0.0) + started.get(level, 0.0)
            state.in_service[level] = amount * holding_s / (1.0 + holding_s)
            state.done[level] = amount / (1.0 + holding_s)

    def _answer(self, s: int) -> None:
        state, spec = self.services[s], self.specs[s]
        kept = 1.0
        waits = [(1.0, 0.0)]  # probability and sum of the calls' waits
        state.delay_s = state.own_delay_s
        for call in spec.calls:
            if call.asynchronous:
                continue
            callee = self.services[self.index[call.service]]
            whole = math.floor(call.per_request)
            more = call.per_request - whole
            kept *= (1.0 - callee.failing) ** whole * (1.0 - more * callee.failing)
            waits = [
                (p * q, wait + calls * callee.delay_s)
                for p, wait in waits
                for q, calls in ((1.0 - more, whole), (more, whole + 1))
            ]
            state.delay_s += call.per_request * callee.delay_s
        served = 0.0
        failed = 0.0
        for level, amount in state.done.items():
            self._retry(s, level, amount * (1.0 - kept), self.tick)
            failed += amount * (1.0 - kept)
            served += amount * kept
        state.done = {}
        state.served += served
        state.failed += failed
        bad = failed + state.lost + state.refused
        state.lost = 0.0
        state.failing = bad / (bad + served) if bad > 0.0 else 0.0

        spans = state.spans or [(1.0, *(2 * (state.own_delay_s - state.wait_p * state.wait_s,)))]
        total = sum(n for n, _, _ in spans)
        base_s = self._base_quantiles(s)
        for n, first_s, last_s in spans:
            if n <= 0.0 or served <= 0.0:
                continue
            steps = 1 if first_s == last_s else 50
            for k in range(steps):
                own_s = first_s + (last_s - first_s) * (k + 0.5) / steps
                for p, wait_s in waits:
                    spare_s = spec.slo_p95_s - own_s - wait_s - base_s
                    late = np.where(spare_s <= 0.0, 1.0, 0.0)
                    if state.wait_s > 0.0:
                        over = np.exp(-np.maximum(spare_s, 0.0) / state.wait_s)
                        late = (1.0 - state.wait_p) * late + state.wait_p * over
                    state.slow += served * n / total / steps * p * float(late.mean())

    def _base_quantiles(self, s: int) -> FloatArray:
        moments = base_moments(self.specs, [state.slowdown for state in self.services])
        mean_s, variance = moments[s]
        shape = mean_s**2 / variance
        points = (np.arange(GAMMA_POINTS) + 0.5) / GAMMA_POINTS
        quantiles: FloatArray = gammaincinv(shape, points) * (mean_s / shape)
        return quantiles

    def _retry(self, s: int, level: int, amount: float, tick: int) -> None:
        """Spread the retries evenly over 0.5 … 1.5 times the backoff, between whole ticks."""
        client = self.clients[s]
        if level in (CALLS, client.max_retries) or amount <= 0.0:
            return
        middle_s = client.backoff_s * 2.0**level
        for k in range(1000):
            delay_s = middle_s * (0.5 + (k + 0.5) / 1000.0)
            whole = math.floor(delay_s)
            for delay, share in ((whole, whole + 1 - delay_s), (whole + 1, delay_s - whole)):
                due = self.services[s].due.setdefault(tick + max(delay, 1), {})
                part = amount * client.retry_share * share / 1000.0
                due[level + 1] = due.get(level + 1, 0.0) + part
