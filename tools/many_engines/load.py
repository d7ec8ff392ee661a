"""Samples and bookings of a fault run: each service is busy for a while, and then idle.

So the engines have something to do all the time, and what they do depends on nothing but the clock.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence

import numpy as np

from engine.model import SAMPLE_DTYPE, Outlook, ServiceSpec
from engine.ports.metrics import Reading

WINDOW_S = 120.0
PERIOD_S = 60.0


class WaveMetrics:
    """`engine.ports.metrics.MetricsSource`: busy for half of each minute, each at its own time."""

    def __init__(self, specs: Sequence[ServiceSpec], sample_s: float) -> None:
        self._sample_s = sample_s
        self._offset_s = {
            spec.name: hashlib.sha256(spec.name.encode()).digest()[0] / 256.0 * PERIOD_S
            for spec in specs
        }

    async def read(self, now_s: float) -> Reading:
        """The samples of the last two minutes."""
        count = int(WINDOW_S / self._sample_s)
        newest = math.floor(now_s / self._sample_s) * self._sample_s
        times_s = newest - self._sample_s * np.arange(count)[::-1]
        windows = {}
        for name, offset_s in self._offset_s.items():
            busy = np.mod(times_s + offset_s, PERIOD_S) < PERIOD_S / 2.0
            window = np.zeros(count, dtype=SAMPLE_DTYPE)
            window["time_s"] = times_s
            window["cpu"] = np.where(busy, 0.92, 0.15)
            window["memory"] = 0.3
            window["request_rate"] = np.where(busy, 60.0, 10.0)
            window["p50_s"], window["p95_s"], window["p99_s"] = 0.05, 0.1, 0.2
            windows[name] = window
        return Reading(windows)

    async def totals(self, begin_s: float, end_s: float) -> Mapping[str, Mapping[str, float]]:
        """Nothing is known of the whole run."""
        del begin_s, end_s
        return {}

    async def first_served(self, begin_s: float, end_s: float) -> Mapping[str, Sequence[float]]:
        """Nor this."""
        del begin_s, end_s
        return {}

    async def close(self) -> None:
        """Nothing is held."""


class EmptyBookings:
    """`engine.ports.bookings.Bookings`: nothing is booked, for days."""

    def __init__(self, specs: Sequence[ServiceSpec], begun_s: float) -> None:
        bins = 3 * 24 * 12
        none = np.zeros((len(specs), bins))
        self._outlook = Outlook(
            begun_s, begun_s - 86_400.0, 300.0, {spec.name: k for k, spec in enumerate(specs)},
            none, none, np.zeros(bins), np.zeros(bins), 0.2,
        )  # fmt: skip

    async def outlook(self, now_s: float) -> Outlook:
        """The same each time."""
        del now_s
        return self._outlook

    async def close(self) -> None:
        """Nothing is held."""


def metrics(specs: Sequence[ServiceSpec], sample_s: float) -> WaveMetrics:
    """The samples."""
    return WaveMetrics(specs, sample_s)


def bookings(specs: Sequence[ServiceSpec], begun_s: float) -> EmptyBookings:
    """The bookings."""
    return EmptyBookings(specs, begun_s)
