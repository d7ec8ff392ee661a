"""One instance that differs from its peers: hot, full, slow, failing, or passed over.

A figure of one instance is of few requests, so one look says nothing: the same instance has to be
odd in the same figure in two samples, one after the other, and farther than chance puts it.  Where
more than a few are odd, or the figures of all scatter, it is not one instance that is wrong, and
others say what is.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.monitoring.findings import FindingKind, Severity, Symptom
from engine.monitoring.peers import PeerComparison, PeerFigures, odd
from engine.monitoring.picture import (
    CPU,
    ERRORS,
    LEAST_BAD,
    MEMORY,
    P95,
    RATE,
    Arrays,
    Picture,
    Watched,
)
from engine.monitoring.settings import PeerSettings

FIGURES = (
    ("cpu", CPU), ("memory", MEMORY), ("p95_s", P95), ("error_rate", ERRORS),
    ("request_rate", RATE),
)  # fmt: skip
COLUMNS = [column for _, column in FIGURES]
SAMPLE_S = 5.0
"""About what a sample is of."""
LEAST_REQUESTS = 20.0
"""Of fewer requests in a sample neither a quantile says much, nor how many came."""
TIMES_SLOW = 2.0
OF_LOG_P95 = 1.45
"""Standard deviation of the logarithm of a measured p95, times the root of the number of requests:
sqrt(q / (1 - q)) / ln(1 / (1 - q)) at q = 0.95 for exponential times, which are the usual spread
(variance of a sample quantile: David and Nagaraja, Order Statistics, 2003, ch. 10)."""
AGAIN = 2
"""So many samples have to say it."""


class OddInstances:
    """Each figure of each instance against the median of its service."""

    def __init__(self, traits: Watched, settings: PeerSettings) -> None:
        self._traits, self._settings = traits, settings
        slow_s = settings.p95_slos * traits.slo_p95_s
        self._least = np.stack(
            np.broadcast_arrays(
                settings.cpu, settings.memory, slow_s, settings.error_rate,
                LEAST_REQUESTS / SAMPLE_S,
            ),
            axis=1,
        )  # fmt: skip
        """(services, figures): what is closer to the others than this is not odd."""

    def begin(self) -> Arrays:
        """Nobody was odd: whose it was (a hash of its name), when, and in how many samples."""
        shape = (len(self._traits.names), len(FIGURES))
        return {"who": np.zeros(shape), "at_s": np.full(shape, np.nan), "times": np.zeros(shape)}

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """Which instances were odd twice."""
        if picture.peers is None:
            return memory, ()
        return self.among(memory, picture.peers, picture.now_s)

    def among(
        self, memory: Arrays, peers: PeerFigures, now_s: float
    ) -> tuple[Arrays, Sequence[Symptom]]:
        """The same of what single instances show alone; the same memory if nothing was odd."""
        to_see = self._suspects(peers) | (memory["times"] > 0.0)
        if not to_see.any():
            return memory, ()
        who, at_s, times = (memory[name].copy() for name in ("who", "at_s", "times"))
        symptoms = []
        for i, k in np.argwhere(to_see).tolist():
            begin, end = peers.own(i)
            names, samples = peers.names[begin:end], peers.samples[begin:end]
            apart = self._apart(i, k, samples)
            far, median = odd(apart, self._settings.spreads)
            chosen = _chosen(far, apart, names, float(who[i, k]), most=self._most(len(names)))
            if chosen is None:
                times[i, k] = 0.0
                continue
            name, sampled_s = _hash(names[chosen]), float(samples[chosen, 0])
            if name != who[i, k]:
                who[i, k], times[i, k] = name, 0.0
            if times[i, k] == 0.0 or sampled_s != at_s[i, k]:
                times[i, k], at_s[i, k] = min(times[i, k] + 1.0, AGAIN), sampled_s
            if times[i, k] >= AGAIN:
                value = float(apart.values[chosen])
                symptoms.append(
                    self._symptom(i, k, now_s, names[chosen], value=value, median=median)
                )
        return {"who": who, "at_s": at_s, "times": times}, symptoms

    def _suspects(self, peers: PeerFigures) -> NDArray[np.bool_]:
        """(services, figures) where the range is so wide that an instance may be odd.

        Nobody is farther from a median than the two ends of the range are from one another.
        """
        own, rows = self._settings, peers.rows
        counts = np.diff(rows)
        suspects = np.zeros((len(counts), len(FIGURES)), np.bool_)
        there, filled = counts >= own.least, counts > 0
        if not there.any():
            return suspects
        values = peers.samples[:, COLUMNS]
        high = np.fmax.reduceat(values, rows[:-1][filled], axis=0)[there[filled]]
        low = np.fmin.reduceat(values, rows[:-1][filled], axis=0)[there[filled]]
        wide = high - low
        apart = wide > self._least[there]
        apart[:, 2] &= high[:, 2] > TIMES_SLOW * low[:, 2]
        apart[:, 4] &= low[:, 4] < own.rate_share * high[:, 4]
        suspects[there] = apart
        return suspects

    def _most(self, instances: int) -> int:
        """How many of so many may be odd by themselves; 0: there are too few to say."""
        own = self._settings
        return 0 if instances < own.least else max(int(own.share * instances), 1)

    def _apart(self, service: int, figure: int, samples: FloatArray) -> PeerComparison:
        """What is compared; NaN where there is too little to compare."""
        values = samples[:, COLUMNS[figure]]
        least = np.full(len(samples), self._least[service, figure])
        came = samples[:, RATE] * SAMPLE_S
        column = COLUMNS[figure]
        by_chance = self._settings.spreads / math.sqrt(AGAIN)  # and so often in a row
        if column == CPU:
            busy = float(np.nanmean(values)) if not np.isnan(values).all() else 0.0
            by = np.maximum(least, by_chance * self._of_cpu(service, busy))
            return PeerComparison(values, by)
        if column == P95:
            values = np.where(came >= LEAST_REQUESTS, values, np.nan)
            of_log = OF_LOG_P95 / np.sqrt(np.maximum(came, LEAST_REQUESTS))
            times = np.maximum(TIMES_SLOW, np.exp(by_chance * of_log))
            return PeerComparison(values, least, times)
        if column == ERRORS:
            return PeerComparison(values, np.where(came * values >= LEAST_BAD, least, np.inf))
        if column == RATE:
            return PeerComparison(values, least, 1.0 / self._settings.rate_share, above=False)
        return PeerComparison(values, least)

    def _of_cpu(self, service: int, busy: float) -> float:
        """The standard deviation that chance gives the cpu of one sample where it is `busy`.

        So many requests begin in a sample as a Poisson distribution says, and each takes its time:
        the variance of what they take together is their mean number times the mean square of it.
        """
        traits = self._traits
        mean_s, scv = float(traits.service_s[service]), float(traits.service_scv[service])
        slots = float(traits.slots[service])
        return math.sqrt(max(busy, 0.0) * mean_s * (1.0 + scv) / (slots * SAMPLE_S))

    def _symptom(
        self, i: int, k: int, now_s: float, instance: str, *, value: float, median: float
    ) -> Symptom:
        figure, _ = FIGURES[k]
        return Symptom(
            service=self._traits.names[i],
            kind=FindingKind.INSTANCE_DIFFERS,
            severity=Severity.WARNING,
            watcher="instances",
            figure=figure,
            value=value,
            since_s=now_s - self._settings.every_s,
            confidence=0.85,
            limit=median,
            words=f"{figure} of {instance} is {value:.3g}, that of its peers {median:.3g}",
        )


def _chosen(
    far: NDArray[np.bool_], apart: PeerComparison, names: Sequence[str], before: float, *, most: int
) -> int | None:
    """The odd instance: the one that was it before, or the farthest; None: not just a few are."""
    rows = np.flatnonzero(far).tolist()
    if not 0 < len(rows) <= most:
        return None
    for row in rows:
        if _hash(names[row]) == before:
            return int(row)
    values = apart.values[rows]
    return int(rows[int(values.argmax() if apart.above else values.argmin())])


def _hash(name: str) -> float:
    """A name as a number that a memory of arrays can hold, never 0."""
    return float(zlib.crc32(name.encode()) + 1)
