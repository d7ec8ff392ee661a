"""Judge a service by its thresholds, and find out whether it is the one that is short.

A slow response is not always the service's own fault: an api that waits for a slow database has
a high p95, an idle CPU and no queue, and more api instances would only press harder on the
database.  `Assessment.saturated` tells the two apart.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from engine.decide.view import NEWEST, Row, View
from engine.model import Reason, ServiceObservation, ServiceSpec

SLOWDOWN_MEMORY = 0.3
MAX_SLOWDOWN = 5.0
SLOWEST = 20.0
"""No service works so many times slower than specified: then its rate is wrong."""
UNCLEAR_ERRORS = 0.05
HEADROOM = 0.9
"""A count is enough that keeps the figures below this share of their upper thresholds, with the
tolerance of 10 % that Kubernetes' HorizontalPodAutoscaler has."""
FAR_BEHIND = 10.0
"""More may wait than the response time says, by as many times as more arrives than is served."""
UNTIMED_S = 30.0
"""Who nobody knows the wait of has waited for so long at most: twice as long are given up."""
MARGIN = 1.1
"""Response times bear out a holding time of so many times their mean."""


class Signal(NamedTuple):
    """One figure against its threshold; `load` is the figure as a multiple of the threshold."""

    reason: Reason
    value: float
    threshold: float

    @property
    def load(self) -> float:
        """How many times the threshold the figure is."""
        return self.value / self.threshold


class Assessment(NamedTuple):
    """What the thresholds say of one service.

    `over` are the signals above their upper thresholds.  `cold`: every figure that is there is
    below its lower threshold, and arrivals, as a share of what can be served, below that of the
    cpu.  With `enough` instances cpu and memory would stay below `HEADROOM` of their upper
    thresholds, in proportion; a memory below its lower one asks for none.  `breach`: the SLO is
    being missed.  `saturated`: its own slots are the bottleneck.
    """

    over: tuple[Signal, ...]
    cold: bool
    enough: int
    breach: bool
    saturated: bool


def assess(service: ServiceObservation, view: View) -> Assessment:
    """Compare what `view` shows with the thresholds of the service."""
    spec = service.spec
    limits = spec.thresholds
    if view.stale:
        return Assessment((), cold=False, enough=0, breach=False, saturated=False)
    capacity = max(service.ready, 1) * spec.rate_per_instance
    slots = max(service.ready, 1) * spec.slots
    queue = view.queue_depth / slots
    busy = view.cpu > limits.cpu_up or queue > limits.queue_depth_up
    over = tuple(
        [
            Signal(reason, value, threshold)
            for reason, value, threshold in (
                (Reason.CPU, view.cpu, limits.cpu_up),
                (Reason.MEMORY, view.memory, limits.memory_up),
                (Reason.REQUEST_RATE, view.request_rate / capacity, limits.request_rate_up),
                (Reason.RESPONSE_TIME, view.p95_s / spec.slo_p95_s, limits.response_time_up),
                (Reason.QUEUE_DEPTH, queue, limits.queue_depth_up),
            )
            if value > threshold and (busy or reason is not Reason.RESPONSE_TIME)
        ]
    )
    breach = view.p95_s > spec.slo_p95_s or view.error_rate > 0.01
    # Arrivals are a witness of their own: a cpu that is wrong makes nobody idle, and where none is
    # measured they stand in for it.
    busiest = max(
        [share for share in (view.cpu, view.request_rate / capacity) if share >= 0.0], default=0.0
    )
    # A figure that is not there (NaN) is above no threshold.
    cold = not (
        busiest >= limits.cpu_down
        or view.memory >= limits.memory_down
        or view.p95_s >= spec.slo_p95_s * limits.response_time_up
        or queue >= 0.5 * limits.queue_depth_up
        or breach
    )
    most = busiest / limits.cpu_up
    if view.memory >= limits.memory_down:
        most = max(most, view.memory / limits.memory_up)
    enough = math.ceil(max(service.ready, 1) * most / HEADROOM - 1e-9)
    return Assessment(over, cold=cold, enough=enough, breach=breach, saturated=busy)


