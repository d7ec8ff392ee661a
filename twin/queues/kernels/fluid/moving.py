"""One tick of one service: what happens to the requests that wait, arrive, start and finish."""

from __future__ import annotations

from typing import NamedTuple

from twin.queues.kernels.compiling import kernel, part
from twin.queues.kernels.fluid.layout import (
    ARRIVED,
    BUSY,
    DUST,
    HEAD,
    QUEUED,
    READY,
    REFUSED,
    RETRIED,
    SHED,
    STEP_SHARE,
    STEPS,
    TIMED_OUT,
    Fluid,
    Pace,
    Turn,
)
from twin.queues.kernels.fluid.retrying import try_again
from twin.queues.kernels.fluid.stochastic import add_up_delay, queue_limit, relax
from twin.queues.kernels.services import SERVICE_S, SLO_S, SLOTS, SLOWDOWN, TIMEOUT_TICKS


class Stretch(NamedTuple):
    """Waits (s) that run evenly from one value to the other."""

    from_s: float
    to_s: float


@kernel
def move(fluid: Fluid, turn: Turn) -> None:
    """One tick of one service, all of it before anything is heard from its callees.

    Leaves what finished in `done`, and the amounts that started with their waits in `spans`.
    """
    s, tick = turn
    state, spec = fluid.state, fluid.spec
    slots = state[s, READY] * spec[s, SLOTS]
    holding_s = spec[s, SERVICE_S] * spec[s, SLOWDOWN]
    pace = Pace(slots, holding_s, slots / holding_s)
    state[s, REFUSED] = 0.0
    time_out(fluid, turn)
    arrived = arrive(fluid, turn)
    if state[s, QUEUED] <= 0.0 and arrived <= pace.capacity:
        started = start_at_once(fluid, turn, arrived)
    else:
        started = start_in_turn(fluid, turn, pace.capacity, arrived)
        shed(fluid, turn)
    relax(fluid, s, pace, (arrived, started))
    add_up_delay(fluid, s, started, tick + 1.0 - int(state[s, HEAD]))
    complete(fluid, s, pace, arrived)


@part
def time_out(fluid: Fluid, turn: Turn) -> None:
    """Who has waited for as many ticks as clients have patience leaves, oldest first."""
    s, tick = turn
    state, cohorts = fluid.state, fluid.cohorts
    ring = cohorts.shape[1]
    levels = fluid.in_service.shape[1]
    queued = state[s, QUEUED]
    head = int(state[s, HEAD])
    if queued > 0.0:
        oldest = tick - int(fluid.spec[s, TIMEOUT_TICKS])
        while head <= oldest:
            slot = head % ring
            amount = cohorts[s, slot, levels + 1]
            if amount > 0.0:
                for level in range(levels):
                    try_again(fluid, turn, level, cohorts[s, slot, level])
                state[s, TIMED_OUT] += amount
                state[s, REFUSED] += amount
                queued -= amount
                cohorts[s, slot, :] = 0.0
            head += 1
    if queued <= 0.0:
        queued = 0.0
        head = tick  # an older head would point at slots that newer cohorts have taken over
    state[s, QUEUED] = queued
    state[s, HEAD] = head


@part
def arrive(fluid: Fluid, turn: Turn) -> float:
    """The cohort of this tick: new requests, retries that are due, calls; returns its amount."""
    s, tick = turn
    state, cohorts, retries = fluid.state, fluid.cohorts, fluid.retries
    levels = fluid.in_service.shape[1]
    call_level = levels - 1
    here = tick % cohorts.shape[1]
    due = tick % retries.shape[1]
    arrived = 0.0
    for level in range(levels):
        amount = retries[s, due, level]
        if amount > 0.0:
            retries[s, due, level] = 0.0
            state[s, RETRIED] += amount
        if level == 0:
            amount += fluid.arrivals[s, tick] + fluid.incoming[s, 1]
        elif level == call_level:
            amount += fluid.incoming[s, 0]
        cohorts[s, here, level] = amount
        arrived += amount
    state[s, ARRIVED] += arrived
    return arrived


@part
def start_at_once(fluid: Fluid, turn: Turn, arrived: float) -> float:
    """Nothing waits and there is capacity for all: none waits; returns what started."""
    s, tick = turn
    cohorts = fluid.cohorts
    here = tick % cohorts.shape[1]
    levels = fluid.in_service.shape[1]
    for level in range(levels):
        fluid.done[s, level] = cohorts[s, here, level]
    fluid.span_count[s] = 0
    if arrived > 0.0:
        fluid.spans[s, 0, 0] = arrived
        fluid.spans[s, 0, 1] = 0.0
        fluid.span_count[s] = 1
    cohorts[s, here, levels] = 0.0
    cohorts[s, here, levels + 1] = 0.0
    fluid.state[s, HEAD] = tick + 1
    return arrived


