"""The compiled event loop of the request resolution: every request on its own.

Each service is one first-come-first-served queue before `slots` equal servers, so the waits are
those of Kiefer & Wolfowitz's recursion ("On the theory of queues with many servers", Trans. Amer.
Math. Soc. 78, 1955), here as events, because capacity changes, requests give up, and a response
waits for calls to other services.

The events lie in a timing wheel (Varghese & Lauck, "Hashed and hierarchical timing wheels", SOSP
1987): buckets of a fraction of a second for the second in progress, one list a second beyond it.
Taking the next event costs the same however many requests are in flight.  Within a bucket events
are kept sorted, so the order is exact.

A request holds a slot for its service time, then makes its asynchronous calls, then its
synchronous ones, one after the other, and is answered with the last of them; its slot is free
meanwhile.  A call that fails fails the request that made it, and the rest is not called.

It is long because one compiled loop handles every event, and each event has its kernel.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba import njit

from engine.model import FloatArray
from engine.record.response_times import Buckets, between, log_linear
from twin.queues import kernels

NODE = np.dtype(
    [
        ("time", "f8"),  # of its next event, seconds
        ("arrived", "f8"),
        ("next", "i4"),  # in its bucket, queue or the free list; -1: last
        ("parent", "i4"),  # the request whose call this is; -1: a client's
        ("service", "i4"),
        ("state", "i4"),
        ("level", "i4"),  # attempts before this one
        ("callee", "i4"),  # position in the list of synchronous calls
        ("left", "i4"),  # calls still to make there
        ("pad", "i4"),
    ]
)
"""One request (or the standing arrival and time-out events of a service) in 56 bytes."""

FREE, EXTERNAL, TIMER, RETRY, WAITING, SERVING, LEAVING, CRASHED, CALLING = range(9)
"""States of a node.  LEAVING is in service on an instance that drains; CRASHED is an event to
ignore."""

# Columns of `count` (whole numbers, one row a service): the first seven as in `TRUTH_FIELDS`.
(
    ARRIVED,
    RETRIED,
    SERVED,
    FAILED,
    SHED,
    TIMED_OUT,
    SLOW,
    WAITING_NOW,
    HEAD,
    TAIL,
    IDLE,
    BUSY,  # requests in service, on draining instances too
    DRAINING,  # those of them on draining instances
    CALLING_NOW,
    SLOTS,  # ready slots
    LIMIT,  # of the queue
    TO_COME,  # first attempts still to come in this second
    TIMER_SET,
    CAME,  # first attempts so far
    STARTED,
    COUNT_COLUMNS,
) = range(21)

# Columns of `real` (one row a service).
(
    BUSY_AREA,  # slot-seconds in service within the sample, ready slots only
    BUSY_SINCE,
    WAIT_AREA,  # request-seconds waited, up to WAIT_SINCE
    WAIT_SINCE,
    WAITED,  # the same as the sum over those who left the queue, however they left it
    RESPONDED,  # sum of the response times
    MEMORY,
    REMAINING,  # share of the second that is left when the last first attempt came (0-1)
    SLOT_AREA,  # ready slot-seconds within the sample
    REAL_COLUMNS,
) = range(10)

# Columns of `fixed` (one row a service).
SHAPE, SCALE_S, TIMEOUT_S, RETRIES, RETRY_SHARE, BACKOFF_S, SLO_S, FIXED_COLUMNS = range(8)

# `wheel`: one row of state for the whole loop.
SECOND, BUCKET, CURRENT, FREE_HEAD, FREE_COUNT, WHEEL_COLUMNS = range(6)
FAR = 1024  # seconds beyond which an event goes round once more

# Counts of responses: OCTAVES powers of two from 2^LOWEST s, SUB equal parts of each.
SUB_BITS = 6
SUB = 1 << SUB_BITS
LOWEST = -20
OCTAVES = 32
BINS = OCTAVES * SUB
BUCKETS = Buckets(log_linear(LOWEST, OCTAVES, SUB))
EDGES_S = BUCKETS.edges_s

DONE, ROOM_NEEDED = 0, 1

# Without numba's reference counts: the loop allocates nothing, and the atomic counting of each
# access to a node took more than half of the time.
_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "error_model": "numpy", "_nrt": False}
compiled = njit(**_OPTIONS)
inlined = njit(inline="always", **_OPTIONS)
_between = inlined(between)


@compiled
def run(  # noqa: C901
    until: int,
    sample_s: int,
    start_s: float,
    rng: np.random.Generator,
    script: FloatArray,
    arrivals: FloatArray,
    fixed: FloatArray,
    sync: np.ndarray,
    sync_calls: FloatArray,
    jobs: np.ndarray,
    jobs_calls: FloatArray,
    slowdown: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
    stack: np.ndarray,
    hist: np.ndarray,
    hist_all: np.ndarray,
    spec: FloatArray,
    table: FloatArray,
    metrics: FloatArray,
    truth: FloatArray,
    totals: np.ndarray,
    waits: FloatArray,
) -> int:
    """Run the events before `until` (whole seconds); returns DONE or ROOM_NEEDED.

    With ROOM_NEEDED the caller is to enlarge `nodes` and to call again: nothing is lost.
    `sync` and `jobs` (S, width) list the services called, -1 beyond the last, `sync_calls` and
    `jobs_calls` how often.  `script` (2, S, n): times of the first n arrivals
    from outside and service times of the first n to start, instead of draws; may be empty.
    `waits` (S, n): filled with the waits of the first n requests to start, may be empty.
    """
    services = count.shape[0]
    buckets = near.shape[0]
    margin = 4 * services + 2 * stack.shape[0]
    while wheel[SECOND] < until:
        second = wheel[SECOND]
        if wheel[BUCKET] < 0:
            _begin_second(
                second, rng, script, arrivals, count, real, nodes, near, far, wheel, services
            )
        while wheel[BUCKET] < buckets:
            node = wheel[CURRENT]
            if node < 0:
                bucket = wheel[BUCKET] + 1
                while bucket < buckets and near[bucket] < 0:
                    bucket += 1
                wheel[BUCKET] = bucket
                if bucket < buckets:
                    _sort(bucket, nodes, near, wheel)
                continue
            if wheel[FREE_COUNT] < margin:
                return ROOM_NEEDED
            wheel[CURRENT] = nodes[node].next
            now = nodes[node].time
            state = nodes[node].state
            s = nodes[node].service
            depth = 0
            if state == EXTERNAL:
                if count[s, TO_COME] > 0:
                    _next_external(s, second, rng, script, count, real, nodes, near, far, wheel)
                depth = _push(stack, 0, s, -1, -1)
            elif state == TIMER:
                count[s, TIMER_SET] = 0
                _expire(s, now, rng, fixed, count, real, nodes, near, far, wheel)
            elif state == RETRY:
                count[s, RETRIED] += 1
                depth = _push(stack, 0, s, -1, node)
            elif state == CRASHED:
                _free(node, nodes, wheel)
            else:
                depth = _complete(
                    node, now, rng, script, fixed, sync, sync_calls, jobs, jobs_calls, slowdown,
                    count, real, nodes, near, far, wheel, stack, hist, waits,
                )  # fmt: skip
            while depth > 0:
                depth -= 1
                _arrive(
                    stack[depth, 0], now, stack[depth, 1], stack[depth, 2], rng, script, fixed,
                    slowdown, count, real, nodes, near, far, wheel, waits,
                )  # fmt: skip
        second += 1
        wheel[SECOND] = second
        wheel[BUCKET] = -1
        for s in range(services):
            _pass(s, float(second), count, real)
        if second % sample_s == 0:
            _report(
                second // sample_s - 1, sample_s, start_s + second, count, real, hist, hist_all,
                spec, table, metrics, truth, totals,
            )  # fmt: skip
    return DONE


@compiled
def _begin_second(
    second: int,
    rng: np.random.Generator,
    script: FloatArray,
    arrivals: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
    services: int,
) -> None:
    """Spread the events of this second over its buckets, and draw its first arrivals."""
    wheel[BUCKET] = -1
    wheel[CURRENT] = -1
    slot = second % FAR
    node = far[slot]
    far[slot] = -1
    while node >= 0:
        following = nodes[node].next
        _schedule(node, nodes[node].time, nodes, near, far, wheel)
        node = following
    for s in range(services):
        count[s, TO_COME] = int(arrivals[s, second])
        real[s, REMAINING] = 1.0
        if count[s, TO_COME] > 0:
            _next_external(s, second, rng, script, count, real, nodes, near, far, wheel)


@inlined
def _next_external(
    s: int,
    second: int,
    rng: np.random.Generator,
    script: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
) -> None:
    """The next of n uniform times: what remains shrinks by the n-th root of a uniform number."""
    count[s, CAME] += 1
    if count[s, CAME] <= script.shape[2]:
        count[s, TO_COME] -= 1
        _schedule(s, script[0, s, count[s, CAME] - 1], nodes, near, far, wheel)
        return
    remaining = real[s, REMAINING] * math.exp(-rng.standard_exponential() / count[s, TO_COME])
    remaining = max(remaining, 1e-10)
    real[s, REMAINING] = remaining
    count[s, TO_COME] -= 1
    _schedule(s, second + (1.0 - remaining), nodes, near, far, wheel)


@inlined
def _schedule(
    node: int,
    time: float,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
) -> None:
    """Put the node's event at `time` into the wheel."""
    nodes[node].time = time
    second = wheel[SECOND]
    if time >= second + 1.0:
        slot = int(time) % FAR
        nodes[node].next = far[slot]
        far[slot] = node
        return
    bucket = int((time - second) * near.shape[0])
    if bucket > wheel[BUCKET]:
        nodes[node].next = near[bucket]
        near[bucket] = node
        return
    # into the bucket in progress, in its place
    after = wheel[CURRENT]
    if after < 0 or nodes[after].time > time:
        nodes[node].next = after
        wheel[CURRENT] = node
        return
    following = nodes[after].next
    while following >= 0 and nodes[following].time <= time:
        after = following
        following = nodes[after].next
    nodes[node].next = following
    nodes[after].next = node


