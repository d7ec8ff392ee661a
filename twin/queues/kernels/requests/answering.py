"""What happens to a request that a slot is done with: its calls, and its answer."""

from __future__ import annotations

import numpy as np

from twin.queues.kernels.compiling import inlined, part
from twin.queues.kernels.requests.layout import (
    BINS,
    BUSY,
    CALLING,
    CALLING_NOW,
    DRAINING,
    IDLE,
    LEAVING,
    LOWEST,
    RESPONDED,
    SERVED,
    SLO_S,
    SLOW,
    SUB_BITS,
    WAITING_NOW,
    At,
    Loop,
    RequestArrival,
)
from twin.queues.kernels.requests.queueing import add_up_busy, add_up_waits, leave_queue, start
from twin.queues.kernels.requests.wheel import free


@part
def push(loop: Loop, depth: int, arrival: RequestArrival) -> int:
    """Leave an arrival for later in this event, on `depth` others; returns how many there are."""
    loop.stack[depth, 0] = arrival.service
    loop.stack[depth, 1] = arrival.parent
    loop.stack[depth, 2] = arrival.node
    return depth + 1


@inlined
def complete(loop: Loop, node: int, now: float) -> int:
    """A slot is done with a request: the next one starts, and its calls are made.

    Returns how many arrivals it has left on `stack`.
    """
    s = loop.nodes[node].service
    free_slot(loop, At(s, now), loop.nodes[node].state)
    depth = call_jobs(loop, s)
    loop.nodes[node].callee = 0
    loop.nodes[node].left = 0
    if loop.sync[s, 0] >= 0:
        loop.nodes[node].left = times(loop, loop.sync_calls[s, 0])
        loop.nodes[node].state = CALLING
        loop.counts[s, CALLING_NOW] += 1
    return go_on(loop, node, now, depth)


@inlined
def free_slot(loop: Loop, at: At, state: int) -> None:
    """The slot of a request in this state goes with its instance, to the next one, or is idle."""
    s = at.s
    count = loop.counts
    if state == LEAVING:
        add_up_busy(loop, at)
        count[s, BUSY] -= 1
        count[s, DRAINING] -= 1
    elif count[s, WAITING_NOW] > 0:
        add_up_waits(loop, at)
        head = leave_queue(loop, s)
        start(loop, at, head)
    else:
        add_up_busy(loop, at)
        count[s, BUSY] -= 1
        count[s, IDLE] += 1


@inlined
def call_jobs(loop: Loop, s: int) -> int:
    """Leave the asynchronous calls of one request on `stack`; returns how many they are."""
    depth = 0
    for k in range(loop.jobs.shape[1]):
        callee = loop.jobs[s, k]
        if callee < 0:
            break
        for _ in range(times(loop, loop.jobs_calls[s, k])):
            depth = push(loop, depth, RequestArrival(callee, -1, -1))
    return depth


@inlined
def go_on(loop: Loop, node: int, now: float, depth: int) -> int:
    """Make the request's next call, or answer it, and so on up the chain of its callers."""
    count, nodes, sync = loop.counts, loop.nodes, loop.sync
    while True:
        s = nodes[node].service
        while nodes[node].left == 0:
            at = nodes[node].callee + 1
            if nodes[node].state != CALLING or at >= sync.shape[1] or sync[s, at] < 0:
                break
            nodes[node].callee = at
            nodes[node].left = times(loop, loop.sync_calls[s, at])
        if nodes[node].left > 0:
            return push(loop, depth, RequestArrival(sync[s, nodes[node].callee], node, -1))
        if nodes[node].state == CALLING:
            count[s, CALLING_NOW] -= 1
        respond(loop, s, now - nodes[node].arrived)
        parent = nodes[node].parent
        free(loop, node)
        if parent < 0:
            return depth
        node = parent
        nodes[node].left -= 1


@inlined
def respond(loop: Loop, s: int, response_s: float) -> None:
    """Count a request that was answered after so long."""
    loop.counts[s, SERVED] += 1
    loop.real[s, RESPONDED] += response_s
    if response_s > loop.fixed[s, SLO_S]:
        loop.counts[s, SLOW] += 1
    loop.hist[s, bin_of(response_s)] += 1


@part
def times(loop: Loop, per_request: float) -> int:
    """A whole number of calls with mean `per_request`, as evenly as it can be."""
    whole = int(per_request)
    rest = per_request - whole
    if rest > 0.0 and loop.rng.random() < rest:
        whole += 1
    return whole


@inlined
def bin_of(value_s: float) -> int:
    """The bucket of `BUCKETS` that counts a response time."""
    # the leading bits of a float64 are its exponent (biased by 1023), then its mantissa
    leading = int(np.float64(value_s).view(np.int64)) >> (52 - SUB_BITS)
    return min(max(leading - ((1023 + LOWEST) << SUB_BITS), 0), BINS - 1)
