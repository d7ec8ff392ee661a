"""How far the twin's queues can be trusted: measures it and writes docs/fidelity.md.

The request resolution is held against closed forms and, on identical variates, against SimPy and
Ciw; then the fluid against the request resolution, over load, variability, number of servers,
overload and recovery.  Every figure in the document comes from this run.

    python benchmarks/fidelity.py [--write docs/fidelity.md]
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats

from engine.model import BootTime, FloatArray, ServiceSpec
from twin.queues import TRUTH_FIELDS, ClientBehaviour, FluidPlatform, RequestPlatform
from twin.queues.request_kernels import kiefer_wolfowitz

T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
PATIENT = ClientBehaviour(timeout_s=600.0, max_retries=0, queue_limit_per_slot=1e9)
SERVICE_S = 0.1
REPLICATIONS = 10
PAIRS = 4
SERVERS = (1, 2, 5, 10, 50, 200, 1000, 5000)
LOADS = (0.3, 0.6, 0.8, 0.9, 0.95, 0.98)
SCVS = (0.25, 1.0, 2.5)


def spec(scv: float, service_s: float = SERVICE_S) -> ServiceSpec:
    """One slot an instance, so that instances are servers."""
    return ServiceSpec(
        "queue", 1, 10**6, 1, service_s, scv, BootTime(60.0, 120.0), 0.0, 4.0 * service_s, 1.0
    )


def poisson(rate: float, seconds: int, seed: int) -> FloatArray:
    """Arrivals in each second, shape (1, seconds)."""
    return np.random.default_rng(seed).poisson(rate, (1, seconds)).astype(np.float64)


def exact(arrivals: FloatArray, scv: float, servers: int, seed: int) -> RequestPlatform:
    """The request resolution, ready to run."""
    rng = np.random.Generator(np.random.Philox(seed))
    platform = RequestPlatform([spec(scv)], arrivals, PATIENT, rng)
    platform.set_ready(0, servers)
    return platform


def erlang_c_wait(servers: int, rho: float) -> float:
    """Mean wait of M/M/c in service times (A. K. Erlang, 1917)."""
    loss = 1.0
    for k in range(1, servers + 1):
        loss = rho * servers * loss / (k + rho * servers * loss)
    return loss / (1.0 - rho * (1.0 - loss)) / (servers * (1.0 - rho))


def pollaczek_khinchine_wait(rho: float, scv: float) -> float:
    """Mean wait of M/G/1 in service times (Pollaczek 1930, Khinchine 1932)."""
    return rho * (1.0 + scv) / 2.0 / (1.0 - rho)


def crommelin_wait(servers: int, rho: float) -> float:
    """Mean wait of M/D/c in service times (C. D. Crommelin, 1932)."""
    k = np.arange(1, 20_000)
    load = k * rho * servers
    terms = stats.poisson.sf(k * servers - 1, load) - stats.poisson.sf(k * servers, load) / rho
    return float(terms.sum())


def mean_wait(case: tuple[int, float, float, int]) -> tuple[float, int]:
    """Mean wait (service times) of one long run, and how many requests it is of."""
    servers, rho, scv, seed = case
    rate = rho * servers / SERVICE_S
    seconds = int(3e6 / rate) // 5 * 5 + 5
    platform = exact(poisson(rate, seconds, seed), scv, servers, seed + 1000)
    platform.advance(seconds)
    return platform.mean_wait_s(0) / SERVICE_S, platform.started(0)


def closed_forms(pool: ProcessPoolExecutor) -> Iterable[str]:
    """Rows of the table of closed forms."""
    cases: list[tuple[str, int, float, float, float]] = [
        ("M/M/1", 1, 0.6, 1.0, erlang_c_wait(1, 0.6)),
        ("M/M/10", 10, 0.8, 1.0, erlang_c_wait(10, 0.8)),
        ("M/M/100", 100, 0.95, 1.0, erlang_c_wait(100, 0.95)),
        ("M/G/1, SCV 0.25", 1, 0.7, 0.25, pollaczek_khinchine_wait(0.7, 0.25)),
        ("M/G/1, SCV 4", 1, 0.7, 4.0, pollaczek_khinchine_wait(0.7, 4.0)),
        ("M/D/1", 1, 0.8, 0.0, pollaczek_khinchine_wait(0.8, 0.0)),
        ("M/D/5", 5, 0.8, 0.0, crommelin_wait(5, 0.8)),
        ("M/D/20", 20, 0.9, 0.0, crommelin_wait(20, 0.9)),
    ]
    yield "| queue | ρ | exact mean wait | simulated | error | 95 % interval | requests |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, servers, rho, scv, expected in cases:
        runs = list(pool.map(mean_wait, [(servers, rho, scv, k) for k in range(REPLICATIONS)]))
        errors = np.array([run[0] for run in runs]) / expected - 1.0
        half = interval(errors)
        yield (
            f"| {name} | {rho:g} | {expected:.5f} | {np.mean([r[0] for r in runs]):.5f} "
            f"| {errors.mean():+.2%} | ± {half:.2%} | {sum(r[1] for r in runs) / 1e6:.0f} M |"
        )


def interval(values: FloatArray) -> float:
    """Half the width of the 95 % Student interval of the mean."""
    spread = values.std(ddof=1) / math.sqrt(values.size)
    return float(stats.t.ppf(0.975, values.size - 1) * spread)


def variates(servers: int, count: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Arrival and service times, both exponential, ρ = 0.8."""
    rng = np.random.default_rng(seed)
    gaps = rng.exponential(SERVICE_S / (0.8 * servers), count)
    return np.cumsum(gaps), rng.exponential(SERVICE_S, count)


