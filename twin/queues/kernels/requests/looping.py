"""One event after the other."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from twin.queues.kernels.compiling import free_entry, inlined, kernel, part
from twin.queues.kernels.requests.answering import complete, push
from twin.queues.kernels.requests.layout import (
    BUCKET,
    CAME,
    CRASHED,
    CURRENT,
    DONE,
    EXTERNAL,
    FAR,
    FREE_COUNT,
    REMAINING,
    RETRIED,
    RETRY,
    ROOM_NEEDED,
    SECOND,
    TIMER,
    TO_COME,
    At,
    Loop,
    RequestArrival,
)
from twin.queues.kernels.requests.queueing import add_up_busy, add_up_waits, arrive, expire
from twin.queues.kernels.requests.sampling import report
from twin.queues.kernels.requests.wheel import free, reach_event, schedule


@free_entry
def run(
    until: int, samples: tuple[int, float], rng: np.random.Generator, arrays: tuple[Any, ...]
) -> int:
    """Run the events before `until` (whole seconds); returns DONE or ROOM_NEEDED.

    `samples` is their length in seconds and the time of second 0 (s since the epoch), `rng` and
    `arrays` a `Loop` as a plain tuple, changed in place.  With ROOM_NEEDED the caller is to enlarge
    `nodes` and to call again: nothing is lost.
    """
    loop = Loop(rng, *arrays)
    wheel, stack = loop.wheel, loop.stack
    margin = 4 * loop.counts.shape[0] + 2 * stack.shape[0]
    while wheel[SECOND] < until:
        if wheel[BUCKET] < 0:
            begin_second(loop)
        while reach_event(loop):
            if wheel[FREE_COUNT] < margin:
                return ROOM_NEEDED
            node = wheel[CURRENT]
            wheel[CURRENT] = loop.nodes[node].next
            now = loop.nodes[node].time
            depth = happen(loop, node, now)
            while depth > 0:
                depth -= 1
                arrival = RequestArrival(stack[depth, 0], stack[depth, 1], stack[depth, 2])
                arrive(loop, arrival, now)
        end_second(loop, samples[0], samples[1])
    return DONE


@inlined
def happen(loop: Loop, node: int, now: float) -> int:
    """What the node's event stands for; returns how many arrivals it has left on `stack`."""
    state = loop.nodes[node].state
    s = loop.nodes[node].service
    depth = 0
    if state == EXTERNAL:
        if loop.counts[s, TO_COME] > 0:
            draw_arrival(loop, s)
        depth = push(loop, 0, RequestArrival(s, -1, -1))
    elif state == TIMER:
        expire(loop, At(s, now))
    elif state == RETRY:
        loop.counts[s, RETRIED] += 1
        depth = push(loop, 0, RequestArrival(s, -1, node))
    elif state == CRASHED:
        free(loop, node)
    else:
        depth = complete(loop, node, now)
    return depth


@kernel
def begin_second(loop: Loop) -> None:
    """Spread the events of this second over its buckets, and draw its first arrivals."""
    count, nodes, wheel = loop.counts, loop.nodes, loop.wheel
    second = wheel[SECOND]
    wheel[BUCKET] = -1
    wheel[CURRENT] = -1
    slot = second % FAR
    node = loop.far[slot]
    loop.far[slot] = -1
    while node >= 0:
        following = nodes[node].next
        schedule(loop, node, nodes[node].time)
        node = following
    for s in range(count.shape[0]):
        count[s, TO_COME] = int(loop.arrivals[s, second])
        loop.real[s, REMAINING] = 1.0
        if count[s, TO_COME] > 0:
            draw_arrival(loop, s)


@part
def draw_arrival(loop: Loop, s: int) -> None:
    """The next of n uniform times: what remains shrinks by the n-th root of a uniform number."""
    count, real, script = loop.counts, loop.real, loop.script
    count[s, CAME] += 1
    if count[s, CAME] <= script.shape[2]:
        count[s, TO_COME] -= 1
        schedule(loop, s, script[0, s, count[s, CAME] - 1])
        return
    draw = loop.rng.standard_exponential()
    remaining = real[s, REMAINING] * math.exp(-draw / count[s, TO_COME])
    remaining = max(remaining, 1e-10)
    real[s, REMAINING] = remaining
    count[s, TO_COME] -= 1
    schedule(loop, s, loop.wheel[SECOND] + (1.0 - remaining))


@kernel
def end_second(loop: Loop, sample_s: int, start_s: float) -> None:
    """Go on to the next second, and to the next sample where one is over."""
    second = loop.wheel[SECOND] + 1
    loop.wheel[SECOND] = second
    loop.wheel[BUCKET] = -1
    for s in range(loop.counts.shape[0]):
        add_up_busy(loop, At(s, float(second)))
        add_up_waits(loop, At(s, float(second)))
    if second % sample_s == 0:
        sample = second // sample_s - 1
        for s in range(loop.counts.shape[0]):
            loop.metrics[s, sample, 0] = start_s + second
            report(loop, s, sample, sample_s)
