"""How many instances a steady load needs."""

from __future__ import annotations

import math

import numpy as np

from engine.model import FloatArray
from twin.queues.kernels.compiling import allocating, kernel
from twin.queues.kernels.erlang import waiting_probability
from twin.queues.kernels.services import (
    BASE_SLOW,
    MEAN_S,
    SERVICE_S,
    SLO_S,
    SLOTS,
    SLOWDOWN,
    SPREAD,
    IntArray,
    Services,
)
from twin.queues.kernels.survival import Wait, slower

UTILISATION_LIMIT = 0.98


@kernel
def per_instance(services: Services, s: int) -> float:
    """Requests a second that one instance of service `s` can serve."""
    spec = services.spec
    return spec[s, SLOTS] / (spec[s, SERVICE_S] * spec[s, SLOWDOWN])


@kernel
def needed(services: Services, s: int, rate: float) -> int:
    """Smallest instance count that carries `rate` (1/s) steadily within the SLO; 0 for no load.

    Utilisation at most UTILISATION_LIMIT and p95 at most the SLO; where even the bare service time
    breaks the SLO, no count helps and the utilisation alone decides.
    """
    if rate <= 0.0:
        return 0
    low = math.ceil(rate / (UTILISATION_LIMIT * per_instance(services, s)) * (1.0 - 1e-12))
    low = max(low, 1)
    if services.spec[s, BASE_SLOW] > 0.05 or _carries(services, s, low, rate):
        return low
    step = 1
    while not _carries(services, s, low + step, rate):
        low += step
        step *= 2
    high = low + step
    while high - low > 1:
        middle = (low + high) // 2
        if _carries(services, s, middle, rate):
            high = middle
        else:
            low = middle
    return high


@kernel
def _carries(services: Services, s: int, instances: int, rate: float) -> bool:
    """Whether the stationary p95 is within the SLO.

    Mean wait of those who wait: (ca2 + cs2) / 2 * s / (c (1 - rho)), Allen & Cunneen (A. O. Allen,
    "Probability, Statistics, and Queueing Theory", 1990), with Poisson arrivals (ca2 = 1).
    """
    spec = services.spec
    capacity = instances * per_instance(services, s)
    rho = rate / capacity
    wait_p = waiting_probability(instances * spec[s, SLOTS], rho)
    if wait_p <= 0.0:
        return spec[s, BASE_SLOW] <= 0.05
    wait_s = spec[s, SPREAD] / (capacity * (1.0 - rho))
    wait = Wait(wait_p, wait_s, 0.0)
    return slower(services.table[s], spec[s, MEAN_S], spec[s, SLO_S], wait) <= 0.05


@allocating
def needed_curve(spec: FloatArray, table: FloatArray, s: int, rates: FloatArray) -> IntArray:
    """`needed` for each of `rates` (n,), in requests a second."""
    counts = np.empty(rates.size, np.int64)
    for k in range(rates.size):
        counts[k] = needed(Services(spec, table), s, rates[k])
    return counts