@inlined
def _sort(bucket: int, nodes: np.ndarray, near: np.ndarray, wheel: np.ndarray) -> None:
    """Make the bucket the one in progress, its events by time."""
    node = near[bucket]
    near[bucket] = -1
    wheel[CURRENT] = -1
    while node >= 0:
        following = nodes[node].next
        time = nodes[node].time
        after = wheel[CURRENT]
        # The list was filled from its head, so equal times come last in, first out: strictly less.
        if after < 0 or nodes[after].time >= time:
            nodes[node].next = after
            wheel[CURRENT] = node
        else:
            later = nodes[after].next
            while later >= 0 and nodes[later].time < time:
                after = later
                later = nodes[after].next
            nodes[node].next = later
            nodes[after].next = node
        node = following


@inlined
def _push(stack: np.ndarray, depth: int, service: int, parent: int, node: int) -> int:
    """Leave an arrival for later in this event; `node` -1 if the request has none yet."""
    stack[depth, 0] = service
    stack[depth, 1] = parent
    stack[depth, 2] = node
    return depth + 1


@inlined
def _take(nodes: np.ndarray, wheel: np.ndarray) -> int:
    """A free node; `run` sees to it that there is one."""
    node = wheel[FREE_HEAD]
    wheel[FREE_HEAD] = nodes[node].next
    wheel[FREE_COUNT] -= 1
    return int(node)


