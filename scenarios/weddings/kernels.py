"""The loops over all weddings and all seconds, compiled, each beside its plain reference.

A million weddings with seven phase times each is too much for Python and awkward in NumPy
(scattered additions), so these run in numba.  Each `*_reference` says the same thing in the
plainest way; the tests compare the two.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

IntArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]


class Draws(NamedTuple):
    """What is drawn for the times of n weddings, and the phases around their ceremonies."""

    ceremony_s: IntArray
    """(n,): each booked ceremony, whole seconds from the window's start."""
    offsets_s: IntArray
    """(P + 1,): the phases around it."""
    late_z: NDArray[np.float32]
    """(n,): standard normal scores of the late starts."""
    length_z: NDArray[np.float32]
    """(n, P): of the lengths of the phases."""


class Punctuality(NamedTuple):
    """How far days depart from what was booked."""

    floor_s: float
    """The whole day shifts by floor_s + exp(late_mu + late_sigma z)."""
    late_mu: float
    late_sigma: float
    length_sd_s: float
    """Each phase lasts its booked length plus length_sd_s z,"""
    shortest_share: float
    """but at least so much of it."""


class Events(NamedTuple):
    """Events in order, in progress in [first, last)."""

    first_s: IntArray
    """(n,): whole seconds from the window's start."""
    last_s: IntArray
    counts: NDArray[np.bool_]
    """(n,): whether it takes place."""


class Attendance(NamedTuple):
    """Who is at n weddings, when, and how busy he is."""

    actual_s: IntArray
    """(n, P + 1): where phases begin and end, whole seconds."""
    participants: IntArray
    """(n, R)."""
    happens: NDArray[np.bool_]
    """(n,)."""
    factor: FloatArray
    """(n, S): on the rates at which participants make requests."""


@njit(cache=True)
def phase_times(
    draws: Draws, punctuality: Punctuality, booked_s: IntArray, actual_s: IntArray
) -> None:
    """Fill `booked_s` and `actual_s` (n, P + 1), whole seconds from the window's start."""
    ceremony_s, offsets_s, late_z, length_z = draws
    floor_s, late_mu, late_sigma, length_sd_s, shortest_share = punctuality
    phases = len(offsets_s) - 1
    for i in range(len(ceremony_s)):
        at = ceremony_s[i] + offsets_s[0] + floor_s + math.exp(late_mu + late_sigma * late_z[i])
        booked_s[i, 0] = ceremony_s[i] + offsets_s[0]
        actual_s[i, 0] = math.floor(at)
        for p in range(phases):
            length = float(offsets_s[p + 1] - offsets_s[p])
            at += max(shortest_share * length, length + length_sd_s * length_z[i, p])
            booked_s[i, p + 1] = ceremony_s[i] + offsets_s[p + 1]
            actual_s[i, p + 1] = math.floor(at)


def phase_times_reference(draws: Draws, punctuality: Punctuality) -> tuple[IntArray, IntArray]:
    """`phase_times` with whole columns at once; returns (booked_s, actual_s)."""
    ceremony_s, offsets_s, late_z, length_z = draws
    floor_s, late_mu, late_sigma, length_sd_s, shortest_share = punctuality
    booked = ceremony_s[:, None] + offsets_s[None, :]
    lengths = np.diff(offsets_s).astype(float)
    first = booked[:, 0] + floor_s + np.exp(late_mu + late_sigma * late_z.astype(float))
    actual = np.maximum(shortest_share * lengths, lengths + length_sd_s * length_z.astype(float))
    times = first[:, None] + np.concatenate(
        [np.zeros((len(ceremony_s), 1)), np.cumsum(actual, axis=1)], axis=1
    )
    return booked.astype(np.int32), np.floor(times).astype(np.int32)


@njit(cache=True)
def _climb(total: IntArray, best: IntArray, leaf: int, change: int) -> None:
    """Add `change` at one second and renew the largest running sum up to the root (node 1)."""
    node = leaf
    total[node] += change
    best[node] = total[node]
    node >>= 1
    while node >= 1:
        left = 2 * node
        total[node] += change
        best[node] = max(best[left], total[left] + best[left + 1])
        node >>= 1


@njit(cache=True)
def prefix_reaching(events: Events, duration_s: int, target: int) -> int:
    """Smallest number of leading events with `target` of them in progress at one second.

    Only what is inside the window [0, duration_s) counts.  Returns 0 where all are not enough.

    A segment tree over the seconds keeps the largest running sum of starts minus ends, so adding
    an event costs O(log duration) instead of a pass over the day, and the answer is exact.
    """
    first_s, last_s, counts = events
    size = 1
    while size < duration_s:
        size *= 2
    total = np.zeros(2 * size, dtype=np.int32)
    best = np.zeros(2 * size, dtype=np.int32)
    sure = min(target - 1, len(first_s))  # fewer events than the target cannot reach it
    for i in range(sure):
        start = max(first_s[i], 0)
        end = min(last_s[i], duration_s)
        if counts[i] and start < end:
            total[size + start] += 1
            if end < duration_s:
                total[size + end] -= 1
    for leaf in range(size, 2 * size):
        best[leaf] = total[leaf]
    for node in range(size - 1, 0, -1):
        left = 2 * node
        total[node] = total[left] + total[left + 1]
        best[node] = max(best[left], total[left] + best[left + 1])
    for i in range(sure, len(first_s)):
        start = max(first_s[i], 0)
        end = min(last_s[i], duration_s)
        if counts[i] and start < end:
            if end < duration_s:
                _climb(total, best, size + end, -1)
            _climb(total, best, size + start, 1)
            if best[1] >= target:
                return i + 1
    return 0


