"""The services as fluids: state arrays around the compiled tick.

This class owns the arrays, checks what comes in, and keeps the response-time tables in step with
slowdowns; the model itself is in `kernels.fluid`.  A call costs some microseconds, whatever the
load, so the world may change a service as often as it likes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import call_order
from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec
from engine.record.response_times import Buckets, log_spaced
from twin.queues.kernels import services as columns
from twin.queues.kernels import survival
from twin.queues.kernels.fluid import layout
from twin.queues.kernels.fluid.advancing import advance, lose
from twin.queues.kernels.fluid.sampling import fold
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour, by_service, check_calls_factor
from twin.queues.response import fill_response, static_columns, with_more_calls

BUCKETS = Buckets(log_spaced(1e-3, 200.0, 257))
"""Buckets of the run-long response times, 5 % wide."""


class FluidPlatform:
    """All services of the platform at the fluid resolution; implements `port.Platform`.

    `arrivals` has shape (services, ticks): first attempts that enter each service from outside in
    each second; the calls between services are made here.  `clients` is the behaviour of the
    clients of every service, or one for each service by name.  Samples are written each
    `sample_s` seconds; sample k covers the ticks from `k * sample_s` to `(k + 1) * sample_s` and
    is stamped with the end of it, in seconds since the epoch (`start_s` is the start of tick 0).

    No service has instances until `set_ready`.  Raises ValueError for arrivals of another shape,
    not finite or negative, and for a number of ticks that is no multiple of `sample_s`.
    """

    def __init__(
        self,
        services: Sequence[ServiceSpec],
        arrivals: FloatArray,
        clients: ClientBehaviour | Mapping[str, ClientBehaviour],
        sample_s: int = 5,
        *,
        start_s: float = 0.0,
    ) -> None:
        services = tuple(services)
        count = len(services)
        arrivals = np.ascontiguousarray(arrivals, dtype=np.float64)
        if arrivals.ndim != 2 or arrivals.shape[0] != count:
            raise ValueError(f"arrivals has shape {arrivals.shape}, expected ({count}, ticks)")
        if not (np.isfinite(arrivals).all() and (arrivals >= 0.0).all()):
            raise ValueError("arrivals must be finite and not negative")
        ticks = arrivals.shape[1]
        if sample_s < 1 or ticks % sample_s:
            raise ValueError(f"arrivals: {ticks} ticks are no multiple of sample_s = {sample_s}")
        behaviours = by_service(services, clients)
        levels = max(b.max_retries for b in behaviours) + 2  # attempts, and calls from services
        patience = [math.ceil(b.timeout_s) for b in behaviours]
        index = {spec.name: i for i, spec in enumerate(services)}

        self.services = services
        self.sample_s = sample_s
        self._now_s = 0
        self._start_s = float(start_s)
        calls = np.zeros((2, count, count))
        for s, spec in enumerate(services):
            for call in spec.calls:
                calls[int(call.asynchronous), s, index[call.service]] += call.per_request
        self._specified_calls = calls[0].copy()
        self._more_calls = np.ones(count)
        columns_of = static_columns(services)
        for s, behaviour in enumerate(behaviours):
            columns_of[s, columns.TIMEOUT_TICKS] = patience[s]
            columns_of[s, columns.QUEUE_LIMIT] = behaviour.queue_limit_per_slot
            columns_of[s, columns.RETRIES] = behaviour.max_retries
            columns_of[s, columns.RETRY_SHARE] = behaviour.retry_share
        backoff = _backoff_shares(behaviours, levels)
        self._slowdown = np.ones(count)
        self._tables: dict[tuple[int, tuple[float, ...]], tuple[FloatArray, FloatArray]] = {}
        self._histogram = np.zeros((count, len(BUCKETS)))
        samples = ticks // sample_s
        self.metrics: FloatArray = np.full((count, samples, len(SAMPLE_FIELDS)), np.nan)
        self.truth: FloatArray = np.zeros((count, samples, len(TRUTH_FIELDS)))
        self._fluid = layout.Fluid(
            spec=columns_of,
            order=np.array(call_order(services), dtype=np.int64),
            calls=calls,
            backoff=backoff,
            table=np.zeros((count, survival.W_ROWS, survival.X_POINTS)),
            arrivals=arrivals,
            state=np.zeros((count, layout.STATE_COLUMNS)),
            in_service=np.zeros((count, levels)),
            cohorts=np.zeros((count, max(patience) + 1, levels + layout.EXTRA)),
            retries=np.zeros((count, backoff.shape[2], levels)),
            parts=np.zeros((count, layout.PARTS, 4)),
            waits=np.zeros((count, survival.W_ROWS, layout.SHIFTS)),
            incoming=np.zeros((count, 2)),
            done=np.zeros((count, levels)),
            spans=np.zeros((count, layout.STEPS * (max(patience) + 2), 2)),
            span_count=np.zeros(count, np.int64),
            metrics=self.metrics,
            truth=self.truth,
        )
        self._arrays = tuple(self._fluid)
        self._use_tables(range(count))

    @property
    def now_s(self) -> int:
        """Seconds since the start of the window up to which the services have been advanced."""
        return self._now_s

    @property
    def samples(self) -> int:
        """Number of complete samples in `metrics` and `truth`."""
        return self._now_s // self.sample_s

    def advance(self, until_s: int) -> None:
        """Simulate the ticks up to `until_s`; nothing happens if that is now.

        Raises ValueError for a time before now or after the last tick of the arrivals.
        """
        until_s = int(until_s)
        if not self._now_s <= until_s <= self._fluid.arrivals.shape[1]:
            raise ValueError(
                f"until_s: {until_s} is not allowed "
                f"({self._now_s} … {self._fluid.arrivals.shape[1]}, whole seconds)"
            )
        if until_s == self._now_s:
            return
        advance((self._now_s, until_s), (self.sample_s, self._start_s), self._arrays)
        self._now_s = until_s

    def set_ready(self, service: int, instances: int, crashed: int = 0) -> None:
        """From now on `instances` can start requests.

        Of those ready before, `crashed` are gone, and with them their share of the requests in
        service, whose clients may retry; what drains finishes what it serves.  Raises ValueError
        for a negative number.
        """
        if instances < 0 or crashed < 0:
            raise ValueError(f"instances: {min(instances, crashed)} is not allowed (0 or more)")
        before = self._fluid.state[service, layout.READY]
        if crashed and before > 0.0:
            lose(service, self._now_s, min(crashed / before, 1.0), self._arrays)
        self._fluid.state[service, layout.READY] = instances

    def set_slowdown(self, service: int, factor: float) -> None:
        """From now on requests hold their slots `factor` times as long as specified.

        Builds new response-time tables for the service and its callers, about 2 ms each the first
        time; factors used before are remembered.  Raises ValueError outside 0.01 … 1000.
        """
        if not 0.01 <= factor <= 1000.0:
            raise ValueError(f"factor: {factor} is not allowed (0.01 … 1000)")
        if factor == self._slowdown[service]:
            return
        affected = self._above(service)
        self._fold(affected)
        self._slowdown[service] = factor
        self._use_tables(affected)

    def set_calls(self, service: int, factor: float) -> None:
        """From now on each request makes `factor` times as many synchronous calls as specified.

        Builds new response-time tables as `set_slowdown` does.  Raises ValueError outside
        0 … 1000.
        """
        check_calls_factor(factor)
        if factor == self._more_calls[service]:
            return
        affected = self._above(service)
        self._fold(affected)
        self._more_calls[service] = factor
        self._fluid.calls[0, service] = self._specified_calls[service] * factor
        self._use_tables(affected)

    def ready(self, service: int) -> float:
        """Instances that can start requests now."""
        return float(self._fluid.state[service, layout.READY])

    def totals(self) -> FloatArray:
        """Counts since the start and stocks now, shape (services, 9), as `TRUTH_FIELDS[:9]`."""
        result = np.empty((len(self.services), 9))
        earlier = self._fluid.state[:, layout.EARLIER : layout.EARLIER + layout.COUNTS]
        result[:, : layout.COUNTS] = self._fluid.state[:, : layout.COUNTS] + earlier
        result[:, layout.COUNTS] = self._fluid.state[:, layout.QUEUED]
        result[:, layout.COUNTS + 1] = self._fluid.in_service.sum(axis=1)
        return result

    def conservation_error(self) -> float:
        """Largest |arrived - served - failed - shed - timed out - queued - in flight| / arrived."""
        totals = self.totals()
        arrived = totals[:, layout.ARRIVED]
        outcomes = totals[:, layout.SERVED : layout.TIMED_OUT + 1].sum(axis=1)
        stocks = totals[:, layout.COUNTS :].sum(axis=1)
        return float((np.abs(arrived - outcomes - stocks) / np.maximum(arrived, 1.0)).max())

    def histogram(self, service: int) -> FloatArray:
        """Served requests by response time over the run so far, over `BUCKETS`."""
        self._fold([service])
        return self._histogram[service].copy()

    def response_quantiles(self, service: int, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        """Response times (s) by request over the run so far; NaN as long as none was served."""
        return tuple(BUCKETS.quantiles(self.histogram(service), quantiles).tolist())

    def _use_tables(self, changed: Sequence[int]) -> None:
        """Put the response tables for the slowdowns in force in place."""
        spec, table = self._fluid.spec, self._fluid.table
        for s in changed:
            below = self._below(s)
            relevant = tuple(
                factor
                for c in range(len(self.services))
                for factor in (
                    (float(self._slowdown[c]), float(self._more_calls[c]))
                    if c in below
                    else (1.0, 1.0)
                )
            )
            kept = self._tables.get((s, relevant))
            if kept is None:
                services = with_more_calls(self.services, self._more_calls)
                fill_response(services, self._slowdown, spec, table, changed=[s])
                self._tables[s, relevant] = (spec[s].copy(), table[s].copy())
            else:
                spec[s], table[s] = kept

    def _below(self, service: int) -> set[int]:
        """The service and those that requests to it wait for."""
        below = {service}
        for s in self._fluid.order:
            if s in below:
                below |= {int(c) for c in np.flatnonzero(self._specified_calls[s])}
        return below

    def _above(self, service: int) -> list[int]:
        """The service and those whose requests wait for it."""
        above = {service}
        for s in reversed(self._fluid.order):
            if any(self._specified_calls[s, callee] > 0.0 for callee in above):
                above.add(int(s))
        return sorted(above)

    def _fold(self, changed: Sequence[int]) -> None:
        """Move the record of waits into the histogram, by the tables that it was made with."""
        for s in changed:
            fold(self._fluid.waits[s], self._fluid.table[s], BUCKETS.edges_s, self._histogram[s])
            self._fluid.waits[s] = 0.0


def _backoff_shares(behaviours: Sequence[ClientBehaviour], levels: int) -> NDArray[np.float64]:
    """Share of a level's retries that come after each whole number of ticks.

    Shape (services, levels, delays).  An attempt fails anywhere within its tick, so a delay of
    2.3 s reaches the second tick after with probability 0.7 and the third with 0.3; a retry comes
    in the next tick at the earliest.
    """
    longest = max(1.5 * b.backoff_s * 2.0 ** max(b.max_retries - 1, 0) for b in behaviours)
    shares = np.zeros((len(behaviours), levels, int(longest) + 3))
    for s, behaviour in enumerate(behaviours):
        for level in range(behaviour.max_retries):
            middle_s = behaviour.backoff_s * 2.0**level
            delays_s = middle_s * (0.5 + (np.arange(1000) + 0.5) / 1000.0)
            whole = np.floor(delays_s).astype(np.int64)
            later = delays_s - whole
            np.add.at(shares[s, level], np.maximum(whole, 1), (1.0 - later) / 1000.0)
            np.add.at(shares[s, level], whole + 1, later / 1000.0)
    return shares
