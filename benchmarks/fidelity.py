"""How far the twin's queues can be trusted: measures it and writes docs/background/fidelity.md.

The request resolution is held against closed forms and, on identical variates, against SimPy and
Ciw; then the fluid against the request resolution, over load, variability, number of servers,
capacity steps, failures, overload and recovery.  Every figure in the document comes from this run.

It is long because each comparison has its own grid; the page that they make is one.

    python benchmarks/fidelity.py [--write docs/background/fidelity.md] [--quick]
"""

from __future__ import annotations

import argparse
import math
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # before the imports that take their time
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", type=Path, help="the page to write")
    parser.add_argument("--quick", action="store_true", help="a small part of the grid")
    ARGUMENTS = parser.parse_args()

import numpy as np
from scipy import stats

from engine.model import SAMPLE_FIELDS, BootTime, FloatArray, ServiceSpec
from twin.queues.fluid import BUCKETS, FluidPlatform
from twin.queues.kernels.requests import layout
from twin.queues.kernels.requests.recursion import kiefer_wolfowitz
from twin.queues.port import TRUTH_FIELDS, ClientBehaviour
from twin.queues.requests import RequestPlatform
from twin.queues.validity import verified
from twin.runs.lifetimes import interrupt_on_sigterm, worker_pool

T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
CPU = SAMPLE_FIELDS.index("cpu")
QUANTILES = (0.5, 0.95, 0.99)
PATIENT = ClientBehaviour(timeout_s=600.0, max_retries=0, queue_limit_per_slot=1e9)
SERVICE_S = 0.1
REPLICATIONS = 10
PAIRS = 4
SERVERS = (1, 2, 5, 10, 20, 50, 200, 1000, 5000)
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
    yield "| model | servers | requests compared | largest difference of a wait, s |"
    yield "| --- | --- | --- | --- |"
    rows: list[tuple[str, Callable[..., FloatArray], int]] = [
        ("Kiefer–Wolfowitz recursion", kiefer_wolfowitz, 100_000),
        ("SimPy `Resource`", waits_simpy, 100_000),
        ("Ciw", waits_ciw, 20_000),
    ]
    for servers in (1, 10, 200):
        for name, model, count in rows:
            arrival_s, service_s = variates(servers, count, seed=servers)
            ours = waits_here(arrival_s, service_s, servers)
            theirs = model(arrival_s, service_s, servers)[: len(ours)]
            worst = float(np.abs(ours - theirs).max())
            yield f"| {name} | {servers} | {len(ours):,} | {worst:.1e} |"


def responses(counts: FloatArray) -> FloatArray:
    """Mean, p50, p95 and p99 (s) of counts over `BUCKETS`."""
    edges = np.concatenate(([0.0], BUCKETS.edges_s, [BUCKETS.edges_s[-1]]))
    mean = float((counts * 0.5 * (edges[1:] + edges[:-1])).sum() / counts.sum())
    return np.array([mean, *BUCKETS.quantiles(counts, QUANTILES)])


def counts_of(single: RequestPlatform) -> FloatArray:
    """What it has counted, over the fluid's `BUCKETS`."""
    return BUCKETS.rebucketed(single.histogram(0), layout.BUCKETS)


def pair(case: tuple[int, float, float, int]) -> list[float]:
    """Relative errors of the fluid (mean, p50, p95, p99) and its error of the utilisation."""
    servers, rho, scv, seed = case
    rate = rho * servers / SERVICE_S
    requests = 400_000 if rho < 0.9 else 1_200_000
    seconds = int(min(max(requests / rate, 300.0), 20_000.0)) // 5 * 5
    arrivals = poisson(rate, seconds, seed)
    single = exact(arrivals, scv, servers, seed)
    fluid = FluidPlatform([spec(scv)], arrivals, PATIENT)
    fluid.set_ready(0, servers)
    for platform in (single, fluid):
        platform.advance(seconds)
    true, model = (np.array(p.response_quantiles(0, QUANTILES)) for p in (single, fluid))
    counts = (fluid.histogram(0), counts_of(single))
    means = [float(responses(count)[0]) for count in counts]
    utilisation = fluid.metrics[0, :, CPU].mean() - single.metrics[0, :, CPU].mean()
    return [means[0] / means[1] - 1.0, *(model / true - 1.0), float(utilisation)]