@inlined
def _free(node: int, nodes: np.ndarray, wheel: np.ndarray) -> None:
    nodes[node].state = FREE
    nodes[node].next = wheel[FREE_HEAD]
    wheel[FREE_HEAD] = node
    wheel[FREE_COUNT] += 1


@compiled
def _pass(s: int, now: float, count: np.ndarray, real: FloatArray) -> None:
    """Add up what was busy and what waited since the last change."""
    span = now - real[s, BUSY_SINCE]
    real[s, BUSY_AREA] += span * (count[s, BUSY] - count[s, DRAINING])
    real[s, SLOT_AREA] += span * count[s, SLOTS]
    real[s, BUSY_SINCE] = now
    real[s, WAIT_AREA] += (now - real[s, WAIT_SINCE]) * count[s, WAITING_NOW]
    real[s, WAIT_SINCE] = now


@inlined
def _arrive(
    s: int,
    now: float,
    parent: int,
    node: int,
    rng: np.random.Generator,
    script: FloatArray,
    fixed: FloatArray,
    slowdown: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
    waits: FloatArray,
) -> None:
    """A request arrives: it starts, waits or is turned away.  `node` -1: it has none yet."""
    count[s, ARRIVED] += 1
    if node < 0:
        node = _take(nodes, wheel)
        nodes[node].service = s
        nodes[node].level = 0
        nodes[node].parent = parent
    nodes[node].arrived = now
    if count[s, IDLE] > 0:
        _busy_pass(s, now, count, real)
        count[s, IDLE] -= 1
        count[s, BUSY] += 1
        _start(
            node, s, now, rng, script, fixed, slowdown, count, real, nodes, near, far, wheel, waits
        )
    elif count[s, WAITING_NOW] >= count[s, LIMIT]:
        count[s, SHED] += 1
        _refused(node, now, rng, fixed, count, nodes, near, far, wheel)
    else:
        _wait_pass(s, now, count, real)
        nodes[node].state = WAITING
        nodes[node].next = -1
        if count[s, WAITING_NOW] == 0:
            count[s, HEAD] = node
        else:
            nodes[count[s, TAIL]].next = node
        count[s, TAIL] = node
        count[s, WAITING_NOW] += 1
        if count[s, TIMER_SET] == 0:
            _set_timer(s, fixed, count, nodes, near, far, wheel)


