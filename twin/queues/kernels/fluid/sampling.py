"""The figures of a sample, and the response times of a run."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from engine.model import FloatArray
from twin.queues.kernels.compiling import entry, kernel, part
from twin.queues.kernels.fluid.layout import (
    AMOUNT,
    ARRIVED,
    BUSY,
    COUNTS,
    D_LN_SHIFT,
    EARLIER,
    FAILED,
    LN_SHIFT0,
    MEMORY,
    PART_SHIFT_S,
    PART_WAIT_P,
    PART_WAIT_S,
    PARTS,
    QUEUED,
    READY,
    SHED,
    SHIFTS,
    STOCHASTIC_QUEUE,
    TIMED_OUT,
    Fluid,
)
from twin.queues.kernels.memory import memory_used
from twin.queues.kernels.services import BASE_P50, BASE_P95, BASE_P99, MEAN_S, Services
from twin.queues.kernels.staffing import needed
from twin.queues.kernels.survival import (
    D_LN_X,
    LN_X0,
    W_ROWS,
    X_POINTS,
    Between,
    Wait,
    slower,
    survival,
)


class Responses(NamedTuple):
    """The response times of one service in one sample: a mixture of kinds of waits."""

    parts: FloatArray
    """(PARTS, 4)."""
    table: FloatArray
    """(W_ROWS, X_POINTS)."""
    mean_s: float
    """Of the bare response."""


@kernel
def report(fluid: Fluid, s: int, sample: int, sample_s: int) -> None:
    """Write the sample that ends now and start the next one."""
    state, metrics, parts = fluid.state, fluid.metrics, fluid.parts
    arrived = state[s, ARRIVED]
    utilisation = state[s, BUSY] / sample_s
    state[s, MEMORY] = memory_used(state[s, MEMORY], utilisation, sample_s)
    bad = state[s, FAILED] + state[s, SHED] + state[s, TIMED_OUT]
    if state[s, READY] > 0.0:
        metrics[s, sample, 1] = utilisation
        metrics[s, sample, 2] = state[s, MEMORY]
    else:  # nobody is there to be measured
        metrics[s, sample, 1:3] = np.nan
    metrics[s, sample, 3] = arrived / sample_s
    report_percentiles(fluid, s, sample)
    if arrived > 0.0:
        metrics[s, sample, 7] = min(bad / arrived, 1.0)
    else:
        metrics[s, sample, 7] = 1.0 if bad > 0.0 else 0.0
    metrics[s, sample, 8] = state[s, QUEUED] + state[s, STOCHASTIC_QUEUE]
    report_truth(fluid, s, sample, arrived / sample_s)
    state[s, BUSY] = 0.0
    for k in range(PARTS):
        if k > 0 and parts[s, k, AMOUNT] <= 0.0:
            break
        parts[s, k, :] = 0.0


@part
def report_percentiles(fluid: Fluid, s: int, sample: int) -> None:
    """p50, p95 and p99 of the response times (s) of those served within the sample; else NaN."""
    spec, metrics, parts = fluid.spec, fluid.metrics, fluid.parts
    if parts[s, 1, AMOUNT] > 0.0:
        responses = Responses(parts[s], fluid.table[s], spec[s, MEAN_S])
        p50_s = quantile(responses, 0.50, spec[s, BASE_P50])
        p95_s = quantile(responses, 0.95, max(spec[s, BASE_P95], p50_s))
        p99_s = quantile(responses, 0.99, max(spec[s, BASE_P99], p95_s))
        metrics[s, sample, 4] = p50_s
        metrics[s, sample, 5] = p95_s
        metrics[s, sample, 6] = p99_s
    elif parts[s, 0, AMOUNT] > 0.0:
        metrics[s, sample, 4] = spec[s, BASE_P50]
        metrics[s, sample, 5] = spec[s, BASE_P95]
        metrics[s, sample, 6] = spec[s, BASE_P99]
    else:
        metrics[s, sample, 4:7] = np.nan


@part
def report_truth(fluid: Fluid, s: int, sample: int, rate: float) -> None:
    """What really happened in the sample, at `rate` arrivals a second; its counts start anew."""
    state, truth = fluid.state, fluid.truth
    in_flight = 0.0
    for level in range(fluid.in_service.shape[1]):
        in_flight += fluid.in_service[s, level]
    for k in range(COUNTS):
        truth[s, sample, k] = state[s, k]
        state[s, EARLIER + k] += state[s, k]
        state[s, k] = 0.0
    truth[s, sample, COUNTS] = state[s, QUEUED]
    truth[s, sample, COUNTS + 1] = in_flight
    truth[s, sample, COUNTS + 2] = needed(Services(fluid.spec, fluid.table), s, rate)


@kernel
def quantile(responses: Responses, share: float, least_s: float) -> float:
    """Response time below which `share` of the sample's responses lie, at least `least_s`."""
    total = 0.0
    for k in range(PARTS):
        total += responses.parts[k, AMOUNT]
    low = math.log(least_s)
    high = LN_X0 + (X_POINTS - 1) * D_LN_X
    low_share = high_share = 0.0
    while high - low > 0.01:
        middle = 0.5 * (low + high)
        above = share_above(responses, math.exp(middle), total)
        if above > 1.0 - share:
            low = middle
            low_share = above
        else:
            high = middle
            high_share = above
    if low_share <= high_share:
        return math.exp(low)
    return math.exp(low + (high - low) * (low_share - (1.0 - share)) / (low_share - high_share))


@kernel
def share_above(responses: Responses, x_s: float, total: float) -> float:
    """Share of the sample's `total` responses above `x_s`."""
    parts, table, mean_s = responses
    amount = 0.0
    if parts[0, AMOUNT] > 0.0:
        amount += parts[0, AMOUNT] * survival(table, Between(0, 0.0), x_s)
    for k in range(1, PARTS):
        if parts[k, AMOUNT] <= 0.0:
            break
        wait = Wait(parts[k, PART_WAIT_P], parts[k, PART_WAIT_S], parts[k, PART_SHIFT_S])
        amount += parts[k, AMOUNT] * slower(table, mean_s, x_s, wait)
    return amount / total


@entry
def fold(waits: FloatArray, table: FloatArray, edges_s: FloatArray, histogram: FloatArray) -> None:
    """Turn a service's record of waits into counts per response-time bin, added to `histogram`.

    `waits` (W_ROWS, SHIFTS), `table` (W_ROWS, X_POINTS), `edges_s` (E), `histogram` (E + 1): below
    the first edge, between edges, above the last.
    """
    for point in range(SHIFTS):
        shift_s = math.exp(LN_SHIFT0 + (point - 1) * D_LN_SHIFT) if point > 0 else 0.0
        for row in range(W_ROWS):
            amount = waits[row, point]
            if amount <= 0.0:
                continue
            before = 1.0
            for edge in range(edges_s.size):
                share = survival(table, Between(row, 0.0), edges_s[edge] - shift_s)
                histogram[edge] += amount * (before - share)
                before = share
            histogram[edges_s.size] += amount * before
