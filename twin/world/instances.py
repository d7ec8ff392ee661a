"""What single instances show, as a metrics source has it that measures each of them.

The queues know a service, not its instances: requests are spread evenly over these, and a slow one
holds each of its requests longer.  So the figures of an instance are those of the service, shared
out: the same requests for each, slots kept busy and answers delayed by how much slower it is than
the mean of them, and the chance that so few requests leave.  What is drawn for a sample of an
instance is the same whoever looks, and however often.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from engine.model import FloatArray, InstanceFigures, ServiceSpec
from scenarios.streams import Streams
from twin.queues.port import SimulatedPlatform
from twin.world.fleet import Fleet

DRAWS = 4099
"""Draws in a table from which each sample of an instance takes its own: a prime, so that the same
comes again after many samples only."""
A_SAMPLE, AN_INSTANCE = 61, 1021
CPU, MEMORY, RATE, P50, P95, P99, ERRORS, QUEUE = range(1, 9)
OF_QUANTILE = 2.0
"""Standard deviation of the logarithm of a p95 of one request; that of n is its root-n-th part."""
OF_MEMORY = 0.01


class InstanceTelemetry:
    """The newest sample of each ready instance, of `most` of a service at most."""

    def __init__(
        self,
        specs: Sequence[ServiceSpec],
        fleets: Sequence[Fleet],
        platform: SimulatedPlatform,
        slower: Callable[[int], FloatArray],
        *,
        streams: Streams,
        most: int,
        interval_s: float,
        lag_s: float,
    ) -> None:
        """`slower` says how many times as long each instance of a service (row) takes now."""
        self._specs, self._fleets, self._platform = tuple(specs), tuple(fleets), platform
        self._slower, self._most = slower, most
        self._interval_s, self._lag_s = interval_s, lag_s
        self._draws = streams("instances").standard_normal((DRAWS, 3))
        self._names: list[list[str]] = [[] for _ in specs]

    def now(self, since_start_s: float) -> Mapping[str, InstanceFigures]:
        """The figures as seen `since_start_s` into the run, by service."""
        sample = int((since_start_s - self._lag_s) / self._interval_s) - 1
        if not 0 <= sample < self._platform.samples or not self._most:
            return {}
        return {
            spec.name: self._of(i, sample)
            for i, spec in enumerate(self._specs)
            if self._fleets[i].ready
        }

    def _of(self, service: int, sample: int) -> InstanceFigures:
        spec, whole = self._specs[service], self._platform.metrics[service, sample]
        rows = self._fleets[service].ready_rows()
        slower = self._slower(service)
        slower = slower / slower.mean()
        rows, slower = rows[: self._most], slower[: self._most]
        drawn = self._draws[(sample * A_SAMPLE + rows * AN_INSTANCE + service) % DRAWS]
        share = 1.0 / self._fleets[service].ready
        came = whole[RATE] * share * self._interval_s
        chance = drawn[:, 0] / np.sqrt(max(came, 1.0))
        # So few slots are busy or not by chance, the less so the more requests a sample is of.
        busy = min(whole[CPU], 1.0)
        seen = min(np.sqrt(2.0 * spec.service_s / self._interval_s), 1.0)
        samples = np.empty((len(rows), len(whole)))
        samples[:, 0] = whole[0]
        samples[:, CPU] = np.clip(
            busy * slower + drawn[:, 1] * seen * np.sqrt(busy * (1.0 - busy) / spec.slots), 0.0, 1.0
        )
        samples[:, MEMORY] = np.clip(whole[MEMORY] * (1.0 + OF_MEMORY * drawn[:, 2]), 0.0, 1.0)
        samples[:, RATE] = np.maximum(whole[RATE] * share * (1.0 + chance), 0.0)
        longer = slower * np.exp(
            np.clip(OF_QUANTILE / np.sqrt(max(came, 1.0)), 0.0, 1.0) * drawn[:, 2]
        )
        samples[:, P50 : P99 + 1] = whole[P50 : P99 + 1] * longer[:, None]
        samples[:, ERRORS] = whole[ERRORS]
        samples[:, QUEUE] = whole[QUEUE] * share
        return InstanceFigures(self._named(service, rows), samples)

    def _named(self, service: int, rows: np.ndarray) -> tuple[str, ...]:
        names = self._names[service]
        for row in range(len(names), int(rows.max(initial=-1)) + 1):
            names.append(f"{self._specs[service].name}-{row}")
        return tuple([names[row] for row in rows.tolist()])