@inlined
def _busy_pass(s: int, now: float, count: np.ndarray, real: FloatArray) -> None:
    span = now - real[s, BUSY_SINCE]
    real[s, BUSY_AREA] += span * (count[s, BUSY] - count[s, DRAINING])
    real[s, SLOT_AREA] += span * count[s, SLOTS]
    real[s, BUSY_SINCE] = now


@inlined
def _wait_pass(s: int, now: float, count: np.ndarray, real: FloatArray) -> None:
    real[s, WAIT_AREA] += (now - real[s, WAIT_SINCE]) * count[s, WAITING_NOW]
    real[s, WAIT_SINCE] = now


@inlined
def _set_timer(
    s: int,
    fixed: FloatArray,
    count: np.ndarray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
) -> None:
    """Patience is the same for all, so the head of the queue is the first to lose it."""
    count[s, TIMER_SET] = 1
    timer = count.shape[0] + s
    due = nodes[count[s, HEAD]].arrived + fixed[s, TIMEOUT_S]
    _schedule(timer, due, nodes, near, far, wheel)


@compiled
def _expire(
    s: int,
    now: float,
    rng: np.random.Generator,
    fixed: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
) -> None:
    """Whoever has waited too long leaves the queue."""
    _wait_pass(s, now, count, real)
    while count[s, WAITING_NOW] > 0:
        node = count[s, HEAD]
        if nodes[node].arrived + fixed[s, TIMEOUT_S] > now:
            _set_timer(s, fixed, count, nodes, near, far, wheel)
            return
        count[s, HEAD] = nodes[node].next
        count[s, WAITING_NOW] -= 1
        real[s, WAITED] += now - nodes[node].arrived
        count[s, TIMED_OUT] += 1
        _refused(node, now, rng, fixed, count, nodes, near, far, wheel)


@inlined
def _start(
    node: int,
    s: int,
    now: float,
    rng: np.random.Generator,
    script: FloatArray,
    fixed: FloatArray,
    slowdown: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
    waits: FloatArray,
) -> None:
    """The request gets a slot."""
    wait_s = now - nodes[node].arrived
    real[s, WAITED] += wait_s
    if count[s, STARTED] < waits.shape[1]:
        waits[s, count[s, STARTED]] = wait_s
    count[s, STARTED] += 1
    if count[s, STARTED] <= script.shape[2]:
        service_s = script[1, s, count[s, STARTED] - 1]
    elif fixed[s, SHAPE] == 1.0:
        service_s = rng.standard_exponential() * fixed[s, SCALE_S]
    elif fixed[s, SHAPE] > 0.0:
        service_s = rng.standard_gamma(fixed[s, SHAPE]) * fixed[s, SCALE_S]
    else:
        service_s = fixed[s, SCALE_S]
    nodes[node].state = SERVING
    _schedule(node, now + service_s * slowdown[s], nodes, near, far, wheel)


