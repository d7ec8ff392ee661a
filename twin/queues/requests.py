"""The services request by request: state arrays around the compiled event layout.

Same protocol as the fluid, so nothing outside can tell the two apart but by their figures.  The
arrays grow with the number of requests in the system; the loop stops and asks when it needs room.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import call_order
from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec
from twin.queues.kernels import survival
from twin.queues.kernels.requests import layout
from twin.queues.kernels.requests.capacity import set_slots
from twin.queues.kernels.requests.looping import run
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour, by_service, check_calls_factor
from twin.queues.response import fill_response, static_columns, with_more_calls

NO_SCRIPT: FloatArray = np.zeros((2, 1, 0))
FEWEST_BUCKETS, MOST_BUCKETS = 64, 1 << 18


class RequestPlatform:
    """All services of the platform at the request resolution; implements `port.Platform`.

    `arrivals` has shape (services, ticks): how many first attempts enter each service from outside
    in each second, whole numbers; within the second they come at independent uniform times, which
    makes them a Poisson stream if the counts are Poisson distributed.  `rng` draws everything
    else.  For `clients`, `sample_s` and `start_s` see `FluidPlatform`.

    `script` (2, services, n) replaces the draws for the first n arrivals of each service by given
    times (s, rising, in keeping with `arrivals`) and service times (s, in the order of starting);
    `keep_waits` is how many waits of each service are kept in `waits`, in the order of starting.

    Raises ValueError for arrivals of another shape, negative, not finite or not whole, and for a
    number of ticks that is no multiple of `sample_s`.
    """

    def __init__(
        self,
        services: Sequence[ServiceSpec],
        arrivals: FloatArray,
        clients: ClientBehaviour | Mapping[str, ClientBehaviour],
        rng: np.random.Generator,
        *,
        sample_s: int = 5,
        start_s: float = 0.0,
        script: FloatArray = NO_SCRIPT,
        keep_waits: int = 0,
    ) -> None:
        services = tuple(services)
        count = len(services)
        arrivals = np.ascontiguousarray(arrivals, dtype=np.float64)
        if arrivals.ndim != 2 or arrivals.shape[0] != count:
            raise ValueError(f"arrivals has shape {arrivals.shape}, expected ({count}, ticks)")
        if not (np.isfinite(arrivals).all() and (arrivals >= 0.0).all()):
            raise ValueError("arrivals must be finite and not negative")
        if not (arrivals == np.floor(arrivals)).all():
            raise ValueError("arrivals must be whole numbers of requests")
        ticks = arrivals.shape[1]
        if sample_s < 1 or ticks % sample_s:
            raise ValueError(f"arrivals: {ticks} ticks are no multiple of sample_s = {sample_s}")

        self.services = services
        self.sample_s = sample_s
        self._start_s = float(start_s)
        self._rng = rng
        behaviours = by_service(services, clients)
        self._limits = [behaviour.queue_limit_per_slot for behaviour in behaviours]
        sync, sync_calls = _calls(services, asynchronous=False)
        jobs, jobs_calls = _calls(services, asynchronous=True)
        self._specified_calls = sync_calls.copy()
        self._more_calls = np.ones(count)
        samples = ticks // sample_s
        self.metrics: FloatArray = np.full((count, samples, len(SAMPLE_FIELDS)), np.nan)
        self.truth: FloatArray = np.zeros((count, samples, len(TRUTH_FIELDS)))
        self.waits: FloatArray = np.full((count, keep_waits), np.nan)
        self._loop = layout.Loop(
            rng=rng,
            script=np.ascontiguousarray(script, dtype=np.float64),
            arrivals=arrivals,
            fixed=_fixed_columns(services, behaviours),
            sync=sync,
            sync_calls=sync_calls,
            jobs=jobs,
            jobs_calls=jobs_calls,
            slowdown=np.ones(count),
            spec=static_columns(services),
            table=np.zeros((count, survival.W_ROWS, survival.X_POINTS)),
            counts=np.zeros((count, layout.COUNT_COLUMNS), np.int64),
            real=np.zeros((count, layout.REAL_COLUMNS)),
            nodes=np.zeros(0, layout.NODE),
            near=np.full(_buckets(arrivals), -1, np.int32),
            far=np.full(layout.FAR, -1, np.int32),
            wheel=np.zeros(layout.WHEEL_COLUMNS, np.int64),
            stack=np.zeros((int(np.ceil(jobs_calls).sum(axis=1).max()) + 2, 3), np.int64),
            hist=np.zeros((count, layout.BINS), np.int32),
            hist_all=np.zeros((count, layout.BINS), np.int64),
            metrics=self.metrics,
            truth=self.truth,
            totals=np.zeros((count, layout.SLOW + 1), np.int64),
            waits=self.waits,
        )
        wheel = self._loop.wheel
        wheel[layout.BUCKET] = wheel[layout.CURRENT] = wheel[layout.FREE_HEAD] = -1
        self._fill_response()
        self._make_room(2 * count)
        nodes = self._loop.nodes
        for s in range(count):
            # the standing events: the next arrival from outside, the patience of the queue's head
            nodes[s]["state"], nodes[count + s]["state"] = layout.EXTERNAL, layout.TIMER
            nodes[s]["service"] = nodes[count + s]["service"] = s
        self._make_room(4096 + 8 * count)
        for s in range(count):
            self.set_ready(s, 0)

    @property
    def now_s(self) -> int:
        """Seconds since the start of the window up to which the services have been advanced."""
        return int(self._loop.wheel[layout.SECOND])

    @property
    def samples(self) -> int:
        """Number of complete samples in `metrics` and `truth`."""
        return self.now_s // self.sample_s

    def advance(self, until_s: int) -> None:
        """Simulate every request up to `until_s`; nothing happens if that is now.

        Raises ValueError for a time before now or after the last tick of the arrivals.
        """
        until_s = int(until_s)
        if not self.now_s <= until_s <= self._loop.arrivals.shape[1]:
            raise ValueError(
                f"until_s: {until_s} is not allowed "
                f"({self.now_s} … {self._loop.arrivals.shape[1]}, whole seconds)"
            )
        samples = self.sample_s, self._start_s
        while run(until_s, samples, self._rng, self._arrays) == layout.ROOM_NEEDED:
            self._make_room(len(self._loop.nodes))

    def set_ready(self, service: int, instances: int, crashed: int = 0) -> None:
        """From now on `instances` can start requests.

        Of those ready before, `crashed` are gone and fail what they were serving; whatever else
        is fewer drains: it finishes what it serves and starts no more.  Raises ValueError for a
        negative number.
        """
        if instances < 0 or crashed < 0:
            raise ValueError(f"instances: {min(instances, crashed)} is not allowed (0 or more)")
        slots = self.services[service].slots
        busy = int(self._loop.counts[service, layout.BUSY])
        if crashed and self._loop.wheel[layout.FREE_COUNT] < busy:
            self._make_room(busy)
        limit = self._limits[service] * max(instances, 1) * slots
        change = instances * slots, crashed * slots, int(min(limit, 2.0**62))
        set_slots((service, float(self.now_s)), change, self._rng, self._arrays)

    def set_slowdown(self, service: int, factor: float) -> None:
        """From now on requests that start hold their slots `factor` times as long as specified.

        Raises ValueError outside 0.01 … 1000.
        """
        if not 0.01 <= factor <= 1000.0:
            raise ValueError(f"factor: {factor} is not allowed (0.01 … 1000)")
        if factor != self._loop.slowdown[service]:
            self._loop.slowdown[service] = factor
            self._fill_response()

    def set_calls(self, service: int, factor: float) -> None:
        """From now on each request makes `factor` times as many synchronous calls as specified.

        Raises ValueError outside 0 … 1000.
        """
        check_calls_factor(factor)
        if factor != self._more_calls[service]:
            self._more_calls[service] = factor
            self._loop.sync_calls[service] = self._specified_calls[service] * factor
            self._fill_response()

    def _fill_response(self) -> None:
        services = with_more_calls(self.services, self._more_calls)
        fill_response(
            services,
            self._loop.slowdown,
            self._loop.spec,
            self._loop.table,
            changed=range(len(services)),
        )

    def ready(self, service: int) -> float:
        """Instances that can start requests now."""
        return float(self._loop.counts[service, layout.SLOTS]) / self.services[service].slots

    def totals(self) -> FloatArray:
        """Counts since the start and stocks now, shape (services, 9), as `TRUTH_FIELDS[:9]`."""
        result = np.empty((len(self.services), 9))
        result[:, :7] = self._loop.totals + self._loop.counts[:, :7]
        result[:, 7] = self._loop.counts[:, layout.WAITING_NOW]
        result[:, 8] = self._loop.counts[:, layout.BUSY] + self._loop.counts[:, layout.CALLING_NOW]
        return result

    def conservation_error(self) -> float:
        """Largest |arrived - served - failed - shed - timed out - queued - in flight| / arrived."""
        totals = self.totals()
        balance = totals[:, 0] - totals[:, 2:6].sum(axis=1) - totals[:, 7:].sum(axis=1)
        return float((np.abs(balance) / np.maximum(totals[:, 0], 1.0)).max())

    def little_error(self) -> float:
        """Largest relative difference between the two sides of Little's law over the services.

        The queue's length added up over time, against the waits added up over the requests
        (J. D. C. Little, Operations Research 9 (1961)); exact on every path, not only on average.
        """
        worst = 0.0
        for s in range(len(self.services)):
            over_time = self._loop.real[s, layout.WAIT_AREA]
            waited = self._loop.real[s, layout.WAITED]
            node = int(self._loop.counts[s, layout.HEAD])
            for _ in range(int(self._loop.counts[s, layout.WAITING_NOW])):
                waited += self.now_s - self._loop.nodes[node]["arrived"]
                node = int(self._loop.nodes[node]["next"])
            worst = max(worst, abs(over_time - waited) / max(over_time, waited, 1.0))
        return float(worst)

    def started(self, service: int) -> int:
        """Requests that have got a slot so far."""
        return int(self._loop.counts[service, layout.STARTED])

    def mean_wait_s(self, service: int) -> float:
        """Mean wait, in seconds, of all that have left the queue; NaN as long as none has."""
        timed_out = (
            self._loop.totals[service, layout.TIMED_OUT]
            + self._loop.counts[service, layout.TIMED_OUT]
        )
        left = self.started(service) + int(timed_out)
        return float(self._loop.real[service, layout.WAITED]) / left if left else math.nan

    def histogram(self, service: int) -> NDArray[np.int64]:
        """Served requests by response time over the run so far, over `layout.BUCKETS`."""
        counts: NDArray[np.int64] = self._loop.hist_all[service] + self._loop.hist[service]
        return counts

    def response_quantiles(self, service: int, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        """Response times (s) by request over the run so far; NaN as long as none was served."""
        return tuple(layout.BUCKETS.quantiles(self.histogram(service), quantiles).tolist())

    def _make_room(self, more: int) -> None:
        """Add `more` free nodes."""
        wheel, before = self._loop.wheel, self._loop.nodes
        old = len(before)
        nodes = np.zeros(old + more, layout.NODE)
        nodes[:old] = before
        if old:  # the very first ones are for the standing events
            nodes["next"][old:] = np.arange(old + 1, old + more + 1)
            nodes["next"][old + more - 1] = wheel[layout.FREE_HEAD]
            wheel[layout.FREE_HEAD] = old
            wheel[layout.FREE_COUNT] += more
        self._loop = self._loop._replace(nodes=nodes)
        self._arrays = tuple(self._loop[1:])


def _fixed_columns(
    services: Sequence[ServiceSpec], behaviours: Sequence[ClientBehaviour]
) -> FloatArray:
    """What stays as it is for each service, shape (services, FIXED_COLUMNS)."""
    fixed = np.zeros((len(services), layout.FIXED_COLUMNS))
    for s, (spec, client) in enumerate(zip(services, behaviours, strict=True)):
        shape = 1.0 / spec.service_scv if spec.service_scv > 0.0 else 0.0
        fixed[s] = (
            shape,
            spec.service_s / shape if shape > 0.0 else spec.service_s,
            client.timeout_s,
            client.max_retries,
            client.retry_share,
            client.backoff_s,
            spec.slo_p95_s,
        )
    return fixed


def _buckets(arrivals: FloatArray) -> int:
    """Into how many parts a second is cut: about one for each arrival of the busiest."""
    busiest = float(arrivals.sum(axis=0).max(initial=0.0))
    per_second = 1 << max(math.ceil(math.log2(max(busiest, 1.0))), 0)
    return min(max(per_second, FEWEST_BUCKETS), MOST_BUCKETS)


def _calls(
    services: Sequence[ServiceSpec], *, asynchronous: bool
) -> tuple[NDArray[np.int64], FloatArray]:
    """Callees of each service in call order, -1 beyond the last, and calls per request."""
    index = {spec.name: i for i, spec in enumerate(services)}
    order = call_order(services)
    lists = []
    for spec in services:
        made = [
            (index[call.service], call.per_request)
            for call in spec.calls
            if call.asynchronous is asynchronous and call.per_request > 0.0
        ]
        lists.append(sorted(made, key=lambda item: order.index(item[0])))
    width = max(max(len(made) for made in lists), 1)
    callees = np.full((len(services), width), -1, np.int64)
    times = np.zeros((len(services), width))
    for s, made in enumerate(lists):
        for k, (callee, per_request) in enumerate(made):
            callees[s, k] = callee
            times[s, k] = per_request
    return callees, times
