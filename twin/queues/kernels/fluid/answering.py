"""What became of the requests that finished: calls that failed, response times, retries."""

from __future__ import annotations

import math
from typing import NamedTuple

from twin.queues.kernels.compiling import kernel, part
from twin.queues.kernels.fluid.layout import (
    AMOUNT,
    D_LN_SHIFT,
    DELAY_S,
    FAILED,
    FAILING,
    LN_SHIFT0,
    LOST,
    NEGLIGIBLE,
    OWN_DELAY_S,
    PART_SHIFT_S,
    PART_WAIT_P,
    PART_WAIT_S,
    PARTS,
    REFUSED,
    SERVED,
    SHIFTS,
    SLOW,
    WAIT_P,
    WAIT_S,
    Fluid,
    Turn,
)
from twin.queues.kernels.fluid.retrying import try_again
from twin.queues.kernels.services import BASE_SLOW, MEAN_S, SLO_S
from twin.queues.kernels.survival import Wait, row_of, slower


class CallOutcome(NamedTuple):
    """What the synchronous calls of a service's requests came to in this tick."""

    kept: float
    """Share of the requests none of whose calls failed."""
    delay_s: float
    """Mean wait at all callees."""
    slowest: int
    """The callee at which they wait longest; -1: at none."""
    slowest_s: float
    """Mean wait there, all calls of a request together."""


@part
def answer(fluid: Fluid, turn: Turn) -> None:
    """Settle what finished in this tick, when it is so for the callees."""
    s = turn.s
    state = fluid.state
    calls = hear_callees(fluid, s)
    served = count_outcomes(fluid, turn, calls.kept)
    state[s, DELAY_S] = state[s, OWN_DELAY_S] + calls.delay_s
    if served > 0.0:
        credit_all(fluid, s, served, calls)


@part
def hear_callees(fluid: Fluid, s: int) -> CallOutcome:
    """What became of the calls, by what the callees have settled.

    A request with a mean of 2.3 calls makes two, and a third with probability 0.3.
    """
    state = fluid.state
    kept = 1.0
    slowest = -1
    slowest_s = 0.0
    delay_s = 0.0
    for callee in range(fluid.spec.shape[0]):
        per_request = fluid.calls[0, s, callee]
        if per_request <= 0.0:
            continue
        whole = math.floor(per_request)
        ok = 1.0 - state[callee, FAILING]
        kept *= ok**whole * (1.0 - (per_request - whole) * state[callee, FAILING])
        delay_s += per_request * state[callee, DELAY_S]
        if per_request * state[callee, DELAY_S] > slowest_s:
            slowest = callee
            slowest_s = per_request * state[callee, DELAY_S]
    return CallOutcome(kept, delay_s, slowest, slowest_s)


@part
def count_outcomes(fluid: Fluid, turn: Turn, kept: float) -> float:
    """Count what was served and what failed with its calls; returns what was served."""
    s = turn.s
    state, done = fluid.state, fluid.done
    served = 0.0
    failed = 0.0
    for level in range(done.shape[1]):
        bad = done[s, level] * (1.0 - kept)
        if bad > 0.0:
            try_again(fluid, turn, level, bad)
            failed += bad
        served += done[s, level] - bad
    state[s, SERVED] += served
    state[s, FAILED] += failed
    bad = failed + state[s, LOST] + state[s, REFUSED]
    state[s, LOST] = 0.0
    state[s, FAILING] = bad / (bad + served) if bad > 0.0 else 0.0
    return served


@part
def credit_all(fluid: Fluid, s: int, served: float, calls: CallOutcome) -> None:
    """Record the waits of `served` requests, those of `spans` and those at the callees."""
    state, spans = fluid.state, fluid.spans
    count = fluid.span_count[s]
    if count == 0:  # nothing started: these waited like the last ones that did
        spans[s, 0, 0] = 1.0
        spans[s, 0, 1] = max(state[s, OWN_DELAY_S] - state[s, WAIT_P] * state[s, WAIT_S], 0.0)
        count = 1
    started = 0.0
    for k in range(count):
        started += spans[s, k, 0]
    for k in range(count):
        amount = served * spans[s, k, 0] / started
        shift_s = spans[s, k, 1] + calls.delay_s
        if calls.slowest_s > NEGLIGIBLE * fluid.spec[s, MEAN_S]:
            # some requests make one call more than others: only they wait for it
            call_s = state[calls.slowest, DELAY_S]
            whole = math.floor(fluid.calls[0, s, calls.slowest])
            more = fluid.calls[0, s, calls.slowest] - whole
            shift_s += whole * call_s - calls.slowest_s
            credit(fluid, s, amount * more, shift_s + call_s)
            amount *= 1.0 - more
        credit(fluid, s, amount, shift_s)


