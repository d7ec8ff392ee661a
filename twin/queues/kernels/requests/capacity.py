"""What a change of the slots does: more start, fewer drain, some are gone with what they served."""

from __future__ import annotations

from typing import Any

import numpy as np

from twin.queues.kernels.compiling import entry, kernel
from twin.queues.kernels.requests.layout import (
    BUSY,
    CRASHED,
    DRAINING,
    FAILED,
    IDLE,
    LEAVING,
    LIMIT,
    SERVING,
    SLOTS,
    WAITING_NOW,
    At,
    Loop,
)
from twin.queues.kernels.requests.queueing import (
    add_up_busy,
    add_up_waits,
    leave_queue,
    refuse,
    start,
)
from twin.queues.kernels.requests.wheel import take


@entry
def set_slots(
    moment: tuple[int, float],
    slots: tuple[int, int, int],
    rng: np.random.Generator,
    arrays: tuple[Any, ...],
) -> None:
    """From now on a service has other slots.

    `moment` is the service and the time (s), `slots` how many there are now, how many of those
    before are gone with what they served, and how many requests may wait.  `rng` and `arrays` are a
    `Loop` as a plain tuple, changed in place.  Which slots leave is drawn at random; what is in
    service on one that drains is finished.  Needs room for as many retries as there are requests in
    service.
    """
    loop = Loop(rng, *arrays)
    at = At(moment[0], moment[1])
    s = at.s
    ready, crashed, limit = slots
    count = loop.counts
    add_up_busy(loop, at)
    add_up_waits(loop, at)
    count[s, LIMIT] = limit
    if crashed > 0:
        remove(loop, at, crashed, True)
    fewer = count[s, SLOTS] - ready
    if fewer > 0:
        remove(loop, at, fewer, False)
    elif fewer < 0:
        count[s, SLOTS] = ready
        count[s, IDLE] -= fewer
        while count[s, IDLE] > 0 and count[s, WAITING_NOW] > 0:
            node = leave_queue(loop, s)
            count[s, IDLE] -= 1
            count[s, BUSY] += 1
            start(loop, at, node)


@kernel
def remove(loop: Loop, at: At, leaving: int, crash: bool) -> None:
    """Take `leaving` of the ready slots away, each as likely as any other."""
    s, now = at
    count, nodes = loop.counts, loop.nodes
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
        if loop.rng.random() * to_see < to_leave:
            to_leave -= 1
            if crash:
                count[s, BUSY] -= 1
                count[s, FAILED] += 1
                fail(loop, node, now)
            else:
                nodes[node].state = LEAVING
                count[s, DRAINING] += 1
        to_see -= 1
    count[s, SLOTS] -= leaving
    count[s, IDLE] -= to_leave


@kernel
def fail(loop: Loop, node: int, now: float) -> None:
    """The node's event stays in the wheel to be ignored; what becomes of the request is a copy."""
    nodes = loop.nodes
    copy = take(loop)
    nodes[copy].arrived = nodes[node].arrived
    nodes[copy].service = nodes[node].service
    nodes[copy].level = nodes[node].level
    nodes[copy].parent = nodes[node].parent
    nodes[node].state = CRASHED
    nodes[node].parent = -1
    refuse(loop, copy, now)
