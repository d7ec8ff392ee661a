"""The compiled arithmetic of the fluid services: arrays in, arrays out.

Requests are a fluid: a tick of one second moves fractional amounts between stocks (waiting, in
service) and outcomes (served, failed, shed, timed out), so the cost of a tick does not depend on
how many requests it carries.  What a fluid cannot show, the chance of waiting although capacity is
left, comes from queueing theory as a distribution laid over the tick:

* probability of waiting: Erlang's C formula in the corrected diffusion form of Janssen, van
  Leeuwaarden & Zwart, "Refining square-root safety staffing by expanding Erlang C", Operations
  Research 59 (2011), which refines Halfin & Whitt, Operations Research 29 (1981); see
  `waiting_probability`;
* mean of the wait of those who wait: (ca2 + cs2) / 2 * s / (c (1 - rho)), Allen & Cunneen (A. O.
  Allen, "Probability, Statistics, and Queueing Theory", 1990), with Poisson arrivals inside a
  tick (ca2 = 1); exponential, as in heavy traffic (Kingman 1962; Koellerstroem 1974);
* near saturation the stationary mean is far away in time.  The workload of a queue behaves like
  Brownian motion reflected at zero (Iglehart & Whitt 1970): its mean rises by diffusion, with the
  square growing by 2/pi * (ca2 + cs2) / mu each second, and falls by drift, 1 - rho each second.
  The stationary value is approached at that pace from either side (time constant of the order
  (ca2 + cs2) / (mu (1 - rho)^2), as in Odoni & Roth, Operations Research 31 (1983)), and so it
  stays finite as rho passes 1, where the fluid backlog takes over.  Under overload the same
  Brownian motion exceeds its fluid path by what it was reflected in the beginning, an exponential
  amount with mean (ca2 + cs2) / (2 mu (rho - 1)), which stays until the backlog is gone.

The response time is gamma distributed (service, plus the service of the synchronous calls), plus
zero or an exponential wait, plus the fluid wait of the backlog here and at the callee.  The sum of
a gamma and an exponential variate is tabulated once per service as the logarithm of its survival
function, so that shares of 1e-8 are as exact as shares of one half.

What it leaves out: service that is cut short when its client gives up; the spread of the stochastic
wait at a callee (callers see its mean); waits within a second when a finite queue limit is about
as short as the noise (there a real queue sheds a little below saturation); and what a request
still waits for when its slot is free again counts as served at once, so a backlog at a callee
fails its callers when the calls fail, not before.

One pass over the services, callers first, moves the fluid; a second one, callees first, tells the
callers what became of their calls.

It is long because a tick is one compiled walk, with the queueing theory that it needs beside it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from engine.model import FloatArray

IntArray = NDArray[np.int64]

# Columns of `spec` (one row per service; those after RETRIES depend on the slowdown in force).
(
    SLOTS,
    SERVICE_S,
    SPREAD,
    TIMEOUT_TICKS,
    QUEUE_LIMIT,
    RETRIES,
    RETRY_SHARE,
    SLO_S,
    SLOWDOWN,
    MEAN_S,
    BASE_SLOW,
    BASE_P50,
    BASE_P95,
    BASE_P99,
    SPEC_COLUMNS,
) = range(15)

# Columns of `state` (one row per service).
COUNTS = 7
(
    ARRIVED,
    RETRIED,
    SERVED,
    FAILED,
    SHED,
    TIMED_OUT,
    SLOW,
) = range(COUNTS)  # of the sample in progress; the same seven again, summed over earlier samples:
EARLIER = COUNTS
(
    READY,
    QUEUED,
    HEAD,  # tick in which the oldest waiting requests arrived
    WAIT_P,  # probability of a stochastic wait
    WAIT_S,  # its mean, given that there is one
    OWN_DELAY_S,  # mean wait here of those who started in this tick
    DELAY_S,  # the same with the waits at the callees
    LOST,  # failed by a crash since the last tick
    REFUSED,  # shed or timed out in this tick
    FAILING,  # share of the requests that ended badly in this tick
    BUSY,  # busy share of the slots, summed over the ticks of the sample
    STOCHASTIC_QUEUE,
    MEMORY,
    STATE_COLUMNS,
) = range(2 * COUNTS, 2 * COUNTS + 14)

# Last axis of `cohorts` after the attempt levels (the last level holds calls from services).
EXTRA = 2  # admitted when new, waiting now

# Grid of the survival tables: response times (s) and, relative to the mean response, waits.
X_POINTS = 512
LN_X0 = math.log(1e-4)
D_LN_X = (math.log(400.0) - LN_X0) / (X_POINTS - 1)
W_ROWS = 97  # row 0: no wait
LN_W0 = math.log(1e-2)
D_LN_W = (math.log(2e2) - LN_W0) / (W_ROWS - 2)
LN_FLOOR = -690.0  # of a survival function: below, it counts as this

# Grid of the fluid waits (s) in the run-long record of waits.
SHIFTS = 161  # point 0: none
LN_SHIFT0 = math.log(1e-5)
D_LN_SHIFT = (math.log(600.0) - LN_SHIFT0) / (SHIFTS - 2)

PARTS = 48  # distinct waits that one sample's quantiles are made of
STEPS = 16  # points, at most, that stand for a span of waits
STEP_SHARE = 0.05  # of the SLO: distance between them

UTILISATION_LIMIT = 0.98
MEMORY_IDLE = 0.30
MEMORY_PER_UTILISATION = 0.45
MEMORY_TIME_S = 60.0
NEGLIGIBLE = 1e-4  # a wait below this share of the mean response changes nothing that is reported
DUST = 1e-9  # requests: less than this in service is served, less than this is not retried


@njit(cache=True, error_model="numpy")
def advance(
    first: int,
    last: int,
    sample_s: int,
    start_s: float,
    spec: FloatArray,
    order: IntArray,
    calls: FloatArray,
    backoff: FloatArray,
    table: FloatArray,
    arrivals: FloatArray,
    state: FloatArray,
    in_service: FloatArray,
    cohorts: FloatArray,
    retries: FloatArray,
    parts: FloatArray,
    waits: FloatArray,
    spans: FloatArray,
    metrics: FloatArray,
    truth: FloatArray,
) -> None:
    """Advance all services through the ticks `first` … `last - 1`, in place.

    `spec` (S, SPEC_COLUMNS), `order` (S) callers first, `calls` (2, S, S) synchronous and
    asynchronous calls per request from row to column, `backoff` (S, levels, delays) share of the
    retries by delay in ticks, `table` (S, W_ROWS, X_POINTS) log survival, `arrivals` (S, T) first
    attempts; state: `state` (S, STATE_COLUMNS), `in_service` (S, levels), `cohorts` (S, ring,
    levels + EXTRA), `retries` (S, delays, levels), `parts` (S, PARTS, 4), `waits` (S, W_ROWS,
    SHIFTS), `spans` (S, STEPS * (ring + 1), 2) only within a tick; results: `metrics`, `truth`.
    """
    services, levels = in_service.shape
    incoming = np.zeros((services, 2))
    done = np.zeros((services, levels))
    span_count = np.zeros(services, np.int64)
    for tick in range(first, last):
        incoming[:] = 0.0
        for i in range(services):
            s = order[i]
            span_count[s] = _move(
                s,
                tick,
                spec,
                backoff,
                arrivals,
                incoming,
                state,
                in_service,
                cohorts,
                retries,
                done,
                spans,
            )
            finished = 0.0
            for level in range(levels):
                finished += done[s, level]
            if finished > 0.0:
                for callee in range(services):
                    incoming[callee, 0] += calls[0, s, callee] * finished
                    incoming[callee, 1] += calls[1, s, callee] * finished
        for i in range(services - 1, -1, -1):
            s = order[i]
            _answer(
                s,
                tick,
                spec,
                calls,
                backoff,
                table,
                state,
                retries,
                done,
                spans,
                span_count[s],
                parts,
                waits,
            )
        if (tick + 1) % sample_s == 0:
            sample = (tick + 1) // sample_s - 1
            for s in range(services):
                metrics[s, sample, 0] = start_s + tick + 1
                _report(s, sample, sample_s, spec, table, state, in_service, parts, metrics, truth)


@njit(cache=True, error_model="numpy")
def _move(  # noqa: C901
    s: int,
    tick: int,
    spec: FloatArray,
    backoff: FloatArray,
    arrivals: FloatArray,
    incoming: FloatArray,
    state: FloatArray,
    in_service: FloatArray,
    cohorts: FloatArray,
    retries: FloatArray,
    done: FloatArray,
    spans: FloatArray,
) -> int:
    """One tick of one service: arrivals, time-outs, starts, shedding, completions.

    Writes what finished to `done` and the waits of what started to `spans` (amount, wait);
    returns their number.
    """
    levels = in_service.shape[1]
    ring = cohorts.shape[1]
    call_level = levels - 1
    slots = state[s, READY] * spec[s, SLOTS]
    holding_s = spec[s, SERVICE_S] * spec[s, SLOWDOWN]
    capacity = slots / holding_s
    state[s, REFUSED] = 0.0

    # what has waited too long leaves
    queued = state[s, QUEUED]
    head = int(state[s, HEAD])
    if queued > 0.0:
        oldest = tick - int(spec[s, TIMEOUT_TICKS])
        while head <= oldest:
            slot = head % ring
            amount = cohorts[s, slot, levels + 1]
            if amount > 0.0:
                for level in range(levels):
                    _try_again(s, tick, level, cohorts[s, slot, level], spec, backoff, retries)
                state[s, TIMED_OUT] += amount
                state[s, REFUSED] += amount
                queued -= amount
                cohorts[s, slot, :] = 0.0
            head += 1
    if queued <= 0.0:
        queued = 0.0
        head = tick  # an older head would point at slots that newer cohorts have taken over

    # arrivals: cohort of this tick
    here = tick % ring
    due = tick % retries.shape[1]
    arrived = 0.0
    for level in range(levels):
        amount = retries[s, due, level]
        if amount > 0.0:
            retries[s, due, level] = 0.0
            state[s, RETRIED] += amount
        if level == 0:
            amount += arrivals[s, tick] + incoming[s, 1]
        elif level == call_level:
            amount += incoming[s, 0]
        cohorts[s, here, level] = amount
        arrived += amount
    state[s, ARRIVED] += arrived

    started = 0.0
    count = 0
    if queued <= 0.0 and arrived <= capacity:
        # nothing waits: all start at once
        for level in range(levels):
            done[s, level] = cohorts[s, here, level]
        started = arrived
        head = tick + 1
        if started > 0.0:
            spans[s, 0, 0] = started
            spans[s, 0, 1] = 0.0
            count = 1
        cohorts[s, here, levels] = 0.0
        cohorts[s, here, levels + 1] = 0.0
    else:
        for level in range(levels):
            done[s, level] = 0.0
        cohorts[s, here, levels] = arrived
        cohorts[s, here, levels + 1] = arrived
        clears = queued + arrived <= capacity
        backlog = queued
        while started < capacity and head <= tick:
            slot = head % ring
            amount = cohorts[s, slot, levels + 1]
            if amount <= 0.0:
                head += 1
                continue
            take = min(amount, capacity - started)
            if clears and head == tick:
                # the backlog is gone after `busy_s`: whoever comes later starts at once
                busy_s = 1.0
                if backlog < capacity - arrived:
                    busy_s = backlog / (capacity - arrived)
                take = amount
                count = _span(s, spec, spans, count, take * busy_s, backlog / capacity, 0.0)
                if busy_s < 1.0:
                    spans[s, count, 0] = take * (1.0 - busy_s)
                    spans[s, count, 1] = 0.0
                    count += 1
            else:
                admitted = cohorts[s, slot, levels]
                gone = admitted - amount
                before_s = tick + started / capacity - (head + gone / admitted)
                after_s = tick + (started + take) / capacity - (head + (gone + take) / admitted)
                count = _span(s, spec, spans, count, take, max(before_s, 0.0), max(after_s, 0.0))
            for level in range(levels):
                part = cohorts[s, slot, level] * (take / amount)
                done[s, level] += part
                cohorts[s, slot, level] -= part
            started += take
            if take >= amount:
                cohorts[s, slot, :] = 0.0
                head += 1
            else:
                cohorts[s, slot, levels + 1] = amount - take
        queued = max(queued + arrived - started, 0.0)
        if head > tick:
            queued = 0.0

        # what finds the queue full is turned away
        limit = _queue_limit(s, spec, state)
        if queued > limit:
            amount = cohorts[s, here, levels + 1]
            shed = min(queued - limit, amount)
            if shed > 0.0:
                for level in range(levels):
                    part = cohorts[s, here, level] * (shed / amount)
                    cohorts[s, here, level] -= part
                    _try_again(s, tick, level, part, spec, backoff, retries)
                cohorts[s, here, levels] -= shed
                cohorts[s, here, levels + 1] -= shed
                queued -= shed
                state[s, SHED] += shed
                state[s, REFUSED] += shed
    state[s, QUEUED] = queued
    state[s, HEAD] = head

    _relax(s, arrived, started, queued, slots, capacity, spec, state)
    if started > 0.0:
        mean = 0.0
        for k in range(count):
            mean += spans[s, k, 0] * spans[s, k, 1]
        state[s, OWN_DELAY_S] = mean / started + state[s, WAIT_P] * state[s, WAIT_S]
    elif queued > 0.0:
        state[s, OWN_DELAY_S] = tick + 1.0 - head

    # in service at the tick's end by Little's law, reached with the service time as time constant
    stays = holding_s / (1.0 + holding_s)
    busy = 0.0
    for level in range(levels):
        amount = in_service[s, level] + done[s, level]
        left = amount * stays
        if left < DUST:
            left = 0.0
        in_service[s, level] = left
        done[s, level] = amount - left
        busy += left
    if slots > 0.0:
        state[s, BUSY] += min(busy / slots, 1.0)
    elif busy > 0.0 or queued > 0.0 or arrived > 0.0:
        state[s, BUSY] += 1.0
    return count


@njit(cache=True, error_model="numpy")
def _span(
    s: int,
    spec: FloatArray,
    spans: FloatArray,
    count: int,
    amount: float,
    from_s: float,
    to_s: float,
) -> int:
    """Add `amount` requests whose waits run evenly from one value to the other."""
    if amount <= 0.0:
        return count
    steps = min(1 + int(abs(to_s - from_s) / (STEP_SHARE * spec[s, SLO_S])), STEPS)
    for k in range(steps):
        spans[s, count, 0] = amount / steps
        spans[s, count, 1] = from_s + (to_s - from_s) * (k + 0.5) / steps
        count += 1
    return count


@njit(cache=True, error_model="numpy")
def _relax(
    s: int,
    arrived: float,
    started: float,
    queued: float,
    slots: float,
    capacity: float,
    spec: FloatArray,
    state: FloatArray,
) -> None:
    """Move the stochastic wait towards its stationary value for this tick's utilisation.

    It is never longer than what room the queue has left, and than the clients' patience.
    """
    state[s, STOCHASTIC_QUEUE] = 0.0
    state[s, WAIT_P] = 1.0
    if capacity <= 0.0:
        return
    spread = spec[s, SPREAD]
    wait_s = state[s, WAIT_S]
    room_s = max(_queue_limit(s, spec, state) - queued, 0.0) / capacity
    room_s = min(room_s, spec[s, TIMEOUT_TICKS])
    wait_s = min(wait_s, room_s)
    highest = math.sqrt(wait_s * wait_s + (2.0 / math.pi) * 2.0 * spread / capacity)
    highest = min(highest, room_s)
    if queued > 0.0:
        excess = arrived / capacity - 1.0
        if excess > 0.0:
            wait_s = max(wait_s, min(spread / (capacity * excess), highest))
        state[s, WAIT_S] = wait_s
        return
    spare = 1.0 - started / capacity
    if spare > 0.0:
        stationary = spread / (capacity * spare)
        state[s, WAIT_S] = min(max(stationary, wait_s - spare), highest)
        state[s, WAIT_P] = waiting_probability(slots, 1.0 - spare)
    else:
        state[s, WAIT_S] = highest
    state[s, STOCHASTIC_QUEUE] = started * state[s, WAIT_P] * state[s, WAIT_S]


@njit(cache=True, error_model="numpy")
def _queue_limit(s: int, spec: FloatArray, state: FloatArray) -> float:
    """How many requests may wait before more are shed."""
    return spec[s, QUEUE_LIMIT] * max(state[s, READY], 1.0) * spec[s, SLOTS]


@njit(cache=True, error_model="numpy")
def waiting_probability(servers: float, rho: float) -> float:
    """Erlang's C formula: probability that an arrival waits, `servers` >= 1, utilisation `rho`.

    1 / C = rho + gamma (Phi(alpha)/phi(alpha) + 2/(3 sqrt(c)) + r / (12 c phi(alpha))), with
    gamma = (1 - rho) sqrt(c) and alpha^2 = -2 c (1 - rho + ln rho).  Stirling's remainder puts r
    between 0 and 1 (the bounds of Janssen et al.); with r = 1/2 the result is within 0.8 % of the
    exact value for all c >= 1 and 0.3 <= rho < 1.  Below 1e-12 it is given as 0.
    """
    if rho >= 1.0:
        return 1.0
    spare = 1.0 - rho
    if rho <= 0.0 or servers * spare * spare > 50.0:
        return 0.0
    exponent = -servers * (spare + math.log(rho))
    if exponent > 26.0:
        return 0.0
    alpha = math.sqrt(2.0 * max(exponent, 0.0))
    density = 0.3989422804014327 * math.exp(-exponent)
    below = 0.5 * math.erfc(-0.7071067811865476 * alpha)
    root = math.sqrt(servers)
    bracket = below / density + 2.0 / (3.0 * root) + 0.5 / (12.0 * servers * density)
    return 1.0 / (rho + spare * root * bracket)


@njit(cache=True, error_model="numpy")
def _try_again(
    s: int,
    tick: int,
    level: int,
    amount: float,
    spec: FloatArray,
    backoff: FloatArray,
    retries: FloatArray,
) -> None:
    """Schedule the retries of `amount` requests of one attempt level that ended badly."""
    if amount <= 0.0 or level >= spec[s, RETRIES] or level == retries.shape[2] - 1:
        return
    amount *= spec[s, RETRY_SHARE]
    if amount < DUST:
        return
    delays = retries.shape[1]
    for delay in range(1, delays):
        share = backoff[s, level, delay]
        if share > 0.0:
            retries[s, (tick + delay) % delays, level + 1] += amount * share


@njit(cache=True, error_model="numpy")
def lose(
    s: int,
    tick: int,
    share: float,
    spec: FloatArray,
    backoff: FloatArray,
    state: FloatArray,
    in_service: FloatArray,
    retries: FloatArray,
) -> None:
    """Fail `share` of what is in service of `s`, after the ticks before `tick`."""
    for level in range(in_service.shape[1]):
        lost = in_service[s, level] * share
        in_service[s, level] -= lost
        state[s, FAILED] += lost
        state[s, LOST] += lost
        _try_again(s, tick - 1, level, lost, spec, backoff, retries)


@njit(cache=True, error_model="numpy")
def _answer(
    s: int,
    tick: int,
    spec: FloatArray,
    calls: FloatArray,
    backoff: FloatArray,
    table: FloatArray,
    state: FloatArray,
    retries: FloatArray,
    done: FloatArray,
    spans: FloatArray,
    count: int,
    parts: FloatArray,
    waits: FloatArray,
) -> None:
    """Settle what finished in this tick: failed calls, response times, retries."""
    services = spec.shape[0]
    kept = 1.0
    slowest = -1
    slowest_s = 0.0
    delay_s = 0.0
    for callee in range(services):
        per_request = calls[0, s, callee]
        if per_request <= 0.0:
            continue
        whole = math.floor(per_request)
        ok = 1.0 - state[callee, FAILING]
        kept *= ok**whole * (1.0 - (per_request - whole) * state[callee, FAILING])
        delay_s += per_request * state[callee, DELAY_S]
        if per_request * state[callee, DELAY_S] > slowest_s:
            slowest = callee
            slowest_s = per_request * state[callee, DELAY_S]

    served = 0.0
    failed = 0.0
    for level in range(done.shape[1]):
        bad = done[s, level] * (1.0 - kept)
        if bad > 0.0:
            _try_again(s, tick, level, bad, spec, backoff, retries)
            failed += bad
        served += done[s, level] - bad
    state[s, SERVED] += served
    state[s, FAILED] += failed
    bad = failed + state[s, LOST] + state[s, REFUSED]
    state[s, LOST] = 0.0
    state[s, FAILING] = bad / (bad + served) if bad > 0.0 else 0.0

    own_s = state[s, OWN_DELAY_S]
    state[s, DELAY_S] = own_s + delay_s
    if served <= 0.0:
        return
    if count == 0:  # nothing started: these waited like the last ones that did
        spans[s, 0, 0] = 1.0
        spans[s, 0, 1] = max(own_s - state[s, WAIT_P] * state[s, WAIT_S], 0.0)
        count = 1
    started = 0.0
    for k in range(count):
        started += spans[s, k, 0]
    for k in range(count):
        amount = served * spans[s, k, 0] / started
        shift_s = spans[s, k, 1] + delay_s
        if slowest_s > NEGLIGIBLE * spec[s, MEAN_S]:
            # some requests make one call more than others: only they wait for it
            call_s = state[slowest, DELAY_S]
            whole = math.floor(calls[0, s, slowest])
            more = calls[0, s, slowest] - whole
            shift_s += whole * call_s - slowest_s
            _credit(s, amount * more, shift_s + call_s, spec, table, state, parts, waits)
            amount *= 1.0 - more
        _credit(s, amount, shift_s, spec, table, state, parts, waits)


@njit(cache=True, error_model="numpy")
def _credit(
    s: int,
    amount: float,
    shift_s: float,
    spec: FloatArray,
    table: FloatArray,
    state: FloatArray,
    parts: FloatArray,
    waits: FloatArray,
) -> None:
    """Record `amount` served requests whose response was shifted by `shift_s` of fluid wait."""
    if amount <= 0.0:
        return
    mean_s = spec[s, MEAN_S]
    wait_p = state[s, WAIT_P]
    wait_s = state[s, WAIT_S]
    if wait_p * wait_s < 1e-9 * mean_s and shift_s < NEGLIGIBLE * mean_s:
        state[s, SLOW] += amount * spec[s, BASE_SLOW]
        parts[s, 0, 0] += amount
        waits[s, 0, 0] += amount
        return
    state[s, SLOW] += amount * _slower(s, spec[s, SLO_S], wait_p, wait_s, shift_s, mean_s, table)

    # run-long record: split between the neighbouring points of the grid
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
    row, above = _row(wait_s, mean_s)
    waiting = amount * wait_p
    waits[s, 0, point] += (amount - waiting) * (1.0 - upper)
    waits[s, 0, point + 1] += (amount - waiting) * upper
    waits[s, row, point] += waiting * (1.0 - above) * (1.0 - upper)
    waits[s, row, point + 1] += waiting * (1.0 - above) * upper
    waits[s, row + 1, point] += waiting * above * (1.0 - upper)
    waits[s, row + 1, point + 1] += waiting * above * upper

    # for the sample's quantiles: join the first part that is like it
    k = 1
    while k < PARTS - 1 and parts[s, k, 0] > 0.0:
        like = (
            abs(parts[s, k, 3] - shift_s) < 0.05 * mean_s + 0.02 * shift_s
            and abs(parts[s, k, 1] - wait_p) * (parts[s, k, 2] + wait_s) < 0.1 * mean_s
            and abs(parts[s, k, 2] - wait_s) < 0.1 * mean_s + 0.1 * wait_s
        )
        if like:
            break
        k += 1
    old = parts[s, k, 0] / (parts[s, k, 0] + amount)
    parts[s, k, 0] += amount
    parts[s, k, 1] += (wait_p - parts[s, k, 1]) * (1.0 - old)
    parts[s, k, 2] += (wait_s - parts[s, k, 2]) * (1.0 - old)
    parts[s, k, 3] += (shift_s - parts[s, k, 3]) * (1.0 - old)


@njit(cache=True, error_model="numpy")
def _row(
    wait_s: float,
    mean_s: float,
) -> tuple[int, float]:
    """Row of the table below a mean wait, and how far it is to the next one (0-1)."""
    if wait_s <= 0.0:
        return 0, 0.0
    place = (math.log(wait_s / mean_s) - LN_W0) / D_LN_W
    if place < 0.0:
        return 0, wait_s / mean_s / math.exp(LN_W0)
    row = min(int(place), W_ROWS - 3)
    return row + 1, min(place - row, 1.0)


@njit(cache=True, error_model="numpy")
def _survival(
    s: int,
    row: int,
    above: float,
    x_s: float,
    table: FloatArray,
) -> float:
    """P(base response + exponential wait > x_s), between two rows of the table."""
    if x_s <= 0.0:
        return 1.0
    place = (math.log(x_s) - LN_X0) / D_LN_X
    if place < 0.0:
        low = table[s, row, 0] * (1.0 - above)
        if above > 0.0:
            low += table[s, row + 1, 0] * above
        return 1.0 + (math.exp(low) - 1.0) * x_s / math.exp(LN_X0)
    column = min(int(place), X_POINTS - 2)
    right = place - column
    value = table[s, row, column] + right * (table[s, row, column + 1] - table[s, row, column])
    if above > 0.0:
        other = table[s, row + 1, column] + right * (
            table[s, row + 1, column + 1] - table[s, row + 1, column]
        )
        value += above * (other - value)
    return math.exp(value)


@njit(cache=True, error_model="numpy")
def _slower(
    s: int,
    x_s: float,
    wait_p: float,
    wait_s: float,
    shift_s: float,
    mean_s: float,
    table: FloatArray,
) -> float:
    """Share of the responses above `x_s`."""
    share = 0.0
    if wait_p < 1.0:
        share += (1.0 - wait_p) * _survival(s, 0, 0.0, x_s - shift_s, table)
    if wait_p > 0.0:
        row, above = _row(wait_s, mean_s)
        share += wait_p * _survival(s, row, above, x_s - shift_s, table)
    return share


@njit(cache=True, error_model="numpy")
def _quantile(
    s: int,
    quantile: float,
    least_s: float,
    spec: FloatArray,
    table: FloatArray,
    parts: FloatArray,
) -> float:
    """Response time below which `quantile` of the sample's responses lie, at least `least_s`."""
    total = 0.0
    for k in range(PARTS):
        total += parts[s, k, 0]
    low = math.log(least_s)
    high = LN_X0 + (X_POINTS - 1) * D_LN_X
    low_share = high_share = 0.0
    share = 0.0
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        share = _above(s, math.exp(middle), total, spec, table, parts)
        if share > 1.0 - quantile:
            low = middle
            low_share = share
        else:
            high = middle
            high_share = share
    if low_share <= high_share:
        return math.exp(low)
    return math.exp(low + (high - low) * (low_share - (1.0 - quantile)) / (low_share - high_share))


