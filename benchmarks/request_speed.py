"""How fast single requests are simulated: against SimPy and Ciw, in the call graph, in cells.

Machines differ and are shared, so what counts are the ratios within this one run.

    python benchmarks/request_speed.py
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable, Iterator
from functools import partial

if __name__ == "__main__":  # before the imports that take their time
    argparse.ArgumentParser(description=__doc__.split("\n\n")[0]).parse_args()

import ciw
import simpy
from fidelity import PATIENT, SERVICE_S, poisson, spec
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from scenarios.streams import Streams
from twin.config import parse
from twin.hunt import campaign
from twin.queues.hybrid import HybridPlatform, Share
from twin.queues.requests import RequestPlatform
from twin.world.world import World, load_kernels

RHO = 0.8
BEST_OF = 3


def best(measure: Callable[[], float]) -> float:
    """The best of a few measurements: other users of the machine only make it slower."""
    return max(measure() for _ in range(BEST_OF))


def one_service(servers: int, requests: float = 1e7) -> float:
    """Requests a second through one queue at ρ = 0.8, on one core."""
    rate = RHO * servers / SERVICE_S
    seconds = max(int(requests / rate) // 5 * 5, 5)
    rng = Streams(servers).quick("requests")
    platform = RequestPlatform([spec(1.0)], poisson(rate, seconds, 1), PATIENT, rng)
    platform.set_ready(0, servers)
    began = time.perf_counter()
    platform.advance(seconds)
    return platform.started(0) / (time.perf_counter() - began)


def simpy_textbook(servers: int, requests: int) -> float:
    """Requests a second of the model that SimPy's documentation teaches, on M/M/c at ρ = 0.8."""
    draw, rate = random.Random(1), RHO * servers / SERVICE_S
    env = simpy.Environment()
    resource = simpy.Resource(env, servers)
    waits: list[float] = []

    def request() -> Iterator[simpy.Event]:
        arrived = env.now
        with resource.request() as slot:
            yield slot
            waits.append(env.now - arrived)
            yield env.timeout(draw.expovariate(1.0 / SERVICE_S))

    def source() -> Iterator[simpy.Event]:
        for _ in range(requests):
            yield env.timeout(draw.expovariate(rate))
            env.process(request())

    env.process(source())
    began = time.perf_counter()
    env.run()
    return len(waits) / (time.perf_counter() - began)


def ciw_textbook(servers: int, requests: int) -> float:
    """Requests a second of Ciw on M/M/c at ρ = 0.8."""
    rate = RHO * servers / SERVICE_S
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(rate)],
        service_distributions=[ciw.dists.Exponential(1.0 / SERVICE_S)],
        number_of_servers=[servers],
    )
    ciw.seed(1)
    simulation = ciw.Simulation(network)
    began = time.perf_counter()
    simulation.simulate_until_max_time(requests / rate)
    wall_s = time.perf_counter() - began
    return len(simulation.get_all_records()) / wall_s


def world(*overrides: str) -> World:
    """A run of june_peak with `overrides`."""
    with initialize_config_module("conf", version_base="1.3"):
        raw = OmegaConf.to_container(compose("twin", list(overrides)), resolve=True)
    assert isinstance(raw, dict)
    config = parse({str(key): value for key, value in raw.items()})
    load_kernels(config)
    return World(config)


def call_graph() -> float:
    """Requests a second, calls between services counted, with the engine in the loop."""
    run = world(
        "resolution=request", "population.simultaneous=5000", "population.duration_s=3600",
        'population.start_utc="20:00"',
    )  # fmt: skip
    began = time.perf_counter()
    run.run()
    wall_s = time.perf_counter() - began
    return float(run.platform.totals()[:, 0].sum()) / wall_s


def cells(threads: int) -> float:
    """Requests a second of four cells in so many threads."""
    specs, seconds = [spec(1.0)], 100
    load = poisson(4 * 0.8 * 2000 / SERVICE_S, seconds, 1)
    share = Share(0, seconds, cells=4, simulated=4, warmup_s=0)
    platform = HybridPlatform(specs, load, PATIENT, share, streams=Streams(1), threads=threads)
    platform.set_ready(0, 8000)
    began = time.perf_counter()
    for at_s in range(5, seconds + 1, 5):
        platform.advance(at_s)
    return float(platform.totals()[0, 0]) / (time.perf_counter() - began)


def day() -> float:
    """A whole june_peak day at the fluid resolution, as a multiple of real time."""
    run = world()
    began = time.perf_counter()
    run.run()
    return run.duration_s / (time.perf_counter() - began)


def main() -> None:
    """Measure and print."""
    one_service(10, 1e5)
    for servers in (10, 100, 1000):
        twin = best(partial(one_service, servers))
        simpy_speed = best(partial(simpy_textbook, servers, 100_000))
        ciw_speed = best(partial(ciw_textbook, servers, 50_000))
        print(
            f"one service, ρ 0.8, {servers:4} servers: {twin / 1e6:5.2f} M requests/s; "
            f"SimPy {simpy_speed:,.0f}, {twin / simpy_speed:.0f} ×; "
            f"Ciw {ciw_speed:,.0f}, {twin / ciw_speed:.0f} ×"
        )
    graph = best(call_graph)
    print(f"five services with the engine, one core: {graph / 1e6:.2f} M requests/s")
    cells(1)
    alone, both = best(lambda: cells(1)), best(lambda: cells(os.cpu_count() or 1))
    print(f"four cells: {alone / 1e6:.2f} M/s on 1 core, {both / 1e6:.2f} M/s on all: "
          f"{both / alone:.2f} ×")  # fmt: skip
    tally = campaign.hunt(
        1, most_worlds=400, most_s=60.0, workers=os.cpu_count() or 1, advance=lambda _: None
    )
    print(f"the hunt: {tally.rate:.1f} worlds a second in {os.cpu_count()} processes")
    print(f"fluid, a whole june_peak day: {best(day):,.0f} × real time")


if __name__ == "__main__":
    main()