def prefix_reaching_reference(events: Events, duration_s: int, target: int) -> int:
    """`prefix_reaching` by adding one event after the other to every second that it covers."""
    first_s, last_s, counts = events
    in_progress = np.zeros(duration_s, dtype=np.int64)
    for i in range(len(first_s)):
        if counts[i]:
            in_progress[max(first_s[i], 0) : max(last_s[i], 0)] += 1
        if in_progress.max() >= target:
            return i + 1
    return 0


@njit(cache=True)
def phase_levels(
    actual_s: IntArray, participants: IntArray, happens: NDArray[np.bool_], duration_s: int
) -> NDArray[np.int64]:
    """Who is in which phase at each second: int64 (P, duration_s, R + 1), last column = events.

    `actual_s` (n, P + 1) whole seconds from the window's start, `participants` (n, R).  Starts and
    ends are marked, then summed up along the time: cost n x P + P x duration_s, and exact, since
    all of it is whole numbers.
    """
    n, phases = actual_s.shape[0], actual_s.shape[1] - 1
    roles = participants.shape[1]
    levels = np.zeros((phases, duration_s, roles + 1), dtype=np.int64)
    for i in range(n):
        if not happens[i]:
            continue
        for p in range(phases):
            start = max(actual_s[i, p], 0)
            end = min(actual_s[i, p + 1], duration_s)
            if start >= end:
                continue
            for r in range(roles):
                levels[p, start, r] += participants[i, r]
            levels[p, start, roles] += 1
            if end < duration_s:
                for r in range(roles):
                    levels[p, end, r] -= participants[i, r]
                levels[p, end, roles] -= 1
    for p in range(phases):
        for t in range(1, duration_s):
            for r in range(roles + 1):
                levels[p, t, r] += levels[p, t - 1, r]
    return levels


def phase_levels_reference(
    actual_s: IntArray, participants: IntArray, happens: NDArray[np.bool_], duration_s: int
) -> NDArray[np.int64]:
    """`phase_levels` as one slice assignment for each wedding and phase."""
    phases, roles = actual_s.shape[1] - 1, participants.shape[1]
    levels = np.zeros((phases, duration_s, roles + 1), dtype=np.int64)
    for i in np.flatnonzero(happens):
        people = np.append(participants[i], 1)
        for p in range(phases):
            levels[p, max(actual_s[i, p], 0) : max(actual_s[i, p + 1], 0)] += people
    return levels


@njit(cache=True)
def add_load(requests: FloatArray, attendance: Attendance, table: FloatArray, bin_s: int) -> None:
    """Add to `requests` (S, bins) what weddings make in each bin of `bin_s` seconds from 0.

    `table` (R, P, S) has requests/s per participant.  A bin gets its part of a phase that it cuts.
    """
    actual_s, participants, happens, factor = attendance
    n, phases = actual_s.shape[0], actual_s.shape[1] - 1
    services, bins = requests.shape
    roles = participants.shape[1]
    rate = np.empty(services)
    for i in range(n):
        if not happens[i]:
            continue
        for p in range(phases):
            start = max(actual_s[i, p], 0)
            end = min(actual_s[i, p + 1], bins * bin_s)
            if start >= end:
                continue
            for s in range(services):
                rate[s] = 0.0
                for r in range(roles):
                    rate[s] += participants[i, r] * table[r, p, s]
                rate[s] *= factor[i, s]
            for b in range(start // bin_s, (end - 1) // bin_s + 1):
                covered = min(end, (b + 1) * bin_s) - max(start, b * bin_s)
                for s in range(services):
                    requests[s, b] += rate[s] * covered


def add_load_reference(
    requests: FloatArray, attendance: Attendance, table: FloatArray, bin_s: int
) -> None:
    """`add_load` second by second."""
    actual_s, participants, happens, factor = attendance
    bins = requests.shape[1]
    for i in np.flatnonzero(happens):
        for p in range(actual_s.shape[1] - 1):
            rate = factor[i] * (participants[i] @ table[:, p, :])
            for second in range(max(actual_s[i, p], 0), min(actual_s[i, p + 1], bins * bin_s)):
                requests[:, second // bin_s] += rate


@njit(cache=True)
def autoregressive(z: FloatArray, persistence: float, sd: float) -> FloatArray:
    """Stationary AR(1) series (n,) with standard deviation `sd` from standard normal scores."""
    series = np.empty(len(z))
    step = sd * math.sqrt(1.0 - persistence * persistence)
    level = 0.0
    for t in range(len(z)):
        level = sd * z[0] if t == 0 else persistence * level + step * z[t]
        series[t] = level
    return series


def autoregressive_reference(z: FloatArray, persistence: float, sd: float) -> FloatArray:
    """`autoregressive` written out as the sum over all earlier shocks."""
    scale = np.full(len(z), sd * math.sqrt(1.0 - persistence**2))
    scale[0] = sd
    lag = np.subtract.outer(np.arange(len(z)), np.arange(len(z)))
    weights = np.where(lag >= 0, persistence ** np.maximum(lag, 0), 0.0)
    return weights @ (scale * z)