@njit(cache=True, error_model="numpy")
def _above(
    s: int,
    x_s: float,
    total: float,
    spec: FloatArray,
    table: FloatArray,
    parts: FloatArray,
) -> float:
    """Share of the sample's responses above `x_s`."""
    share = 0.0
    if parts[s, 0, 0] > 0.0:
        share += parts[s, 0, 0] * _survival(s, 0, 0.0, x_s, table)
    for k in range(1, PARTS):
        if parts[s, k, 0] <= 0.0:
            break
        share += parts[s, k, 0] * _slower(
            s, x_s, parts[s, k, 1], parts[s, k, 2], parts[s, k, 3], spec[s, MEAN_S], table
        )
    return share / total


@njit(cache=True, error_model="numpy")
def _report(
    s: int,
    sample: int,
    sample_s: int,
    spec: FloatArray,
    table: FloatArray,
    state: FloatArray,
    in_service: FloatArray,
    parts: FloatArray,
    metrics: FloatArray,
    truth: FloatArray,
) -> None:
    """Write the sample that ends now and start the next one."""
    arrived = state[s, ARRIVED]
    utilisation = state[s, BUSY] / sample_s
    memory = MEMORY_IDLE + MEMORY_PER_UTILISATION * utilisation
    if state[s, MEMORY] > 0.0:
        memory += (state[s, MEMORY] - memory) * math.exp(-sample_s / MEMORY_TIME_S)
    state[s, MEMORY] = memory
    bad = state[s, FAILED] + state[s, SHED] + state[s, TIMED_OUT]
    if state[s, READY] > 0.0:
        metrics[s, sample, 1] = utilisation
        metrics[s, sample, 2] = memory
    else:  # nobody is there to be measured
        metrics[s, sample, 1:3] = np.nan
    metrics[s, sample, 3] = arrived / sample_s
    if parts[s, 1, 0] > 0.0:
        p50_s = _quantile(s, 0.50, spec[s, BASE_P50], spec, table, parts)
        p95_s = _quantile(s, 0.95, max(spec[s, BASE_P95], p50_s), spec, table, parts)
        p99_s = _quantile(s, 0.99, max(spec[s, BASE_P99], p95_s), spec, table, parts)
        metrics[s, sample, 4] = p50_s
        metrics[s, sample, 5] = p95_s
        metrics[s, sample, 6] = p99_s
    elif parts[s, 0, 0] > 0.0:
        metrics[s, sample, 4] = spec[s, BASE_P50]
        metrics[s, sample, 5] = spec[s, BASE_P95]
        metrics[s, sample, 6] = spec[s, BASE_P99]
    else:
        metrics[s, sample, 4:7] = np.nan
    if arrived > 0.0:
        metrics[s, sample, 7] = min(bad / arrived, 1.0)
    else:
        metrics[s, sample, 7] = 1.0 if bad > 0.0 else 0.0
    metrics[s, sample, 8] = state[s, QUEUED] + state[s, STOCHASTIC_QUEUE]

    in_flight = 0.0
    for level in range(in_service.shape[1]):
        in_flight += in_service[s, level]
    for k in range(COUNTS):
        truth[s, sample, k] = state[s, k]
        state[s, EARLIER + k] += state[s, k]
        state[s, k] = 0.0
    truth[s, sample, COUNTS] = state[s, QUEUED]
    truth[s, sample, COUNTS + 1] = in_flight
    truth[s, sample, COUNTS + 2] = needed(s, arrived / sample_s, spec, table)
    state[s, BUSY] = 0.0
    for k in range(PARTS):
        if k > 0 and parts[s, k, 0] <= 0.0:
            break
        parts[s, k, :] = 0.0