@inlined
def _complete(
    node: int,
    now: float,
    rng: np.random.Generator,
    script: FloatArray,
    fixed: FloatArray,
    sync: np.ndarray,
    sync_calls: FloatArray,
    jobs: np.ndarray,
    jobs_calls: FloatArray,
    slowdown: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
    stack: np.ndarray,
    hist: np.ndarray,
    waits: FloatArray,
) -> int:
    """A slot is done with a request: the next one starts, and its calls are made.

    Returns how many arrivals it has left on `stack`.
    """
    s = nodes[node].service
    if nodes[node].state == LEAVING:
        _busy_pass(s, now, count, real)
        count[s, BUSY] -= 1
        count[s, DRAINING] -= 1
    elif count[s, WAITING_NOW] > 0:
        _wait_pass(s, now, count, real)
        head = count[s, HEAD]
        count[s, HEAD] = nodes[head].next
        count[s, WAITING_NOW] -= 1
        _start(
            head, s, now, rng, script, fixed, slowdown, count, real, nodes, near, far, wheel, waits
        )
    else:
        _busy_pass(s, now, count, real)
        count[s, BUSY] -= 1
        count[s, IDLE] += 1
    depth = 0
    for k in range(jobs.shape[1]):
        callee = jobs[s, k]
        if callee < 0:
            break
        for _ in range(_times(jobs_calls[s, k], rng)):
            depth = _push(stack, depth, callee, -1, -1)
    nodes[node].callee = 0
    nodes[node].left = 0
    if sync[s, 0] >= 0:
        nodes[node].left = _times(sync_calls[s, 0], rng)
        nodes[node].state = CALLING
        count[s, CALLING_NOW] += 1
    return _go_on(
        node, now, rng, fixed, sync, sync_calls, count, real, nodes, wheel, stack, depth, hist
    )


@inlined
def _go_on(
    node: int,
    now: float,
    rng: np.random.Generator,
    fixed: FloatArray,
    sync: np.ndarray,
    sync_calls: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    wheel: np.ndarray,
    stack: np.ndarray,
    depth: int,
    hist: np.ndarray,
) -> int:
    """Make the request's next call, or answer it, and so on up the chain of its callers."""
    while True:
        s = nodes[node].service
        while nodes[node].left == 0:
            at = nodes[node].callee + 1
            if nodes[node].state != CALLING or at >= sync.shape[1] or sync[s, at] < 0:
                break
            nodes[node].callee = at
            nodes[node].left = _times(sync_calls[s, at], rng)
        if nodes[node].left > 0:
            return _push(stack, depth, sync[s, nodes[node].callee], node, -1)
        if nodes[node].state == CALLING:
            count[s, CALLING_NOW] -= 1
        response_s = now - nodes[node].arrived
        count[s, SERVED] += 1
        real[s, RESPONDED] += response_s
        if response_s > fixed[s, SLO_S]:
            count[s, SLOW] += 1
        hist[s, bin_of(response_s)] += 1
        parent = nodes[node].parent
        _free(node, nodes, wheel)
        if parent < 0:
            return depth
        node = parent
        nodes[node].left -= 1


@compiled
def _refused(
    node: int,
    now: float,
    rng: np.random.Generator,
    fixed: FloatArray,
    count: np.ndarray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
) -> None:
    """The request has failed (and is counted): its client may try again, its callers fail too."""
    while True:
        s = nodes[node].service
        level = nodes[node].level
        parent = nodes[node].parent
        if parent < 0 and level < fixed[s, RETRIES] and rng.random() < fixed[s, RETRY_SHARE]:
            delay_s = fixed[s, BACKOFF_S] * 2.0**level * (0.5 + rng.random())
            nodes[node].level = level + 1
            nodes[node].state = RETRY
            _schedule(node, now + delay_s, nodes, near, far, wheel)
        else:
            _free(node, nodes, wheel)
        if parent < 0:
            return
        node = parent
        s = nodes[node].service
        count[s, CALLING_NOW] -= 1
        count[s, FAILED] += 1


