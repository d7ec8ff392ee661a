"""The wait that a fluid does not have: what chance adds although there is capacity."""

from __future__ import annotations

import math

from twin.queues.kernels.compiling import part
from twin.queues.kernels.erlang import waiting_probability
from twin.queues.kernels.fluid.layout import (
    OWN_DELAY_S,
    QUEUED,
    READY,
    STOCHASTIC_QUEUE,
    WAIT_P,
    WAIT_S,
    Fluid,
    Pace,
)
from twin.queues.kernels.services import QUEUE_LIMIT, SLOTS, SPREAD, TIMEOUT_TICKS


@part
def queue_limit(fluid: Fluid, s: int) -> float:
    """How many requests may wait before more are shed."""
    return fluid.spec[s, QUEUE_LIMIT] * max(fluid.state[s, READY], 1.0) * fluid.spec[s, SLOTS]


@part
def longest_wait_s(fluid: Fluid, s: int, capacity: float) -> float:
    """Seconds of wait for which the queue has room left and the clients have patience."""
    room_s = max(queue_limit(fluid, s) - fluid.state[s, QUEUED], 0.0) / capacity
    return min(room_s, fluid.spec[s, TIMEOUT_TICKS])


@part
def relax(fluid: Fluid, s: int, pace: Pace, flow: tuple[float, float]) -> None:
    """Move the stochastic wait towards its stationary value for this tick's utilisation.

    `flow` is what arrived and what started in this tick.  The stationary mean is Allen & Cunneen's;
    the square of the mean rises by 2/pi * (ca2 + cs2) / mu each second, at most, and the mean falls
    by 1 - rho (Brownian motion reflected at zero, Iglehart & Whitt 1970).  It is never longer than
    `longest_wait_s`.
    """
    state = fluid.state
    arrived, started = flow
    capacity = pace.capacity
    state[s, STOCHASTIC_QUEUE] = 0.0
    state[s, WAIT_P] = 1.0
    if capacity <= 0.0:
        return
    spread = fluid.spec[s, SPREAD]
    room_s = longest_wait_s(fluid, s, capacity)
    wait_s = min(state[s, WAIT_S], room_s)
    highest = math.sqrt(wait_s * wait_s + (2.0 / math.pi) * 2.0 * spread / capacity)
    highest = min(highest, room_s)
    if state[s, QUEUED] > 0.0:
        excess = arrived / capacity - 1.0
        if excess > 0.0:
            wait_s = max(wait_s, min(spread / (capacity * excess), highest))
        state[s, WAIT_S] = wait_s
        return
    spare = 1.0 - started / capacity
    if spare > 0.0:
        stationary = spread / (capacity * spare)
        state[s, WAIT_S] = min(max(stationary, wait_s - spare), highest)
        state[s, WAIT_P] = waiting_probability(pace.slots, 1.0 - spare)
    else:
        state[s, WAIT_S] = highest
    state[s, STOCHASTIC_QUEUE] = started * state[s, WAIT_P] * state[s, WAIT_S]


@part
def add_up_delay(fluid: Fluid, s: int, started: float, oldest_s: float) -> None:
    """The mean wait (s) here of those who started; where none did, the wait of the oldest."""
    state, spans = fluid.state, fluid.spans
    if started > 0.0:
        mean = 0.0
        for k in range(fluid.span_count[s]):
            mean += spans[s, k, 0] * spans[s, k, 1]
        state[s, OWN_DELAY_S] = mean / started + state[s, WAIT_P] * state[s, WAIT_S]
    elif state[s, QUEUED] > 0.0:
        state[s, OWN_DELAY_S] = oldest_s
