"""The arrays of the fluid services: records, columns and grids."""

from __future__ import annotations

import math
from typing import NamedTuple

from engine.model import FloatArray
from twin.queues.kernels.services import IntArray

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

# Last axis of `cohorts` after the attempt levels (the last level holds calls from services):
# admitted when new, waiting now.
EXTRA = 2

# Last axis of `parts`.
AMOUNT, PART_WAIT_P, PART_WAIT_S, PART_SHIFT_S = range(4)

# Grid of the fluid waits (s) in the run-long record of waits.
SHIFTS = 161  # point 0: none
LN_SHIFT0 = math.log(1e-5)
D_LN_SHIFT = (math.log(600.0) - LN_SHIFT0) / (SHIFTS - 2)

PARTS = 48  # distinct waits that one sample's quantiles are made of
STEPS = 16  # points, at most, that stand for a span of waits
STEP_SHARE = 0.05  # of the SLO: distance between them

NEGLIGIBLE = 1e-4  # a wait below this share of the mean response changes nothing that is reported
DUST = 1e-9  # requests: less than this in service is served, less than this is not retried


class Fluid(NamedTuple):
    """All arrays of S services: requests are amounts, times seconds, rates a second."""

    spec: FloatArray
    """(S, SPEC_COLUMNS)."""
    order: IntArray
    """(S,): callers first."""
    calls: FloatArray
    """(2, S, S): synchronous and asynchronous calls per request, from row to column."""
    backoff: FloatArray
    """(S, levels, delays): share of the retries by delay in ticks."""
    table: FloatArray
    """(S, W_ROWS, X_POINTS): log survival of the response times."""
    arrivals: FloatArray
    """(S, T): first attempts from outside in each tick."""

    state: FloatArray
    """(S, STATE_COLUMNS)."""
    in_service: FloatArray
    """(S, levels): by attempt level."""
    cohorts: FloatArray
    """(S, ring, levels + EXTRA): who waits, by the tick of arrival modulo `ring`."""
    retries: FloatArray
    """(S, delays, levels): who comes again, by tick modulo `delays`."""
    parts: FloatArray
    """(S, PARTS, 4): who was served within the sample, by kinds of waits."""
    waits: FloatArray
    """(S, W_ROWS, SHIFTS): who was served since the last `fold`, by stochastic and fluid wait."""

    incoming: FloatArray
    """(S, 2): synchronous and asynchronous calls received in this tick."""
    done: FloatArray
    """(S, levels): what started in this tick, later what finished."""
    spans: FloatArray
    """(S, STEPS * (ring + 1), 2): amounts that started in this tick and their waits."""
    span_count: IntArray
    """(S,): how many rows of `spans` are of this tick."""

    metrics: FloatArray
    """(S, samples, 9): what telemetry emits."""
    truth: FloatArray
    """(S, samples, 10): what really happened."""


class Turn(NamedTuple):
    """One service in one tick."""

    s: int
    tick: int


class Pace(NamedTuple):
    """What a service can do in this tick."""

    slots: float
    """Of all instances that can start requests."""
    holding_s: float
    """How long a request holds its slot."""
    capacity: float
    """Requests that can start."""
