"""The timing wheel: events in order of their time, and the nodes that they are kept in."""

from __future__ import annotations

from twin.queues.kernels.compiling import inlined, part
from twin.queues.kernels.requests.layout import (
    BUCKET,
    CURRENT,
    FAR,
    FREE,
    FREE_COUNT,
    FREE_HEAD,
    SECOND,
    Loop,
)


@part
def schedule(loop: Loop, node: int, time: float) -> None:
    """Put the node's event at `time` into the wheel."""
    nodes, near, far, wheel = loop.nodes, loop.near, loop.far, loop.wheel
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
def sort(loop: Loop, bucket: int) -> None:
    """Make the bucket the one in progress, its events by time."""
    nodes, wheel = loop.nodes, loop.wheel
    node = loop.near[bucket]
    loop.near[bucket] = -1
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
def reach_event(loop: Loop) -> bool:
    """Make CURRENT the next event of the second in progress; whether there is one."""
    near, wheel = loop.near, loop.wheel
    buckets = near.shape[0]
    while wheel[CURRENT] < 0:
        bucket = wheel[BUCKET] + 1
        while bucket < buckets and near[bucket] < 0:
            bucket += 1
        wheel[BUCKET] = bucket
        if bucket >= buckets:
            return False
        sort(loop, bucket)
    return True


@part
def take(loop: Loop) -> int:
    """A free node; `run` sees to it that there is one."""
    node = loop.wheel[FREE_HEAD]
    loop.wheel[FREE_HEAD] = loop.nodes[node].next
    loop.wheel[FREE_COUNT] -= 1
    return int(node)


@part
def free(loop: Loop, node: int) -> None:
    """Nothing more happens to what the node was for."""
    loop.nodes[node].state = FREE
    loop.nodes[node].next = loop.wheel[FREE_HEAD]
    loop.wheel[FREE_HEAD] = node
    loop.wheel[FREE_COUNT] += 1
