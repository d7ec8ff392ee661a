"""Weeks of metrics of a platform: every request simulated, under the rules of an HPA.

What is true is known, so what an import makes of the metrics can be held against it.  The requests
are followed one by one (`resolution=request`), which is not how the twin that is checked has them
(`fluid`); what comes out is what exporters show: counters, a histogram of a dozen buckets, counts.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests import composition
from twin.config import parse
from twin.queues.kernels.requests.layout import BUCKETS
from twin.world.world import World

DAY_S = 86_400
SCRAPE_S = 120
SAMPLE_S = 30
"""How often the HPA looks; nobody else does."""
EDGES_S = (
    0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0,
    5.0, 10.0,
)  # fmt: skip
SERVICES: Mapping[str, Mapping[str, Any]] = {
    "api": {
        "slots": 4, "service_s": 0.18, "service_scv": 1.2, "boot": {"median_s": 40, "p95_s": 70},
        "price_per_hour": 0.024, "slo_p95_s": 1.0, "min_instances": 2, "max_instances": 40,
        "calls": {"search": {"per_request": 0.6}},
    },
    "search": {
        "slots": 2, "service_s": 0.06, "service_scv": 0.6, "boot": {"median_s": 25, "p95_s": 40},
        "price_per_hour": 0.012, "slo_p95_s": 0.3, "min_instances": 1, "max_instances": 20,
        "user_facing": False,
    },
}  # fmt: skip
REQUESTS = {"api": 0.5, "search": 0.25}
"""Cores that a pod asks for, and takes with all its slots busy."""
TARGET = 60
PODS = {"api": "api-7d9f8b6c5d-xk2p9", "search": "search-5c6d7e8f9b-q4w5r"}


@dataclass(frozen=True, slots=True)
class PastWeeks:
    """The lines of an exposition with times, and what was true: cost by day (USD)."""

    lines: list[str]
    cost_usd: list[float]


def load(start_s: float, days: int, seed: int = 5) -> np.ndarray:
    """Requests/s at the api in each minute: a curve by day, lower at the week's end, and noise."""
    minute = np.arange(days * 1440)
    hours = minute / 60.0 % 24.0
    weekday = (np.floor((start_s + 60.0 * minute) / DAY_S) + 3) % 7  # 1970 began on a Thursday
    shape = 1.0 + 0.75 * np.sin((hours - 8.0) / 24.0 * 2.0 * np.pi)
    rng = np.random.default_rng(seed)
    slow = np.repeat(rng.lognormal(0.0, 0.06, -(-len(minute) // 30)), 30)[: len(minute)]
    return np.asarray(45.0 * shape * np.where(weekday >= 5, 0.6, 1.0) * slow)


def weeks(start_s: float, days: int, folder: Path, namespace: str = "shop") -> PastWeeks:
    """All of it, from `start_s` (a midnight, UTC) on; works in `folder`."""
    rates = load(start_s - DAY_S, days + 1)
    path = folder / "true_load.csv"
    times = start_s - DAY_S + 60.0 * np.arange(len(rates))
    rows = [f"{t:.0f},{r:.4f}" for t, r in zip(times, rates, strict=True)]
    path.write_text("\n".join(["time,load", *rows]) + "\n")
    lines: list[str] = list(_boots(start_s, days, namespace))
    totals = _Totals()
    cost = []
    for day in range(days):
        world = _world(path, start_s + day * DAY_S, day)
        lines += _day(world, totals, namespace)
        cost.append(sum(
            fleet.instance_seconds(world.now_s) / 3600.0 * fleet.spec.price_per_hour
            for fleet in world.fleets.values()
        ))  # fmt: skip
    return PastWeeks(lines, cost)


def _world(path: Path, start_s: float, day: int) -> World:
    raw = composition.settings("controller=hpa")
    raw |= {
        "resolution": "request",
        "seed": 100 + day,
        "telemetry": raw["telemetry"] | {"interval_s": SAMPLE_S},
        "engine": raw["engine"] | {"sample_s": SAMPLE_S, "cycle_s": SAMPLE_S},
        "platform": {"name": "true", "zones": ["a", "b", "c"], "services": dict(SERVICES)},
        "trace": {
            "path": str(path), "time_format": "s", "date": f"{_date(start_s)}", "scale": 1.0,
            "mix": {"api": 1.0},
        },
    }  # fmt: skip
    raw["controller"]["options"] |= {
        "target_cpu": TARGET, "behavior": {"scaleDown": {"stabilizationWindowSeconds": 120}},
    }  # fmt: skip
    return World(parse(raw))


class _Totals:
    """What counters stand at."""

    def __init__(self) -> None:
        self.counts = {name: np.zeros(len(EDGES_S) + 1) for name in SERVICES}
        self.seconds = dict.fromkeys(SERVICES, 0.0)
        self.cores = dict.fromkeys(SERVICES, 0.0)
        self.calls = 0.0


def _day(world: World, totals: _Totals, namespace: str) -> Iterator[str]:
    world.env.process(world.shell.run())
    middles = 0.5 * (BUCKETS.edges_s[1:] + BUCKETS.edges_s[:-1])
    into = np.searchsorted(EDGES_S, middles)
    before = {name: np.zeros(len(middles)) for name in SERVICES}
    sample_s = world.config.telemetry.interval_s
    for until_s in range(SCRAPE_S, world.duration_s + 1, SCRAPE_S):
        world.env.run(until=until_s + 1e-6)
        world.finish()
        stamp = int(1000.0 * (world.start_s + until_s))
        some = slice((until_s - SCRAPE_S) // sample_s, until_s // sample_s)
        for i, (name, spec) in enumerate(SERVICES.items()):
            histogram = world.platform.histogram(i)[: len(middles)]  # type: ignore[attr-defined]
            new, before[name] = histogram - before[name], histogram
            totals.counts[name] += np.bincount(into, new, len(EDGES_S) + 1)
            totals.seconds[name] += float(new @ middles)
            busy = np.nan_to_num(world.platform.metrics[i, some, 1])
            counts = world.recorder.counts[i, some]
            used = busy * counts[:, 1] * REQUESTS[name] * sample_s
            totals.cores[name] += float(used.sum())
            if name == "search":
                totals.calls += float(new.sum())
            yield from _scrape(name, spec, totals, counts[-1], namespace=namespace, stamp=stamp)


def _scrape(
    name: str, _spec: Mapping[str, Any], totals: _Totals, counts: np.ndarray, *, namespace: str,
    stamp: int,
) -> Iterator[str]:  # fmt: skip
    where = f'namespace="{namespace}",pod="{PODS[name]}"'
    cumulated = np.cumsum(totals.counts[name])
    for edge, count in zip((*map(str, EDGES_S), "+Inf"), cumulated, strict=True):
        yield f'http_request_duration_seconds_bucket{{{where},le="{edge}"}} {count:.0f} {stamp}'
    yield f"http_request_duration_seconds_count{{{where}}} {cumulated[-1]:.0f} {stamp}"
    yield f"http_request_duration_seconds_sum{{{where}}} {totals.seconds[name]:.3f} {stamp}"
    cpu = f'container_cpu_usage_seconds_total{{{where},container="app"}}'
    yield f"{cpu} {totals.cores[name]:.4f} {stamp}"
    deployment = f'namespace="{namespace}",deployment="{name}"'
    yield f"kube_deployment_status_replicas_ready{{{deployment}}} {counts[1]} {stamp}"
    yield f"kube_deployment_status_replicas{{{deployment}}} {counts[1] + counts[2]} {stamp}"
    if name == "search":
        mesh = f'source_workload="api",destination_workload="search",reporter="destination",\
source_workload_namespace="{namespace}",destination_workload_namespace="{namespace}"'
        yield f"istio_requests_total{{{mesh}}} {totals.calls:.0f} {stamp}"


def _boots(start_s: float, days: int, namespace: str) -> Iterator[str]:
    """Pods that were made now and then, with when they were ready; an eighth of an hour of each."""
    rng = np.random.default_rng(11)
    for name, spec in SERVICES.items():
        median, tail = spec["boot"]["median_s"], spec["boot"]["p95_s"]
        sigma = np.log(tail / median) / 1.6449
        for number in range(60):
            made_s = start_s + 30_000.0 + number * (days * DAY_S - 60_000.0) / 60.0
            ready_s = made_s + float(rng.lognormal(np.log(median), sigma))
            pod = f'namespace="{namespace}",pod="{PODS[name][:-5]}b{number:04d}"'
            for stamp_s in range(int(ready_s) + 30, int(ready_s) + 480, SCRAPE_S):
                yield f"kube_pod_created{{{pod}}} {made_s:.0f} {1000 * stamp_s}"
                yield f"kube_pod_status_ready_time{{{pod}}} {ready_s:.0f} {1000 * stamp_s}"


def _date(start_s: float) -> dt.date:
    return dt.datetime.fromtimestamp(start_s, dt.UTC).date()
