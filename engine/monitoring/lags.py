"""Which service went wrong before which: correlation of their courses at a lag.

A call graph says who waits for whom, as far as anybody has written it down.  What two services
share without calling each other (a disk, a network, a third one that is not watched) shows in their
figures alone: one departs from what was usual, and the other does the same a little later.

The *departure* of a service at a time is the largest of what p95, errors, queue and cpu are above
their own median of before, in spreads of that time.  Two departures are compared at each lag up to
a minute (Pearson's r of the samples that both have); the lag with the largest r says who was first.
The older half of the samples is what is usual, so this speaks of what has begun within the newer
half: of a departure that lasts already it says nothing, and the causes named early stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, ServiceObservation

SAMPLES = 120
"""So many of the newest samples of a service are looked at: ten minutes at 5 s."""
LEAST_SAMPLES = 16
"""With fewer in common nothing is said."""
LONGEST_LAG_S = 60.0
LEAST_DEPARTURE = 6.0
"""Spreads; a service that departs by less goes along with nobody."""
MOST_DEPARTURE = 20.0
"""More says no more: it is when something departs that counts, not how far."""
LEAST_R = 0.7
CLEARLY = 0.02
"""A lag has to correlate by so much better than none."""
MOST_SERVICES = 200
"""The work grows with their square: about 0.1 s for so many."""
MAD = 1.4826
"""A normal distribution's standard deviation over its median absolute deviation."""
SPREADS = {"p95_s": 0.1, "error_rate": 0.005, "queue_depth": 0.1, "cpu": 0.03}
"""The figures that are looked at, and the smallest spread of each: of p95 as a logarithm, of the
queue over all slots."""


class Lead(NamedTuple):
    """One service went wrong before another: how clearly (Pearson's r) and by how many seconds."""

    r: float
    lag_s: float


Leads = Mapping[tuple[int, int], Lead]
"""At (later, earlier), rows of two services; only where something shows who was first."""


def leads(
    services: Sequence[ServiceObservation | None], now_s: float, rows: Sequence[int]
) -> Leads:
    """Compare the services at `rows`, `MOST_SERVICES` of them, at the distance of their samples."""
    compared = {row: service for row in rows[:MOST_SERVICES] if (service := services[row])}
    if len(compared) < 2:
        return {}
    every_s = _spacing_s(list(compared.values()))
    lags = int(LONGEST_LAG_S // every_s)
    if lags < 1:
        return {}
    times = now_s - every_s * np.arange(SAMPLES - 1, -1, -1.0)
    courses = np.array([_departure(service, times, every_s) for service in compared.values()])
    departs = np.nan_to_num(courses, nan=0.0).max(axis=1) >= LEAST_DEPARTURE
    if np.count_nonzero(departs) < 2:
        return {}
    departing = np.array(list(compared))[departs]
    own = courses[departs]
    by_lag = np.array([_correlations(own, lag) for lag in range(lags + 2)])
    best = by_lag.argmax(axis=0)
    r = np.take_along_axis(by_lag, best[None], axis=0)[0]
    # Whoever was first is so at a lag, more clearly than at none and than the other way round.
    # What correlates best at the last lag of all would do so better at one that is not looked at.
    clear = (best > 0) & (best <= lags) & (r >= LEAST_R) & (r >= by_lag[0] + CLEARLY) & (r > r.T)
    return {
        (int(departing[i]), int(departing[j])): Lead(float(r[i, j]), every_s * float(best[i, j]))
        for i, j in np.argwhere(clear).tolist()
    }


def _spacing_s(services: Sequence[ServiceObservation]) -> float:
    """What mostly lies between two samples; longer than any lag where there are none."""
    windows = [service.window["time_s"][-SAMPLES:] for service in services]
    gaps = [np.diff(times) for times in windows if len(times) > 1]
    between = np.concatenate(gaps) if gaps else np.zeros(0)
    between = between[np.isfinite(between) & (between > 0.0)]
    return max(float(np.median(between)), 1.0) if len(between) else 2.0 * LONGEST_LAG_S


def _departure(service: ServiceObservation, times: FloatArray, every_s: float) -> FloatArray:
    """How far the service is from what was usual at each of `times`, NaN where no sample says."""
    window = service.window[-SAMPLES:]
    window = window[np.isfinite(window["time_s"])]
    window = window[np.argsort(window["time_s"], kind="stable")]
    if len(window) < LEAST_SAMPLES:
        return np.full(len(times), np.nan)
    at = np.searchsorted(window["time_s"], times, side="right") - 1
    there = at >= 0
    at = np.maximum(at, 0)
    there &= times - window["time_s"][at] < 2.0 * every_s
    slots = max(service.ready * service.spec.slots, 1)
    departures = []
    for figure, least in SPREADS.items():
        values = window[figure].astype(np.float64)
        values = np.where(np.isfinite(values) & (values >= 0.0), values, np.nan)
        if figure == "p95_s":
            values = np.log(np.maximum(values, 1e-4))
        elif figure == "queue_depth":
            values = values / slots
        values = np.where(there, values[at], np.nan)
        before = values[: len(values) // 2]
        before = before[np.isfinite(before)]
        if len(before) < LEAST_SAMPLES // 2:
            continue
        usual = float(np.median(before))
        spread = max(MAD * float(np.median(np.abs(before - usual))), least)
        departures.append((values - usual) / spread)
    if not departures:
        return np.full(len(times), np.nan)
    bounded: FloatArray = np.clip(np.fmax.reduce(departures), 0.0, MOST_DEPARTURE)
    return bounded


def _correlations(courses: FloatArray, lag: int) -> FloatArray:
    """Pearson's r of each course with each other's `lag` samples before, [later, earlier].

    Over the samples that both have; 0 where these are too few or one of the two does not move.
    """
    later, earlier = courses[:, lag:], courses[:, : courses.shape[1] - lag]
    has_later: NDArray[np.float64] = np.isfinite(later).astype(np.float64)
    has_earlier = np.isfinite(earlier).astype(np.float64)
    later, earlier = np.nan_to_num(later, nan=0.0), np.nan_to_num(earlier, nan=0.0)
    count = has_later @ has_earlier.T
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_later = later @ has_earlier.T / count
        mean_earlier = has_later @ earlier.T / count
        covariance = later @ earlier.T / count - mean_later * mean_earlier
        var_later = later**2 @ has_earlier.T / count - mean_later**2
        var_earlier = has_later @ (earlier**2).T / count - mean_earlier**2
        r = covariance / np.sqrt(var_later * var_earlier)
    moves = (count >= LEAST_SAMPLES) & (var_later > 1e-9) & (var_earlier > 1e-9)
    return np.where(moves, r, 0.0)