def waits_here(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> FloatArray:
    """Waits of those who have started, from the twin's own event loop."""
    seconds = int(arrival_s[-1]) // 5 * 5 + 5
    counts = np.bincount(arrival_s.astype(int), minlength=seconds).astype(np.float64)[None, :]
    platform = RequestPlatform(
        [spec(1.0)], counts, PATIENT, np.random.default_rng(1),
        script=np.stack([arrival_s, service_s])[:, None, :], keep_waits=len(arrival_s),
    )  # fmt: skip
    platform.set_ready(0, servers)
    platform.advance(seconds)
    return platform.waits[0, : platform.started(0)].copy()


def waits_simpy(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> FloatArray:
    """The textbook model: one process a request before a `Resource`."""
    import simpy

    env = simpy.Environment()
    resource = simpy.Resource(env, servers)
    waits = np.empty(len(arrival_s))

    def request(i: int) -> Any:
        arrived = env.now
        with resource.request() as slot:
            yield slot
            waits[i] = env.now - arrived
            yield env.timeout(service_s[i])

    def source() -> Any:
        for i, at_s in enumerate(arrival_s):
            yield env.timeout(max(at_s - env.now, 0.0))
            env.process(request(i))

    env.process(source())
    env.run()
    return waits


def waits_ciw(arrival_s: FloatArray, service_s: FloatArray, servers: int) -> FloatArray:
    """Ciw fed with the same times."""
    import ciw

    network = ciw.create_network(
        arrival_distributions=[
            ciw.dists.Sequential([*np.diff(arrival_s, prepend=0.0).tolist(), math.inf])
        ],
        service_distributions=[ciw.dists.Sequential(service_s.tolist())],
        number_of_servers=[servers],
    )
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(float(arrival_s[-1]) + 100.0)
    records = sorted(simulation.get_all_records(), key=lambda record: record.id_number)
    return np.array([record.waiting_time for record in records])


def peers() -> Iterable[str]:
    """Rows of the table of identical variates."""
    yield "| model | servers | requests | largest difference of a wait, s | requests/s | ratio |"
    yield "| --- | --- | --- | --- | --- | --- |"
    rows: list[tuple[str, Callable[..., FloatArray], int]] = [
        ("Kiefer–Wolfowitz recursion", kiefer_wolfowitz, 100_000),
        ("SimPy `Resource`", waits_simpy, 100_000),
        ("Ciw", waits_ciw, 20_000),
    ]
    for servers in (1, 10, 200):
        for name, model, count in rows:
            arrival_s, service_s = variates(servers, count, seed=servers)
            waits_here(arrival_s, service_s, servers)
            began = time.perf_counter()
            ours = waits_here(arrival_s, service_s, servers)
            own_s = time.perf_counter() - began
            model(arrival_s[:100], service_s[:100], servers)
            began = time.perf_counter()
            theirs = model(arrival_s, service_s, servers)
            wall_s = time.perf_counter() - began
            worst = float(np.abs(ours - theirs[: len(ours)]).max())
            yield (
                f"| {name} | {servers} | {count:,} | {worst:.1e} | {count / wall_s:,.0f} "
                f"| twin {count / own_s:,.0f}/s, {wall_s / own_s:.1f} × |"
            )


def pair(case: tuple[int, float, float, int]) -> list[float]:
    """Relative errors of the fluid (p50, p95, p99) and its error of the utilisation."""
    servers, rho, scv, seed = case
    rate = rho * servers / SERVICE_S
    requests = 400_000 if rho < 0.9 else 1_200_000
    seconds = int(min(max(requests / rate, 300.0), 20_000.0)) // 5 * 5
    arrivals = poisson(rate, seconds, seed)
    single = exact(arrivals, scv, servers, seed)
    fluid = FluidPlatform([spec(scv)], arrivals, PATIENT)
    fluid.set_ready(0, servers)
    quantiles = (0.5, 0.95, 0.99)
    for platform in (single, fluid):
        platform.advance(seconds)
    true, model = (np.array(p.response_quantiles(0, quantiles)) for p in (single, fluid))
    utilisation = fluid.metrics[0, :, 1].mean() - single.metrics[0, :, 1].mean()
    return [*(model / true - 1.0), float(utilisation)]


def steady(pool: ProcessPoolExecutor) -> tuple[list[str], list[str]]:
    """Rows of the table of the fluid's errors, and the cases that miss the aim."""
    cases = [(c, rho, scv) for c in SERVERS for rho in LOADS for scv in SCVS]
    grid = [(*case, seed) for case in cases for seed in range(PAIRS)]
    results = np.array(list(pool.map(pair, grid, chunksize=4)))
    results = results.reshape(len(cases), PAIRS, 4)
    rows = [
        "| servers | ρ | SCV | p50 | p95 | p99 | utilisation, points |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    missed = []
    for (servers, rho, scv), runs in zip(cases, results, strict=True):
        cells = [f"{runs[:, k].mean():+.1%} ± {interval(runs[:, k]):.1%}" for k in range(3)]
        off = abs(runs[:, 1].mean()) > (0.10 if rho <= 0.9 else 0.20)
        if off:
            missed.append(f"{servers} servers, ρ {rho:g}, SCV {scv:g}")
            cells[1] = f"**{cells[1]}**"
        rows.append(
            f"| {servers} | {rho:g} | {scv:g} | {' | '.join(cells)} "
            f"| {100.0 * runs[:, 3].mean():+.2f} |"
        )
    return rows, missed


def recovery(case: tuple[int, float, int]) -> tuple[float, float]:
    """Seconds after the overload until no request has waited for 5 s: single requests, fluid."""
    servers, overload, seed = case
    arrivals = np.concatenate(
        [poisson(load * servers / SERVICE_S, 60, seed)[0] for load in (0.6, overload)]
        + [poisson(0.6 * servers / SERVICE_S, 240, seed + 1)[0]]
    )[None, :]
    found = []
    fluid = FluidPlatform([spec(1.0)], arrivals, PATIENT, sample_s=1)
    fluid.set_ready(0, servers)
    rng = np.random.Generator(np.random.Philox(seed))
    single = RequestPlatform([spec(1.0)], arrivals, PATIENT, rng, sample_s=1)
    single.set_ready(0, servers)
    for platform in (single, fluid):
        platform.advance(360)
        queued = platform.truth[0, 120:, T["queued"]]
        limit = 0.005 * servers / SERVICE_S  # 5 ms of work: the queue has gone, noise has not
        found.append(float(np.argmax(queued <= limit)) + 1.0)
    return found[0], found[1]


def overload(pool: ProcessPoolExecutor) -> Iterable[str]:
    """Rows of the table of overload and recovery."""
    yield "| servers | load for 60 s | clears after, single requests | fluid | error |"
    yield "| --- | --- | --- | --- | --- |"
    for servers in (10, 50, 200, 1000):
        for load in (1.1, 1.3, 1.6):
            runs = np.array(list(pool.map(recovery, [(servers, load, k) for k in range(20)])))
            errors = runs[:, 1] / runs[:, 0] - 1.0
            yield (
                f"| {servers} | {load:g} | {runs[:, 0].mean():.1f} s | {runs[:, 1].mean():.1f} s "
                f"| {errors.mean():+.1%} ± {interval(errors):.1%} |"
            )


def document(pool: ProcessPoolExecutor) -> str:
    """The whole page."""
    parts: list[Sequence[str] | Iterable[str]] = []
    rows, missed = steady(pool)
    parts.append(
        [
            "# Fidelity: how far the twin's queues can be trusted",
            "",
            "Written by `python benchmarks/fidelity.py --write docs/fidelity.md`; every figure is",
            "measured by that command. Waits are in service times unless a unit is given; ± is a",
            "95 % Student interval over independent runs.",
            "",
            "## Single requests against closed forms",
            "",
            f"{REPLICATIONS} runs each, started empty.",
            "",
        ]
    )
    parts.append(closed_forms(pool))
    parts.append(
        [
            "",
            "Little's law and the conservation of requests hold on every path to rounding error;",
            "the tests check both under random loads, crashes, drains and slow-downs.",
            "",
            "## Single requests against other simulators, on identical variates",
            "",
            "The same arrival and service times go into each model; ρ = 0.8. The speeds are of",
            "one run on one core, so only the ratio means anything.",
            "",
        ]
    )
    parts.append(peers())
    parts.append(
        [
            "",
            "## The fluid against single requests, steady load",
            "",
            "Both get the same Poisson arrivals in each second; errors are of the run-long",
            f"quantiles of the response time, mean of {PAIRS} pairs of runs. The aim is 10 % at",
            "p95 up to ρ = 0.9 and 20 % up to 0.98; where it is missed the figure is bold.",
            "",
        ]
    )
    parts.append(rows)
    parts.append(
        [
            "",
            f"Missed in {len(missed)} of {len(rows) - 2} cases, all of them with few servers: there"
            " the noise of",
            "single seconds is as large as the capacity, and the fluid counts part of it twice",
            "(as a backlog of the second, and in the stochastic wait laid over it), while its wait",
            "near saturation is cut off too early. Ask for `resolution=request` where a service",
            "has fewer than about 50 slots and its response times matter.",
            "",
            "## The fluid against single requests, overload and recovery",
            "",
            "A minute at ρ = 0.6, a minute of overload, then 0.6 again, SCV 1; from the end of the",
            "overload until less than 5 ms of work waits, mean of 20 pairs.",
            "",
        ]
    )
    parts.append(overload(pool))
    return "\n".join(line for part in parts for line in part) + "\n"


def main() -> None:
    """Measure, print, and write the page if asked to."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--write", type=Path, help="the page to write")
    arguments = parser.parse_args()
    with ProcessPoolExecutor() as pool:
        text = document(pool)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main()
