"""What happens to a request until it starts: it arrives, waits, gives up, gets a slot."""

from __future__ import annotations

from twin.queues.kernels.compiling import inlined, kernel, part
from twin.queues.kernels.requests.layout import (
    ARRIVED,
    BACKOFF_S,
    BUSY,
    BUSY_AREA,
    BUSY_SINCE,
    CALLING_NOW,
    DRAINING,
    FAILED,
    HEAD,
    IDLE,
    LIMIT,
    RETRIES,
    RETRY,
    RETRY_SHARE,
    SCALE_S,
    SERVING,
    SHAPE,
    SHED,
    SLOT_AREA,
    SLOTS,
    STARTED,
    TAIL,
    TIMED_OUT,
    TIMEOUT_S,
    TIMER_SET,
    WAIT_AREA,
    WAIT_SINCE,
    WAITED,
    WAITING,
    WAITING_NOW,
    At,
    Loop,
    RequestArrival,
)
from twin.queues.kernels.requests.wheel import free, schedule, take


@part
def add_up_busy(loop: Loop, at: At) -> None:
    """Slot-seconds in service and ready since the last change of either."""
    s, now = at
    count, real = loop.counts, loop.real
    span = now - real[s, BUSY_SINCE]
    real[s, BUSY_AREA] += span * (count[s, BUSY] - count[s, DRAINING])
    real[s, SLOT_AREA] += span * count[s, SLOTS]
    real[s, BUSY_SINCE] = now


@part
def add_up_waits(loop: Loop, at: At) -> None:
    """Request-seconds waited since the last change of the queue."""
    s, now = at
    real = loop.real
    real[s, WAIT_AREA] += (now - real[s, WAIT_SINCE]) * loop.counts[s, WAITING_NOW]
    real[s, WAIT_SINCE] = now


@inlined
def arrive(loop: Loop, arrival: RequestArrival, now: float) -> None:
    """A request arrives: it starts, waits or is turned away."""
    s, parent, node = arrival
    at = At(s, now)
    count, nodes = loop.counts, loop.nodes
    count[s, ARRIVED] += 1
    if node < 0:
        node = take(loop)
        nodes[node].service = s
        nodes[node].level = 0
        nodes[node].parent = parent
    nodes[node].arrived = now
    if count[s, IDLE] > 0:
        add_up_busy(loop, at)
        count[s, IDLE] -= 1
        count[s, BUSY] += 1
        start(loop, at, node)
    elif count[s, WAITING_NOW] >= count[s, LIMIT]:
        count[s, SHED] += 1
        refuse(loop, node, now)
    else:
        add_up_waits(loop, at)
        join_queue(loop, s, node)


@inlined
def join_queue(loop: Loop, s: int, node: int) -> None:
    """The request waits behind all others, and the first to wait has its patience watched."""
    count, nodes = loop.counts, loop.nodes
    nodes[node].state = WAITING
    nodes[node].next = -1
    if count[s, WAITING_NOW] == 0:
        count[s, HEAD] = node
    else:
        nodes[count[s, TAIL]].next = node
    count[s, TAIL] = node
    count[s, WAITING_NOW] += 1
    if count[s, TIMER_SET] == 0:
        set_timer(loop, s)


@part
def leave_queue(loop: Loop, s: int) -> int:
    """The head of the queue, which does not wait any more."""
    count = loop.counts
    node = count[s, HEAD]
    count[s, HEAD] = loop.nodes[node].next
    count[s, WAITING_NOW] -= 1
    return int(node)


@part
def set_timer(loop: Loop, s: int) -> None:
    """Patience is the same for all, so the head of the queue is the first to lose it."""
    count = loop.counts
    count[s, TIMER_SET] = 1
    timer = count.shape[0] + s
    schedule(loop, timer, loop.nodes[count[s, HEAD]].arrived + loop.fixed[s, TIMEOUT_S])


@kernel
def expire(loop: Loop, at: At) -> None:
    """Whoever has waited too long leaves the queue."""
    s, now = at
    count, nodes = loop.counts, loop.nodes
    count[s, TIMER_SET] = 0
    add_up_waits(loop, at)
    while count[s, WAITING_NOW] > 0:
        if nodes[count[s, HEAD]].arrived + loop.fixed[s, TIMEOUT_S] > now:
            set_timer(loop, s)
            return
        node = leave_queue(loop, s)
        loop.real[s, WAITED] += now - nodes[node].arrived
        count[s, TIMED_OUT] += 1
        refuse(loop, node, now)


@part
def start(loop: Loop, at: At, node: int) -> None:
    """The request gets a slot, for a gamma distributed time (exponential with shape 1)."""
    s, now = at
    count, fixed, script = loop.counts, loop.fixed, loop.script
    wait_s = now - loop.nodes[node].arrived
    loop.real[s, WAITED] += wait_s
    if count[s, STARTED] < loop.waits.shape[1]:
        loop.waits[s, count[s, STARTED]] = wait_s
    count[s, STARTED] += 1
    if count[s, STARTED] <= script.shape[2]:
        service_s = script[1, s, count[s, STARTED] - 1]
    elif fixed[s, SHAPE] == 1.0:
        service_s = loop.rng.standard_exponential() * fixed[s, SCALE_S]
    elif fixed[s, SHAPE] > 0.0:
        service_s = loop.rng.standard_gamma(fixed[s, SHAPE]) * fixed[s, SCALE_S]
    else:
        service_s = fixed[s, SCALE_S]
    loop.nodes[node].state = SERVING
    schedule(loop, node, now + service_s * loop.slowdown[s])


@kernel
def refuse(loop: Loop, node: int, now: float) -> None:
    """The request has failed (and is counted): its client may try again, its callers fail too."""
    count, fixed, nodes = loop.counts, loop.fixed, loop.nodes
    while True:
        s = nodes[node].service
        level = nodes[node].level
        parent = nodes[node].parent
        if parent < 0 and level < fixed[s, RETRIES] and loop.rng.random() < fixed[s, RETRY_SHARE]:
            delay_s = fixed[s, BACKOFF_S] * 2.0**level * (0.5 + loop.rng.random())
            nodes[node].level = level + 1
            nodes[node].state = RETRY
            schedule(loop, node, now + delay_s)
        else:
            free(loop, node)
        if parent < 0:
            return
        node = parent
        s = nodes[node].service
        count[s, CALLING_NOW] -= 1
        count[s, FAILED] += 1