@njit(cache=True, error_model="numpy")
def needed(s: int, rate: float, spec: FloatArray, table: FloatArray) -> int:
    """Smallest instance count that carries `rate` (1/s) steadily within the SLO; 0 for no load.

    Utilisation at most UTILISATION_LIMIT and p95 at most the SLO; where even the bare service time
    breaks the SLO, no count helps and the utilisation alone decides.
    """
    if rate <= 0.0:
        return 0
    per_instance = spec[s, SLOTS] / (spec[s, SERVICE_S] * spec[s, SLOWDOWN])
    low = math.ceil(rate / (UTILISATION_LIMIT * per_instance) * (1.0 - 1e-12))
    low = max(low, 1)
    if spec[s, BASE_SLOW] > 0.05 or _carries(s, low, rate, per_instance, spec, table):
        return low
    step = 1
    while not _carries(s, low + step, rate, per_instance, spec, table):
        low += step
        step *= 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if _carries(s, middle, rate, per_instance, spec, table):
            high = middle
        else:
            low = middle
    return high


@njit(cache=True, error_model="numpy")
def _carries(
    s: int,
    instances: int,
    rate: float,
    per_instance: float,
    spec: FloatArray,
    table: FloatArray,
) -> bool:
    """Whether the stationary p95 is within the SLO."""
    capacity = instances * per_instance
    rho = rate / capacity
    wait_p = waiting_probability(instances * spec[s, SLOTS], rho)
    if wait_p <= 0.0:
        return spec[s, BASE_SLOW] <= 0.05
    wait_s = spec[s, SPREAD] / (capacity * (1.0 - rho))
    return _slower(s, spec[s, SLO_S], wait_p, wait_s, 0.0, spec[s, MEAN_S], table) <= 0.05


