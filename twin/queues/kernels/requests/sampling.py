"""The figures of a sample."""

from __future__ import annotations

import math

from engine.record.response_times import between
from twin.queues.kernels.compiling import inlined, kernel
from twin.queues.kernels.memory import memory_used
from twin.queues.kernels.requests.layout import (
    ARRIVED,
    BINS,
    BUCKETS,
    BUSY,
    BUSY_AREA,
    CALLING_NOW,
    FAILED,
    MEMORY,
    OCTAVES,
    SERVED,
    SHED,
    SLOT_AREA,
    SLOTS,
    SLOW,
    SUB,
    TIMED_OUT,
    WAITING_NOW,
    Loop,
)
from twin.queues.kernels.services import Services
from twin.queues.kernels.staffing import needed

EDGES_S = BUCKETS.edges_s
_between = inlined(between)


@kernel
def report(loop: Loop, s: int, sample: int, sample_s: int) -> None:
    """Write the sample of one service that ends now and start the next one."""
    count, real, metrics = loop.counts, loop.real, loop.metrics
    utilisation = 0.0
    if real[s, SLOT_AREA] > 0.0:
        utilisation = min(real[s, BUSY_AREA] / real[s, SLOT_AREA], 1.0)
    elif count[s, ARRIVED] > 0 or count[s, WAITING_NOW] > 0:
        utilisation = 1.0
    real[s, MEMORY] = memory_used(real[s, MEMORY], utilisation, sample_s)
    bad = count[s, FAILED] + count[s, SHED] + count[s, TIMED_OUT]
    arrived = count[s, ARRIVED]
    if count[s, SLOTS] > 0:
        metrics[s, sample, 1] = utilisation
        metrics[s, sample, 2] = real[s, MEMORY]
    else:  # nobody is there to be measured
        metrics[s, sample, 1:3] = math.nan
    metrics[s, sample, 3] = arrived / sample_s
    report_percentiles(loop, s, sample)
    if arrived > 0:
        metrics[s, sample, 7] = min(bad / arrived, 1.0)
    else:
        metrics[s, sample, 7] = 1.0 if bad > 0 else 0.0
    metrics[s, sample, 8] = count[s, WAITING_NOW]
    report_truth(loop, s, sample, arrived / sample_s)
    real[s, BUSY_AREA] = 0.0
    real[s, SLOT_AREA] = 0.0


@inlined
def report_truth(loop: Loop, s: int, sample: int, rate: float) -> None:
    """What really happened in the sample, at `rate` arrivals a second; its counts start anew."""
    count, truth = loop.counts, loop.truth
    for k in range(SLOW + 1):
        truth[s, sample, k] = count[s, k]
        loop.totals[s, k] += count[s, k]
        count[s, k] = 0
    truth[s, sample, SLOW + 1] = count[s, WAITING_NOW]
    truth[s, sample, SLOW + 2] = count[s, BUSY] + count[s, CALLING_NOW]
    truth[s, sample, SLOW + 3] = needed(Services(loop.spec, loop.table), s, rate)


@kernel
def report_percentiles(loop: Loop, s: int, sample: int) -> None:
    """p50, p95 and p99 of the sample (s), and its counts into those of the run.

    They are read as `Buckets.quantiles` does, in the one pass that empties the counts.
    """
    hist, metrics = loop.hist, loop.metrics
    served = loop.counts[s, SERVED]
    for column in range(4, 7):
        metrics[s, sample, column] = math.nan
    if served == 0:
        return
    column = 4
    rank = 0.50 * served
    below = 0
    for octave in range(OCTAVES):
        first = octave * SUB
        within = 0
        for k in range(first, first + SUB):
            within += hist[s, k]
        if within == 0:
            continue
        for k in range(first, first + SUB):
            here = hist[s, k]
            while column < 7 and here > 0 and below + here >= rank:
                low_s, high_s = EDGES_S[max(k - 1, 0)], EDGES_S[min(k, BINS - 2)]
                metrics[s, sample, column] = _between(low_s, high_s, below, below + here, rank)
                column += 1
                rank = (0.95 if column == 5 else 0.99) * served
            below += here
            loop.hist_all[s, k] += here
            hist[s, k] = 0
