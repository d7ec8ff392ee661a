"""The reference of the event loop: one queue by a recursion instead of events."""

from __future__ import annotations

import numpy as np

from engine.model import FloatArray
from twin.queues.kernels.compiling import allocating


@allocating
def kiefer_wolfowitz(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> FloatArray:
    """Waits (n,) of a FIFO queue by Kiefer & Wolfowitz's recursion: the reference of `run`.

    `free` holds when each server gets free, as a binary heap; the next request takes the earliest.
    """
    free = np.zeros(servers)
    waits = np.empty(arrival_s.size)
    for i in range(arrival_s.size):
        start = max(arrival_s[i], free[0])
        waits[i] = start - arrival_s[i]
        value = start + service_s[i]
        at = 0
        while True:
            child = 2 * at + 1
            if child >= servers:
                break
            if child + 1 < servers and free[child + 1] < free[child]:
                child += 1
            if free[child] >= value:
                break
            free[at] = free[child]
            at = child
        free[at] = value
    return waits