@njit(cache=True, error_model="numpy")
def needed_curve(s: int, rates: FloatArray, spec: FloatArray, table: FloatArray) -> IntArray:
    """`needed` for each of `rates`."""
    counts = np.empty(rates.size, np.int64)
    for k in range(rates.size):
        counts[k] = needed(s, rates[k], spec, table)
    return counts


@njit(cache=True, error_model="numpy")
def survival_curve(
    s: int, wait_p: float, wait_s: float, x_s: FloatArray, mean_s: float, table: FloatArray
) -> FloatArray:
    """P(response > x) for each of `x_s`, with a stochastic wait and no backlog."""
    shares = np.empty(x_s.size)
    for k in range(x_s.size):
        shares[k] = _slower(s, x_s[k], wait_p, wait_s, 0.0, mean_s, table)
    return shares


@njit(cache=True, error_model="numpy")
def fold(
    s: int, waits: FloatArray, edges_s: FloatArray, table: FloatArray, histogram: FloatArray
) -> None:
    """Turn the record of waits into counts per response-time bin, added to `histogram`.

    `edges_s` (E), `histogram` (E + 1): below the first edge, between edges, above the last.
    """
    for point in range(SHIFTS):
        shift_s = math.exp(LN_SHIFT0 + (point - 1) * D_LN_SHIFT) if point > 0 else 0.0
        for row in range(W_ROWS):
            amount = waits[s, row, point]
            if amount <= 0.0:
                continue
            before = 1.0
            for edge in range(edges_s.size):
                share = _survival(s, row, 0.0, edges_s[edge] - shift_s, table)
                histogram[edge] += amount * (before - share)
                before = share
            histogram[edges_s.size] += amount * before


