"""What the monitor remembers, as the store gives it back; what is taken can be kept again."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from engine.model import SAMPLE_DTYPE, Outlook, ServiceObservation
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import MonitorSettings
from tools.fuzz.scratch import NOW_S, SPECS
from tools.fuzz.target import FuzzTarget


def _looked() -> str:
    monitor = Monitor(SPECS, MonitorSettings(enabled=True))
    for k in range(30):
        now_s = NOW_S + 5.0 * k
        window = np.zeros(12, SAMPLE_DTYPE)
        window["time_s"] = now_s - 5.0 * np.arange(11, -1, -1)
        window["cpu"], window["request_rate"], window["p95_s"] = 0.5 + 0.4 * (k > 20), 90.0, 0.2
        load = np.full((2, 600), 5.0)
        none = np.zeros(600)
        outlook = Outlook(
            now_s, NOW_S - 3600.0, 60.0, {"api": 0, "database": 1}, load, 0.0 * load, none, none,
            0.05,
        )  # fmt: skip
        seen = [ServiceObservation(spec, 3, 3, 0, 0, window) for spec in SPECS]
        monitor.step(seen, outlook, now_s)
    return monitor.snapshot()


class LostMemoryError(Exception):
    """A memory that was taken and cannot be kept."""


def _read() -> Callable[[bytes], object]:
    monitor = Monitor(SPECS, MonitorSettings(enabled=True))

    def read(given: bytes) -> object:
        monitor.restore(given.decode("utf-8"))
        try:
            return monitor.snapshot()
        except ValueError as error:
            raise LostMemoryError(str(error)) from error

    return read


TARGET = FuzzTarget("monitor_memory", (_looked().encode(),), _read, (ValueError,))