@part
def start_in_turn(fluid: Fluid, turn: Turn, capacity: float, arrived: float) -> float:
    """As many start as there is capacity for, the oldest first; returns their amount.

    Requests arrive and start evenly within a tick, so the waits of what starts of a cohort run
    evenly from those of its first to those of its last.
    """
    s, tick = turn
    state, cohorts = fluid.state, fluid.cohorts
    ring = cohorts.shape[1]
    levels = fluid.in_service.shape[1]
    for level in range(levels):
        fluid.done[s, level] = 0.0
    fluid.span_count[s] = 0
    cohorts[s, tick % ring, levels] = arrived
    cohorts[s, tick % ring, levels + 1] = arrived
    backlog = state[s, QUEUED]
    head = int(state[s, HEAD])
    clears = backlog + arrived <= capacity
    started = 0.0
    while started < capacity and head <= tick:
        slot = head % ring
        amount = cohorts[s, slot, levels + 1]
        if amount <= 0.0:
            head += 1
            continue
        take = min(amount, capacity - started)
        if clears and head == tick:
            take = amount
            record_clearing(fluid, s, take, (backlog, capacity, capacity - arrived))
        else:
            admitted = cohorts[s, slot, levels]
            gone = admitted - amount
            before_s = tick + started / capacity - (head + gone / admitted)
            after_s = tick + (started + take) / capacity - (head + (gone + take) / admitted)
            record_waits(fluid, s, take, Stretch(max(before_s, 0.0), max(after_s, 0.0)))
        take_out(fluid, s, slot, take)
        started += take
        if take >= amount:
            head += 1
    queued = max(backlog + arrived - started, 0.0)
    if head > tick:
        queued = 0.0
    state[s, QUEUED] = queued
    state[s, HEAD] = head
    return started


@part
def record_clearing(
    fluid: Fluid, s: int, amount: float, backlog: tuple[float, float, float]
) -> None:
    """Waits of those who arrive while the backlog ends: who comes after it starts at once.

    `backlog` is its amount, the capacity that works on it, and what of that the arrivals leave; it
    is gone after the first by the last, in seconds.
    """
    waiting, capacity, left = backlog
    busy_s = 1.0
    if waiting < left:
        busy_s = waiting / left
    record_waits(fluid, s, amount * busy_s, Stretch(waiting / capacity, 0.0))
    if busy_s < 1.0:
        count = fluid.span_count[s]
        fluid.spans[s, count, 0] = amount * (1.0 - busy_s)
        fluid.spans[s, count, 1] = 0.0
        fluid.span_count[s] = count + 1


@part
def record_waits(fluid: Fluid, s: int, amount: float, waits: Stretch) -> None:
    """Add `amount` requests to `spans`, whose waits a few points stand for."""
    if amount <= 0.0:
        return
    spans = fluid.spans
    from_s, to_s = waits
    count = fluid.span_count[s]
    steps = min(1 + int(abs(to_s - from_s) / (STEP_SHARE * fluid.spec[s, SLO_S])), STEPS)
    for k in range(steps):
        spans[s, count, 0] = amount / steps
        spans[s, count, 1] = from_s + (to_s - from_s) * (k + 0.5) / steps
        count += 1
    fluid.span_count[s] = count


@part
def take_out(fluid: Fluid, s: int, slot: int, take: float) -> None:
    """Of the cohort in `slot`, `take` requests start, of each attempt level alike."""
    cohorts = fluid.cohorts
    levels = fluid.in_service.shape[1]
    amount = cohorts[s, slot, levels + 1]
    for level in range(levels):
        part = cohorts[s, slot, level] * (take / amount)
        fluid.done[s, level] += part
        cohorts[s, slot, level] -= part
    if take >= amount:
        cohorts[s, slot, :] = 0.0
    else:
        cohorts[s, slot, levels + 1] = amount - take


@part
def shed(fluid: Fluid, turn: Turn) -> None:
    """What finds the queue full is turned away: the newest."""
    s, tick = turn
    state, cohorts = fluid.state, fluid.cohorts
    levels = fluid.in_service.shape[1]
    here = tick % cohorts.shape[1]
    limit = queue_limit(fluid, s)
    queued = state[s, QUEUED]
    if queued <= limit:
        return
    amount = cohorts[s, here, levels + 1]
    refused = min(queued - limit, amount)
    if refused <= 0.0:
        return
    for level in range(levels):
        part = cohorts[s, here, level] * (refused / amount)
        cohorts[s, here, level] -= part
        try_again(fluid, turn, level, part)
    cohorts[s, here, levels] -= refused
    cohorts[s, here, levels + 1] -= refused
    state[s, QUEUED] = queued - refused
    state[s, SHED] += refused
    state[s, REFUSED] += refused


@part
def complete(fluid: Fluid, s: int, pace: Pace, arrived: float) -> None:
    """Leave in `done` what finishes: of what starts, all but what is in service at the tick's end.

    That is given by Little's law (Operations Research 9 (1961)) and reached with the holding time
    as time constant.
    """
    state, in_service, done = fluid.state, fluid.in_service, fluid.done
    stays = pace.holding_s / (1.0 + pace.holding_s)
    busy = 0.0
    for level in range(in_service.shape[1]):
        amount = in_service[s, level] + done[s, level]
        left = amount * stays
        if left < DUST:
            left = 0.0
        in_service[s, level] = left
        done[s, level] = amount - left
        busy += left
    if pace.slots > 0.0:
        state[s, BUSY] += min(busy / pace.slots, 1.0)
    elif busy > 0.0 or state[s, QUEUED] > 0.0 or arrived > 0.0:
        state[s, BUSY] += 1.0
