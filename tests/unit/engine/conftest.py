"""A small platform to put in front of the engine, one literal at a time."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from engine.model import (
    SAMPLE_DTYPE,
    BootTime,
    Call,
    Observation,
    Outlook,
    ServiceObservation,
    ServiceSpec,
)

NOW_S = 1_000_000.0


def make_spec(name: str = "api", **changes: object) -> ServiceSpec:
    """A service whose instance serves 100 requests a second."""
    figures: dict[str, object] = {
        "name": name,
        "min_instances": 2,
        "max_instances": 1000,
        "slots": 10,
        "service_s": 0.1,
        "service_scv": 1.0,
        "boot": BootTime(60.0, 120.0),
        "warmup_s": 10.0,
        "slo_p95_s": 0.5,
        "price_per_hour": 0.1,
        "user_facing": False,
    }
    return ServiceSpec(**(figures | changes))  # type: ignore[arg-type]


def make_window(
    now_s: float = NOW_S,
    *,
    rate: float = 500.0,
    p95_s: float = 0.2,
    queue: float = 0.0,
    age_s: float = 3.0,
    samples: int = 12,
    **figures: float,
) -> np.ndarray:
    """Steady samples, 5 s apart, the newest `age_s` old; `figures`: cpu, memory, error_rate."""
    assert figures.keys() <= {"cpu", "memory", "error_rate"}
    window = np.zeros(samples, SAMPLE_DTYPE)
    window["time_s"] = now_s - age_s - 5.0 * np.arange(samples)[::-1]
    window["cpu"], window["memory"] = figures.get("cpu", 0.5), figures.get("memory", 0.5)
    window["request_rate"] = rate
    window["p50_s"], window["p95_s"], window["p99_s"] = p95_s / 2, p95_s, 2 * p95_s
    window["error_rate"], window["queue_depth"] = figures.get("error_rate", 0.0), queue
    return window


def make_outlook(
    load: Callable[[np.ndarray], np.ndarray] | float = 500.0,
    *,
    services: tuple[str, ...] = ("api",),
    major: float = 0.0,
    sigma: float = 0.05,
    start_s: float = NOW_S - 3600.0,
    bins: int = 600,
) -> Outlook:
    """The same booked load for every service; `load` may be a function of seconds from now."""
    ahead_s = start_s + 60.0 * (np.arange(bins) + 0.5) - NOW_S
    curve = load(ahead_s) if callable(load) else np.full(bins, float(load))
    rows = np.tile(curve, (len(services), 1))
    return Outlook(
        issued_s=start_s,
        start_s=start_s,
        bin_s=60.0,
        services={name: i for i, name in enumerate(services)},
        load=rows,
        major_load=major * rows,
        events=np.full(bins, 1200.0),
        major_events=np.full(bins, 60.0),
        sigma=sigma,
    )


def make_service(spec: ServiceSpec | None = None, **changes: object) -> ServiceObservation:
    """A service with ten ready instances and a steady window."""
    spec = spec or make_spec()
    desired = changes.pop("desired", 10)
    figures: dict[str, object] = {
        "spec": spec,
        "desired": desired,
        "ready": changes.pop("ready", desired),
        "booting": 0,
        "draining": 0,
        "window": make_window(),
    }
    return ServiceObservation(**(figures | changes))  # type: ignore[arg-type]


def observe(*services: ServiceObservation, now_s: float = NOW_S, **changes: object) -> Observation:
    """An observation of these services, of a standard one if none is given."""
    services = services or (make_service(),)
    names = tuple(service.spec.name for service in services)
    figures: dict[str, object] = {
        "now_s": now_s,
        "services": services,
        "outlook": make_outlook(services=names),
    }
    return Observation(**(figures | changes))  # type: ignore[arg-type]


@pytest.fixture
def caller_and_callee() -> tuple[ServiceSpec, ServiceSpec]:
    """An api that makes two database calls a request."""
    return make_spec("api", calls=(Call("database", 2.0),)), make_spec("database")