def steady(pool: ProcessPoolExecutor) -> tuple[list[str], list[tuple[int, float, float]]]:
    """Rows of the table of the fluid's errors, and the cases that miss the aim."""
    cases = [(c, rho, scv) for c in SERVERS for rho in LOADS for scv in SCVS]
    grid = [(*case, seed) for case in cases for seed in range(PAIRS)]
    results = np.array(list(pool.map(pair, grid, chunksize=4)))
    results = results.reshape(len(cases), PAIRS, 5)
    rows = [
        "| servers | ρ | SCV | mean | p50 | p95 | p99 | utilisation, points |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    missed = []
    for (servers, rho, scv), runs in zip(cases, results, strict=True):
        cells = [f"{runs[:, k].mean():+.1%} ± {interval(runs[:, k]):.1%}" for k in range(4)]
        off = abs(runs[:, 2].mean()) > (0.10 if rho <= 0.9 else 0.20)
        if off:
            missed.append((servers, rho, scv))
            cells[2] = f"**{cells[2]}**"
        rows.append(
            f"| {servers} | {rho:g} | {scv:g} | {' | '.join(cells)} "
            f"| {100.0 * runs[:, 4].mean():+.2f} ± {100.0 * interval(runs[:, 4]):.2f} |"
        )
    return rows, missed


def recovery(case: tuple[int, float, int]) -> tuple[float, float]:
    """Seconds after the overload until no request has waited for 5 s: single requests, fluid."""
    servers, overload, seed = case
    arrivals = np.concatenate(
        [poisson(load * servers / SERVICE_S, 60, seed)[0] for load in (0.6, overload)]
        + [poisson(0.6 * servers / SERVICE_S, 240, seed + 1)[0]]
    )[None, :]
    clear_s = []
    fluid = FluidPlatform([spec(1.0)], arrivals, PATIENT, sample_s=1)
    fluid.set_ready(0, servers)
    rng = np.random.Generator(np.random.Philox(seed))
    single = RequestPlatform([spec(1.0)], arrivals, PATIENT, rng, sample_s=1)
    single.set_ready(0, servers)
    for platform in (single, fluid):
        platform.advance(360)
        queued = platform.truth[0, 120:, T["queued"]]
        limit = 0.005 * servers / SERVICE_S  # 5 ms of work: the queue has gone, noise has not
        clear_s.append(float(np.argmax(queued <= limit)) + 1.0)
    return clear_s[0], clear_s[1]


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


STEPS = (("half more", 1.5), ("a third fewer", 2.0 / 3.0), ("half crash", 0.5))


def step(case: tuple[int, str, float, int]) -> list[float]:
    """Relative errors of the responses, those of the utilisation and of the failed share in points.

    The load is 0.6 of what is there before the step; all figures are of the two minutes after it.
    """
    servers, name, factor, seed = case
    arrivals = poisson(0.6 * servers / SERVICE_S, 240, seed)
    rng = np.random.Generator(np.random.Philox(seed))
    figures = []
    impatient = ClientBehaviour(timeout_s=5.0, max_retries=0, queue_limit_per_slot=1e9)
    single = RequestPlatform([spec(1.0)], arrivals, impatient, rng)
    fluid = FluidPlatform([spec(1.0)], arrivals, impatient)
    for platform, count in (
        (single, lambda: counts_of(single)),
        (fluid, lambda: fluid.histogram(0)),
    ):
        platform.set_ready(0, servers)
        platform.advance(120)
        before = np.array(count(), np.float64)
        after = round(servers * factor)
        platform.set_ready(0, after, crashed=servers - after if name == "half crash" else 0)
        platform.advance(240)
        truth = platform.truth[0, 24:]
        outcomes = truth[:, [T["served"], T["failed"], T["shed"], T["timed_out"]]]
        lost = float(outcomes[:, 1:].sum() / outcomes.sum())
        busy = float(platform.metrics[0, 24:, CPU].mean())
        figures.append((responses(count() - before), busy, lost))
    (true, true_busy, true_lost), (model, busy, lost) = figures
    return [*(model / true - 1.0), 100.0 * (busy - true_busy), 100.0 * (lost - true_lost)]


def steps(pool: ProcessPoolExecutor) -> Iterable[str]:
    """Rows of the table of capacity steps."""
    yield "| servers | step | mean | p50 | p95 | p99 | utilisation, points | failed, points |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for servers in (10, 50, 200, 1000):
        for name, factor in STEPS:
            cases = [(servers, name, factor, k) for k in range(10)]
            runs = np.array(list(pool.map(step, cases)))
            cells = [f"{runs[:, k].mean():+.1%} ± {interval(runs[:, k]):.1%}" for k in range(4)]
            cells += [f"{runs[:, k].mean():+.2f} ± {interval(runs[:, k]):.2f}" for k in (4, 5)]
            yield f"| {servers} | {name} | {' | '.join(cells)} |"


def losses(case: tuple[int, float, int]) -> list[float]:
    """Shares of the requests that fail, in points: single requests, then the fluid."""
    servers, load, seed = case
    client = ClientBehaviour(
        timeout_s=4.0, max_retries=2, retry_share=0.8, backoff_s=1.0, queue_limit_per_slot=30.0
    )
    arrivals = np.concatenate(
        [poisson(rho * servers / SERVICE_S, 120, seed + i)[0] for i, rho in enumerate((load, 0.5))]
    )[None, :]
    rng = np.random.Generator(np.random.Philox(seed))
    shares = []
    for platform in (
        RequestPlatform([spec(1.0)], arrivals, client, rng),
        FluidPlatform([spec(1.0)], arrivals, client),
    ):
        platform.set_ready(0, servers)
        platform.advance(240)
        totals = platform.totals()[0]
        lost = totals[[T["shed"], T["timed_out"]]].sum() / totals[T["arrived"]]
        shares += [100.0 * float(lost), float(totals[T["arrived"]])]
    return shares


def failures(pool: ProcessPoolExecutor) -> Iterable[str]:
    """Rows of the table of failures under overload, with retries."""
    yield "| servers | load for 120 s | failed, single requests | fluid | arrivals with retries |"
    yield "| --- | --- | --- | --- | --- |"
    for servers in (10, 50, 200, 1000):
        for load in (1.05, 1.2, 1.5, 2.5):
            runs = np.array(list(pool.map(losses, [(servers, load, 10 * k) for k in range(10)])))
            more = runs[:, 3] / runs[:, 1] - 1.0
            yield (
                f"| {servers} | {load:g} | {runs[:, 0].mean():.2f} % | {runs[:, 2].mean():.2f} % "
                f"± {interval(runs[:, 2] - runs[:, 0]):.2f} | {more.mean():+.1%} "
                f"± {interval(more):.1%} |"
            )


def document(pool: ProcessPoolExecutor) -> str:
    """The whole page."""
    parts: list[Sequence[str] | Iterable[str]] = []
    rows, missed = steady(pool)
    parts.append(
        [
            "# Fidelity: how far the twin's queues can be trusted",
            "",
            "Written by `python benchmarks/fidelity.py --write docs/background/fidelity.md`; every",
            "figure is measured by that command. Waits are in service times unless a unit is",
            "given; ± is a 95 % Student interval over independent runs.",
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
            "The aim is 1 % where the interval allows; near saturation waits are so correlated",
            "that 30 million requests are not enough to tell.",
            "",
            "Little's law and the conservation of requests hold on every path to rounding error;",
            "the tests check both under random loads, crashes, drains and slow-downs.",
            "",
            "## Single requests against other simulators, on identical variates",
            "",
            "The same arrival and service times go into each model (ρ = 0.8), and the wait of",
            "every request is compared. `python benchmarks/request_speed.py` measures how fast",
            "each of them is.",
            "",
        ]
    )
    parts.append(peers())
    parts.append(
        [
            "",
            "## The fluid against single requests, steady load",
            "",
            "Both get the same Poisson arrivals in each second; the service time is 0.1 s. Errors",
            f"are of the run-long response time, mean of {PAIRS} pairs of runs. The aim is 10 % at",
            "p95 up to ρ = 0.9 and 20 % up to 0.98; where it is missed the figure is bold.",
            "",
        ]
    )
    parts.append(rows)
    outside = [case for case in missed if verified(case[0], case[1])]
    parts.append(
        [
            "",
            f"Missed in {len(missed)} of {len(rows) - 2} cases, all with few servers: there the"
            " noise of single seconds",
            "is as large as the capacity, and the fluid counts part of it twice (as a backlog of",
            "the second, and in the stochastic wait laid over it), while its wait near saturation",
            "is cut off too early. So the fluid counts as verified with 50 slots or more, with 10",
            "or more up to a utilisation of 0.6, and with 2 or more up to 0.3"
            f" ({len(outside)} of the missed",
            "cases lie within that). The report of a run says how long each service was outside;",
            "where that matters, ask for `resolution=request`.",
            "",
            "## The fluid against single requests, capacity steps",
            "",
            "At ρ = 0.6 the number of servers changes at once: half more, a third fewer (which",
            "drain), or half of them crash, which is an overload of 1.2 with clients who wait 5 s.",
            "All figures are of the two minutes after it. Two to distrust: while clients give up,",
            "the fluid's responses are 15 % too short; while few servers become fewer, too long.",
            "",
        ]
    )
    parts.append(steps(pool))
    parts.append(
        [
            "",
            "## The fluid against single requests, failures",
            "",
            "Two minutes of overload, then two at ρ = 0.5; clients wait 4 s and four fifths of",
            "them try again, twice at most; 30 requests may wait for each slot. Failed is what was",
            "shed or timed out, as a share of all arrivals; ± is for the difference.",
            "",
        ]
    )
    parts.append(failures(pool))
    parts.append(
        [
            "",
            "## The fluid against single requests, overload and recovery",
            "",
            "A minute at ρ = 0.6, a minute of overload, then 0.6 again, SCV 1; from the end of the",
            "overload until less than 5 ms of work waits, mean of 20 pairs. The aim is 5 %.",
            "",
        ]
    )
    parts.append(overload(pool))
    return "\n".join(line for part in parts for line in part) + "\n"


def main(arguments: argparse.Namespace) -> None:
    """Measure, print, and write the page if asked to."""
    if arguments.quick:
        global SERVERS, LOADS, SCVS
        SERVERS, LOADS, SCVS = (10, 200), (0.6, 0.9), (1.0,)
    interrupt_on_sigterm()
    with worker_pool(os.cpu_count() or 1) as pool:
        text = document(pool)
    print(text)
    if arguments.write:
        arguments.write.write_text(text)


if __name__ == "__main__":
    main(ARGUMENTS)