@kernel
def credit(fluid: Fluid, s: int, amount: float, shift_s: float) -> None:
    """Record `amount` served requests whose response was shifted by `shift_s` of fluid wait."""
    if amount <= 0.0:
        return
    state = fluid.state
    mean_s = fluid.spec[s, MEAN_S]
    wait = Wait(state[s, WAIT_P], state[s, WAIT_S], shift_s)
    if wait.probability * wait.mean_s < 1e-9 * mean_s and shift_s < NEGLIGIBLE * mean_s:
        state[s, SLOW] += amount * fluid.spec[s, BASE_SLOW]
        fluid.parts[s, 0, AMOUNT] += amount
        fluid.waits[s, 0, 0] += amount
        return
    state[s, SLOW] += amount * slower(fluid.table[s], mean_s, fluid.spec[s, SLO_S], wait)
    credit_run(fluid, s, amount, wait)
    credit_sample(fluid, s, amount, wait)


@part
def credit_run(fluid: Fluid, s: int, amount: float, wait: Wait) -> None:
    """Into the run-long record: split between the neighbouring points of the grid of waits."""
    waits = fluid.waits
    shift_s = wait.shift_s
    point = 0
    upper = 0.0
    if shift_s > 0.0:
        place = (math.log(shift_s) - LN_SHIFT0) / D_LN_SHIFT
        if place < 0.0:
            upper = shift_s / math.exp(LN_SHIFT0)
        else:
            point = min(int(place) + 1, SHIFTS - 2)
            low = math.exp(LN_SHIFT0 + (point - 1) * D_LN_SHIFT)
            upper = min((shift_s - low) / (low * math.expm1(D_LN_SHIFT)), 1.0)
    row, above = row_of(wait.mean_s, fluid.spec[s, MEAN_S])
    waiting = amount * wait.probability
    waits[s, 0, point] += (amount - waiting) * (1.0 - upper)
    waits[s, 0, point + 1] += (amount - waiting) * upper
    waits[s, row, point] += waiting * (1.0 - above) * (1.0 - upper)
    waits[s, row, point + 1] += waiting * (1.0 - above) * upper
    waits[s, row + 1, point] += waiting * above * (1.0 - upper)
    waits[s, row + 1, point + 1] += waiting * above * upper


@part
def credit_sample(fluid: Fluid, s: int, amount: float, wait: Wait) -> None:
    """For the sample's quantiles: join the first of its parts that is like it."""
    parts = fluid.parts
    mean_s = fluid.spec[s, MEAN_S]
    wait_p, wait_s, shift_s = wait
    k = 1
    while k < PARTS - 1 and parts[s, k, AMOUNT] > 0.0:
        like = (
            abs(parts[s, k, PART_SHIFT_S] - shift_s) < 0.05 * mean_s + 0.02 * shift_s
            and abs(parts[s, k, PART_WAIT_P] - wait_p) * (parts[s, k, PART_WAIT_S] + wait_s)
            < 0.1 * mean_s
            and abs(parts[s, k, PART_WAIT_S] - wait_s) < 0.1 * mean_s + 0.1 * wait_s
        )
        if like:
            break
        k += 1
    old = parts[s, k, AMOUNT] / (parts[s, k, AMOUNT] + amount)
    parts[s, k, AMOUNT] += amount
    parts[s, k, PART_WAIT_P] += (wait_p - parts[s, k, PART_WAIT_P]) * (1.0 - old)
    parts[s, k, PART_WAIT_S] += (wait_s - parts[s, k, PART_WAIT_S]) * (1.0 - old)
    parts[s, k, PART_SHIFT_S] += (shift_s - parts[s, k, PART_SHIFT_S]) * (1.0 - old)