@inlined
def _times(per_request: float, rng: np.random.Generator) -> int:
    """A whole number of calls with mean `per_request`, as evenly as it can be."""
    whole = int(per_request)
    rest = per_request - whole
    if rest > 0.0 and rng.random() < rest:
        whole += 1
    return whole


@inlined
def bin_of(value_s: float) -> int:
    """The bucket of `BUCKETS` that counts a response time."""
    # the leading bits of a float64 are its exponent (biased by 1023), then its mantissa
    leading = int(np.float64(value_s).view(np.int64)) >> (52 - SUB_BITS)
    return min(max(leading - ((1023 + LOWEST) << SUB_BITS), 0), BINS - 1)


@compiled
def _percentiles(
    s: int, sample: int, served: int, hist: np.ndarray, hist_all: np.ndarray, metrics: FloatArray
) -> None:
    """p50, p95 and p99 of the sample, and its counts into those of the run.

    They are read as `Buckets.quantiles` does, in the one pass that empties the counts.
    """
    for column in range(4, 7):
        metrics[s, sample, column] = math.nan
    if served == 0:
        return
    column = 4
    rank = 0.50 * served
    below = 0
    for octave in range(OCTAVES):
        first = octave * SUB
        within = 0
        for k in range(first, first + SUB):
            within += hist[s, k]
        if within == 0:
            continue
        for k in range(first, first + SUB):
            here = hist[s, k]
            while column < 7 and here > 0 and below + here >= rank:
                low_s, high_s = EDGES_S[max(k - 1, 0)], EDGES_S[min(k, BINS - 2)]
                metrics[s, sample, column] = _between(low_s, high_s, below, below + here, rank)
                column += 1
                rank = (0.95 if column == 5 else 0.99) * served
            below += here
            hist_all[s, k] += here
            hist[s, k] = 0


@compiled
def _report(
    sample: int,
    sample_s: int,
    time_s: float,
    count: np.ndarray,
    real: FloatArray,
    hist: np.ndarray,
    hist_all: np.ndarray,
    spec: FloatArray,
    table: FloatArray,
    metrics: FloatArray,
    truth: FloatArray,
    totals: np.ndarray,
) -> None:
    """Write the sample that ends now and start the next one."""
    for s in range(count.shape[0]):
        utilisation = 0.0
        if real[s, SLOT_AREA] > 0.0:
            utilisation = min(real[s, BUSY_AREA] / real[s, SLOT_AREA], 1.0)
        elif count[s, ARRIVED] > 0 or count[s, WAITING_NOW] > 0:
            utilisation = 1.0
        memory = kernels.MEMORY_IDLE + kernels.MEMORY_PER_UTILISATION * utilisation
        if real[s, MEMORY] > 0.0:
            memory += (real[s, MEMORY] - memory) * math.exp(-sample_s / kernels.MEMORY_TIME_S)
        real[s, MEMORY] = memory
        bad = count[s, FAILED] + count[s, SHED] + count[s, TIMED_OUT]
        arrived = count[s, ARRIVED]
        metrics[s, sample, 0] = time_s
        if count[s, SLOTS] > 0:
            metrics[s, sample, 1] = utilisation
            metrics[s, sample, 2] = memory
        else:  # nobody is there to be measured
            metrics[s, sample, 1:3] = math.nan
        metrics[s, sample, 3] = arrived / sample_s
        _percentiles(s, sample, count[s, SERVED], hist, hist_all, metrics)
        if arrived > 0:
            metrics[s, sample, 7] = min(bad / arrived, 1.0)
        else:
            metrics[s, sample, 7] = 1.0 if bad > 0 else 0.0
        metrics[s, sample, 8] = count[s, WAITING_NOW]
        for k in range(SLOW + 1):
            truth[s, sample, k] = count[s, k]
            totals[s, k] += count[s, k]
            count[s, k] = 0
        truth[s, sample, SLOW + 1] = count[s, WAITING_NOW]
        truth[s, sample, SLOW + 2] = count[s, BUSY] + count[s, CALLING_NOW]
        truth[s, sample, SLOW + 3] = kernels.needed(s, arrived / sample_s, spec, table)
        real[s, BUSY_AREA] = 0.0
        real[s, SLOT_AREA] = 0.0


