"""A monitor in front of made windows: what is measured is written down, figure by figure."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest

from engine.model import (
    SAMPLE_DTYPE,
    Call,
    InstanceFigures,
    Outlook,
    ServiceObservation,
    ServiceSpec,
)
from engine.monitoring.findings import Findings
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import MonitorSettings, WatcherConfig
from tests.unit.engine.conftest import NOW_S, make_outlook, make_spec

Figures = Mapping[str, float]
STEP_S = 5.0
DETECTORS = {
    "outlier": WatcherConfig(factory="engine.monitoring.detectors.outlier:Outliers"),
    "seasonal": WatcherConfig(factory="engine.monitoring.detectors.seasonal:SeasonalOutliers"),
    "change": WatcherConfig(factory="engine.monitoring.detectors.change:LevelChanges"),
    "tails": WatcherConfig(factory="engine.monitoring.detectors.tails:TailSums"),
}
API = make_spec("api", calls=(Call("database", 2.0),), user_facing=True)
DATABASE = make_spec("database", service_s=0.05)
QUIET: Figures = {"rate": 500.0, "cpu": 0.5, "memory": 0.5, "p95_s": 0.2}


class Platform:
    """An api and its database, measured every 5 s; `change` says what differs from now on.

    Ten instances each, half busy: api serves 500 requests/s, the database twice as many.
    """

    def __init__(self, monitor: Monitor, outlook: Outlook | None = None) -> None:
        self.monitor = monitor
        self.now_s = NOW_S
        self.outlook = outlook or booked()
        self.figures: dict[str, dict[str, float]] = {
            "api": dict(QUIET), "database": dict(QUIET) | {"rate": 1000.0}
        }  # fmt: skip
        self.ready = {"api": 10, "database": 10}
        self.desired = {"api": 10, "database": 10}
        self.booting = {"api": 0, "database": 0}
        self.dark: set[str] = set()
        self.services: list[ServiceObservation] = []
        """What the monitor was shown last."""
        self._rows: dict[str, list[tuple[float, ...]]] = {"api": [], "database": []}
        self._noise = np.random.default_rng(1)

    def change(self, service: str, **figures: float) -> None:
        self.figures[service] |= figures

    def steps(self, count: int) -> list[Findings]:
        """So many looks, each with a new sample."""
        return [self.step() for _ in range(count)]

    def step(self, instances: Callable[[], Mapping[str, InstanceFigures]] = dict) -> Findings:
        self.now_s += STEP_S
        services = []
        for spec in self.monitor.specs:
            rows = self._rows[spec.name]
            if spec.name not in self.dark:
                rows.append(self._sample(spec.name))
            window = np.array(rows[-120:], dtype=SAMPLE_DTYPE)
            ready, desired = self.ready[spec.name], self.desired[spec.name]
            services.append(
                ServiceObservation(spec, desired, ready, self.booting.get(spec.name, 0), 0, window)
            )
        self.services = services
        return self.monitor.step(services, self.outlook, self.now_s, instances=instances())

    def _sample(self, name: str) -> tuple[float, ...]:
        own = self.figures[name]
        around = 1.0 + 0.01 * self._noise.standard_normal(3)
        p95_s = own["p95_s"] * around[2]
        return (
            self.now_s - 2.0, own["cpu"] * around[0], own["memory"], own["rate"] * around[1],
            p95_s / 2, p95_s, 2 * p95_s, own.get("error_rate", 0.0), own.get("queue", 0.0),
        )  # fmt: skip


def booked(load: Callable[[np.ndarray], np.ndarray] | float = 500.0) -> Outlook:
    """Booked for api, and twice as much for the database; none of the events is a major one."""
    outlook = make_outlook(load, services=("api", "database"), bins=2000)
    outlook.load[1] *= 2.0
    outlook.major_events[:] = 0.0
    return outlook


def make_monitor(specs: tuple[ServiceSpec, ...] = (API, DATABASE), **settings: object) -> Monitor:
    given: dict[str, object] = {"detectors": DETECTORS, "settle_s": 300.0}
    return Monitor(specs, MonitorSettings(**(given | settings)))  # type: ignore[arg-type]


@pytest.fixture
def platform() -> Platform:
    return Platform(make_monitor())


@pytest.fixture
def settled(platform: Platform) -> Platform:
    """After ten minutes in which nothing happened."""
    assert not any(findings.began for findings in platform.steps(120))
    return platform
