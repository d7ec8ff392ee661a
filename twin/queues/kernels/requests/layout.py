"""The arrays of the event loop: records, columns and buckets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from engine.model import FloatArray
from engine.record.response_times import Buckets, log_linear
from twin.queues.kernels.services import IntArray

NODE = np.dtype(
    [
        ("time", "f8"),  # of its next event, seconds
        ("arrived", "f8"),
        ("next", "i4"),  # in its bucket, queue or the free list; -1: last
        ("parent", "i4"),  # the request whose call this is; -1: a client's
        ("service", "i4"),
        ("state", "i4"),
        ("level", "i4"),  # attempts before this one
        ("callee", "i4"),  # position in the list of synchronous calls
        ("left", "i4"),  # calls still to make there
        ("pad", "i4"),
    ]
)
"""One request (or the standing arrival and time-out events of a service) in 56 bytes."""

FREE, EXTERNAL, TIMER, RETRY, WAITING, SERVING, LEAVING, CRASHED, CALLING = range(9)
"""States of a node.  LEAVING is in service on an instance that drains; CRASHED is an event to
ignore."""

# Columns of `counts` (whole numbers, one row a service): the first seven as in `TRUTH_FIELDS`.
(
    ARRIVED,
    RETRIED,
    SERVED,
    FAILED,
    SHED,
    TIMED_OUT,
    SLOW,
    WAITING_NOW,
    HEAD,
    TAIL,
    IDLE,
    BUSY,  # requests in service, on draining instances too
    DRAINING,  # those of them on draining instances
    CALLING_NOW,
    SLOTS,  # ready slots
    LIMIT,  # of the queue
    TO_COME,  # first attempts still to come in this second
    TIMER_SET,
    CAME,  # first attempts so far
    STARTED,
    COUNT_COLUMNS,
) = range(21)

# Columns of `real` (one row a service).
(
    BUSY_AREA,  # slot-seconds in service within the sample, ready slots only
    BUSY_SINCE,
    WAIT_AREA,  # request-seconds waited, up to WAIT_SINCE
    WAIT_SINCE,
    WAITED,  # the same as the sum over those who left the queue, however they left it
    RESPONDED,  # sum of the response times
    MEMORY,
    REMAINING,  # share of the second that is left when the last first attempt came (0-1)
    SLOT_AREA,  # ready slot-seconds within the sample
    REAL_COLUMNS,
) = range(10)

# Columns of `fixed` (one row a service).
SHAPE, SCALE_S, TIMEOUT_S, RETRIES, RETRY_SHARE, BACKOFF_S, SLO_S, FIXED_COLUMNS = range(8)

# `wheel`: one row of state for the whole loop.
SECOND, BUCKET, CURRENT, FREE_HEAD, FREE_COUNT, WHEEL_COLUMNS = range(6)
FAR = 1024  # seconds beyond which an event goes round once more

# Counts of responses: OCTAVES powers of two from 2^LOWEST s, SUB equal parts of each.
SUB_BITS = 6
SUB = 1 << SUB_BITS
LOWEST = -20
OCTAVES = 32
BINS = OCTAVES * SUB
BUCKETS = Buckets(log_linear(LOWEST, OCTAVES, SUB))

DONE, ROOM_NEEDED = 0, 1


class Loop(NamedTuple):
    """All arrays of the event loop of S services; times in seconds."""

    rng: np.random.Generator
    script: FloatArray
    """(2, S, n): times of the first n arrivals from outside and service times of the first n to
    start, instead of draws; may be empty."""
    arrivals: FloatArray
    """(S, T): first attempts from outside in each second, whole numbers."""
    fixed: FloatArray
    """(S, FIXED_COLUMNS)."""
    sync: IntArray
    """(S, width): services called synchronously, -1 beyond the last."""
    sync_calls: FloatArray
    """(S, width): how often, a request."""
    jobs: IntArray
    """(S, width): services called asynchronously, -1 beyond the last."""
    jobs_calls: FloatArray
    """(S, width): how often, a request."""
    slowdown: FloatArray
    """(S,): by which the service times are multiplied."""
    spec: FloatArray
    """(S, SPEC_COLUMNS): see `services`."""
    table: FloatArray
    """(S, W_ROWS, X_POINTS): see `survival`."""

    counts: IntArray
    """(S, COUNT_COLUMNS)."""
    real: FloatArray
    """(S, REAL_COLUMNS)."""
    nodes: np.ndarray
    """(n,) of NODE: the first S are the next arrivals from outside, the next S the time-outs of
    the heads of the queues."""
    near: np.ndarray
    """(buckets,): first node of each part of the second in progress, -1: none."""
    far: np.ndarray
    """(FAR,): first node of each later second, -1: none."""
    wheel: IntArray
    """(WHEEL_COLUMNS,)."""
    stack: IntArray
    """(most, 3): the arrivals that one event makes, as `RequestArrival`."""
    hist: np.ndarray
    """(S, BINS): responses of the sample, by time."""
    hist_all: IntArray
    """(S, BINS): of the earlier samples."""

    metrics: FloatArray
    """(S, samples, 9): what telemetry emits."""
    truth: FloatArray
    """(S, samples, 10): what really happened."""
    totals: IntArray
    """(S, 7): the first columns of `counts`, summed over the earlier samples."""
    waits: FloatArray
    """(S, n): filled with the waits of the first n requests to start, may be empty."""


class At(NamedTuple):
    """One service at one time (s)."""

    s: int
    now: float


class RequestArrival(NamedTuple):
    """A request that comes to a service."""

    service: int
    parent: int
    """The node of the request whose call this is; -1: a client's."""
    node: int
    """Its own; -1 as long as it has none."""
