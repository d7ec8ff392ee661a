"""`Autoscaler.step` alone: its cost for each service, from 5 to 5,000 services.

Prints microseconds a service and cycle, the ratio to the smallest count (a linear engine keeps that
near 1), and how many times that is with a learned blend in each forecast.

    python benchmarks/engine_step.py
"""

from __future__ import annotations

import argparse
import time
from statistics import median

if __name__ == "__main__":  # before the imports that take their time
    argparse.ArgumentParser(description=__doc__.split("\n\n")[0]).parse_args()

import numpy as np

from engine import Autoscaler
from engine.forecast.blend import Blend, ServiceBlend
from engine.forecast.schedule import HORIZONS_S
from engine.model import (
    SAMPLE_DTYPE,
    BootTime,
    Observation,
    Outlook,
    ServiceObservation,
    ServiceSpec,
)

CYCLES = 40


def observation(services: int, now_s: float) -> Observation:
    """A steady moment of a platform of so many services."""
    bins = 600
    names = [f"service-{i}" for i in range(services)]
    load = 1000.0 + 500.0 * np.sin(np.arange(bins) / 60.0)[None, :] * np.ones((services, 1))
    outlook = Outlook(
        issued_s=0.0,
        start_s=0.0,
        bin_s=60.0,
        services={name: i for i, name in enumerate(names)},
        load=load,
        major_load=0.1 * load,
        events=np.full(bins, 1e5),
        major_events=np.full(bins, 1e3),
        sigma=0.1,
    )
    rate = float(np.interp(now_s / 60.0, np.arange(bins), load[0]))
    window = np.zeros(60, SAMPLE_DTYPE)
    window["time_s"] = now_s - 5.0 * np.arange(60)[::-1] - 3.0
    window["cpu"], window["memory"], window["request_rate"] = 0.6, 0.5, rate
    window["p50_s"], window["p95_s"], window["p99_s"] = 0.04, 0.1, 0.2
    boot = BootTime(60.0, 120.0)
    return Observation(
        now_s,
        tuple(
            ServiceObservation(
                ServiceSpec(name, 3, 10_000, 16, 0.04, 1.5, boot, 10.0, 0.5, 0.1),
                desired=5,
                ready=5,
                booting=0,
                draining=0,
                window=window,
            )
            for name in names
        ),
        outlook,
    )


def learned(services: int) -> Blend:
    """A blend for each service, each with figures of its own."""
    return Blend(
        {
            f"service-{i}": ServiceBlend(
                HORIZONS_S, ((0.9 - 1e-5 * i, 0.3, 0.0),) * len(HORIZONS_S), (0.05,) * 4
            )
            for i in range(services)
        }
    )


def cost_us(services: int, blend: Blend | None = None) -> float:
    """Median microseconds of a full cycle, for each service."""
    engine = Autoscaler(blend=blend)
    times = []
    for cycle in range(CYCLES if services < 1000 else 10):
        seen = observation(services, 7200.0 + 15.0 * cycle)
        began = time.perf_counter()
        engine.step(seen)
        times.append(time.perf_counter() - began)
    return 1e6 * median(times) / services


def main() -> None:
    """Print the table."""
    first = cost_us(5)
    print("services  us/service/cycle  ratio to 5  learned, times")
    for services in (5, 50, 500, 5000):
        cost = cost_us(services)
        more = cost_us(services, learned(services)) / cost
        print(f"{services:8d}  {cost:16.1f}  {cost / first:10.2f}  {more:14.2f}")


if __name__ == "__main__":
    main()