def learned_slowdown(
    slowdown: float, spec: ServiceSpec, view: View, *, measures_errors: bool = False
) -> float:
    """`slowdown`, how many times slower than specified the service works, after another look.

    Busy slots over throughput is the time that a request really holds a slot (Little's law), so
    a database that has become three times slower shows as 3 long before its queue is worked off.
    Each of the newest three samples is taken by itself, with the slots that there were then and
    with what joined or left the queue up to then, and the median of what they say counts: where the
    count changes, or the queue turns, figures of two moments say nothing together.

    What fails because a callee failed has held a slot all the same, what was shed has not.  Where
    the two cannot be told apart (many errors, and calls to wait for), the service is not taken to
    be slower; but no request held its slot for longer than if all of them were shed, so it is taken
    to be faster again.  Errors that nobody measures are none: that can only make the service look
    faster.  `measures_errors`: they are measured, or were until lately, so a sample without them
    may have had many.  A sample of a rate that cannot be one (`too_few`) says nothing.
    """
    waits = any(not call.asynchronous for call in spec.calls)
    least, most = [], []
    for place, row in enumerate(view.rows[:NEWEST]):
        cpu, rate, ready = row[1], row[3], view.ready_then[place]
        measured = 0.0 <= row[7] < math.inf
        error_rate = row[7] if measured else 0.0
        unclear = error_rate > UNCLEAR_ERRORS or (measures_errors and not measured)
        if not (0.05 < cpu < math.inf and ready > 0 and rate > 1.0):
            continue
        if too_few(rate, cpu * ready, spec):
            continue
        throughput = rate * (1.0 - error_rate) - _joined(view.rows[place : place + 2])
        if throughput > 0.0:
            held_s = min(cpu * ready * spec.slots / throughput, _held_at_most_s(row))
            most.append(held_s / spec.service_s)
            least.append(1.0 if waits and unclear else most[-1])
    if not most:
        return slowdown
    # Slower than it was taken to be only as far as every sample says so; faster, as most do.
    middle = sorted(most)[(len(most) - 1) // 2]
    seen = min(max(slowdown, min(least)), middle)
    slowdown += SLOWDOWN_MEMORY * (min(max(seen, 1.0), MAX_SLOWDOWN) - slowdown)
    if len(most) == NEWEST:
        # As fast again as most say, at once: it goes with the rate that most of them show.
        slowdown = max(min(slowdown, middle), 1.0)
    return 1.0 if abs(slowdown - 1.0) < 0.05 else slowdown


def too_few(rate: float, busy: float, spec: ServiceSpec) -> bool:
    """Whether `rate` (1/s) is too low to keep `busy` instances so, even if all is very slow."""
    return rate * SLOWEST < busy * spec.rate_per_instance


def _held_at_most_s(row: Row) -> float:
    """How long (s) a request can have held its slot: no longer than it took; infinite if unknown.

    The mean response time is estimated from the three quantiles, each part of the requests half-way
    between the quantiles that enclose it.  Both the half below the median and the last hundredth
    are skewed, which makes it a fifth too high where service times are exponential, and `MARGIN`
    makes up for where they are all alike.
    """
    p50_s, p95_s, p99_s = row[4:7]
    mean_s = 0.25 * p50_s + 0.225 * (p50_s + p95_s) + 0.02 * (p95_s + p99_s) + 0.01 * p99_s
    return MARGIN * max(mean_s, p50_s) if mean_s > 0.0 else math.inf


def arrival_rate(view: View, spec: ServiceSpec, ready: int, slowdown: float) -> float:
    """Arrivals (1/s) as measured, or, where no rate is, what the other figures say of it.

    Busy slots over the time that a request holds one are served (Little's law), and what the queue
    grows by comes on top.  Without the CPU a queue tells that all slots are busy.  NaN where
    nothing tells anything.
    """
    if view.request_rate >= 0.0:
        return view.request_rate
    if view.cpu >= 0.0:
        busy = view.cpu * ready
    else:
        busy = view.ready_then[0] if view.queue_depth > 0.0 else math.nan
    per_instance = spec.rate_per_instance / max(slowdown, 1.0)
    return busy * per_instance + queue_growth(view, spec, max(ready, 1) * per_instance)


def queue_growth(view: View, spec: ServiceSpec, capacity: float) -> float:
    """Requests/s that joined the queue between the two newest samples, never below 0.

    The queue counts in both as far as `capacity` (1/s) serves it within `FAR_BEHIND` times the
    response time.  Of a surge of so many times what can be served the response time shows as much,
    as it is that of those who came before; of a queue that is wrong it shows nothing.
    """
    rows = view.rows[:2]
    waited_s = [row[5] for row in rows if 0.0 <= row[5] < math.inf] or [UNTIMED_S]
    longest = FAR_BEHIND * max(*waited_s, spec.slo_p95_s) * capacity
    short = [(*row[:8], min(row[8], longest)) if row[8] < math.inf else row for row in rows]
    return max(_joined(short), 0.0)


def _joined(rows: Sequence[Row]) -> float:
    """Requests/s by which the queue grew (negative: shrank) between two samples, newest first.

    0 where there are no two, or one has no queue.
    """
    if len(rows) < 2:
        return 0.0
    newest, before = rows
    joined = (newest[8] - before[8]) / max(newest[0] - before[0], 1.0)
    return joined if math.isfinite(joined) else 0.0