@njit(cache=True, error_model="numpy")
def log_gamma_survival(shape: float, x: float) -> float:
    """Natural logarithm of P(X > x) for a gamma variate of scale 1, without underflow.

    Power series below shape + 1, continued fraction above (NIST Digital Library of Mathematical
    Functions, 8.7.1 and 8.9.2).
    """
    if x <= 0.0:
        return 0.0
    front = shape * math.log(x) - x - math.lgamma(shape)
    if x < shape + 1.0:
        term = 1.0 / shape
        total = term
        k = shape
        while abs(term) > 1e-16 * abs(total):
            k += 1.0
            term *= x / k
            total += term
        return math.log1p(-min(total * math.exp(front), 1.0 - 1e-16))
    b = x + 1.0 - shape
    c = 1e300
    d = 1.0 / b
    fraction = d
    for k in range(1, 100_000):
        a = -k * (k - shape)
        b += 2.0
        d = a * d + b
        d = 1.0 / (d if abs(d) > 1e-300 else 1e-300)
        c = b + a / c
        if abs(c) < 1e-300:
            c = 1e-300
        change = d * c
        fraction *= change
        if abs(change - 1.0) < 1e-15:
            break
    return front + math.log(fraction)


@njit(cache=True, error_model="numpy")
def fill_table(shape: float, scale_s: float, table: FloatArray) -> None:
    """Log survival of Gamma(shape, scale_s) + Exp(w) on the grid, into `table` (W_ROWS, X_POINTS).

    The survival S of the sum obeys S' = (G - S) / w with G the gamma's own; between two grid
    points G is log-linear to within 1e-3, for which the equation has the exact solution used here.
    """
    mean_s = shape * scale_s
    for column in range(X_POINTS):
        x_s = math.exp(LN_X0 + column * D_LN_X)
        table[0, column] = max(log_gamma_survival(shape, x_s / scale_s), LN_FLOOR)
    for row in range(1, W_ROWS):
        wait_s = mean_s * math.exp(LN_W0 + (row - 1) * D_LN_W)
        value = 1.0
        left_s = 0.0
        left_log = 0.0
        for column in range(X_POINTS):
            right_s = math.exp(LN_X0 + column * D_LN_X)
            right_log = table[0, column]
            width = right_s - left_s
            decay = math.exp(-width / wait_s)
            rate = 1.0 / wait_s - (left_log - right_log) / width
            exponent = rate * width
            if abs(exponent) < 1e-9:
                inflow = math.exp(left_log) * decay * width / wait_s
            elif exponent > 0.0:
                inflow = -math.exp(right_log) * math.expm1(-exponent) / (rate * wait_s)
            else:
                inflow = math.exp(left_log) * decay * math.expm1(exponent) / (rate * wait_s)
            value = min(value * decay + inflow, 1.0)
            table[row, column] = max(math.log(value), LN_FLOOR) if value > 0.0 else LN_FLOOR
            left_s = right_s
            left_log = right_log