@compiled
def set_slots(
    s: int,
    now: float,
    slots: int,
    crashed: int,
    limit: int,
    rng: np.random.Generator,
    script: FloatArray,
    fixed: FloatArray,
    slowdown: FloatArray,
    count: np.ndarray,
    real: FloatArray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
    waits: FloatArray,
) -> None:
    """From now on there are `slots`; of those before, `crashed` are gone with what they served.

    Which slots leave is drawn at random; what is in service on one that drains is finished.
    Needs room for as many retries as there are requests in service.
    """
    _pass(s, now, count, real)
    count[s, LIMIT] = limit
    if crashed > 0:
        _remove(s, now, crashed, True, rng, fixed, count, nodes, near, far, wheel)
    fewer = count[s, SLOTS] - slots
    if fewer > 0:
        _remove(s, now, fewer, False, rng, fixed, count, nodes, near, far, wheel)
    elif fewer < 0:
        count[s, SLOTS] = slots
        count[s, IDLE] -= fewer
        while count[s, IDLE] > 0 and count[s, WAITING_NOW] > 0:
            node = count[s, HEAD]
            count[s, HEAD] = nodes[node].next
            count[s, WAITING_NOW] -= 1
            count[s, IDLE] -= 1
            count[s, BUSY] += 1
            _start(
                node, s, now, rng, script, fixed, slowdown, count, real, nodes, near, far, wheel,
                waits,
            )  # fmt: skip


@compiled
def _remove(
    s: int,
    now: float,
    leaving: int,
    crash: bool,
    rng: np.random.Generator,
    fixed: FloatArray,
    count: np.ndarray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
) -> None:
    """Take `leaving` of the ready slots away, each as likely as any other."""
    slots = count[s, SLOTS]
    leaving = min(leaving, slots)
    busy = slots - count[s, IDLE]
    # One pass over the busy slots decides for each whether it is among those that leave.
    to_see = slots
    to_leave = leaving
    for node in range(2 * count.shape[0], nodes.shape[0]):
        if busy == 0 or to_leave == 0:
            break
        if nodes[node].state != SERVING or nodes[node].service != s:
            continue
        busy -= 1
        if rng.random() * to_see < to_leave:
            to_leave -= 1
            if crash:
                count[s, BUSY] -= 1
                count[s, FAILED] += 1
                _crash(node, now, rng, fixed, count, nodes, near, far, wheel)
            else:
                nodes[node].state = LEAVING
                count[s, DRAINING] += 1
        to_see -= 1
    count[s, SLOTS] -= leaving
    count[s, IDLE] -= to_leave


@compiled
def _crash(
    node: int,
    now: float,
    rng: np.random.Generator,
    fixed: FloatArray,
    count: np.ndarray,
    nodes: np.ndarray,
    near: np.ndarray,
    far: np.ndarray,
    wheel: np.ndarray,
) -> None:
    """The node's event stays in the wheel to be ignored; what becomes of the request is a copy."""
    copy = _take(nodes, wheel)
    nodes[copy].arrived = nodes[node].arrived
    nodes[copy].service = nodes[node].service
    nodes[copy].level = nodes[node].level
    nodes[copy].parent = nodes[node].parent
    nodes[node].state = CRASHED
    nodes[node].parent = -1
    _refused(copy, now, rng, fixed, count, nodes, near, far, wheel)


@njit(cache=True, error_model="numpy")
def kiefer_wolfowitz(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> FloatArray:
    """Waits (n,) of a FIFO queue by Kiefer & Wolfowitz's recursion: the reference of `run`.

    `free` holds when each server gets free, as a binary heap; the next request takes the earliest.
    """
    free = np.zeros(servers)
    waits = np.empty(arrival_s.size)
    for i in range(arrival_s.size):
        start = max(arrival_s[i], free[0])
        waits[i] = start - arrival_s[i]
        value = start + service_s[i]
        at = 0
        while True:
            child = 2 * at + 1
            if child >= servers:
                break
            if child + 1 < servers and free[child + 1] < free[child]:
                child += 1
            if free[child] >= value:
                break
            free[at] = free[child]
            at = child
        free[at] = value
    return waits
