"""What counting costs a worker, against prometheus_client's own metrics: ratios in one run.

At each request a worker counts its arrival, its outcome and three durations; at each scrape it
makes the text.  Both ways give Prometheus the same text.
"""

from __future__ import annotations

import argparse
import random
import timeit
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from twin.staging.exposition import BUCKETS, WorkerCounters

LABELS = {"service": "api", "instance": "api-1", "zone": "a"}


def ours() -> tuple[Callable[[float], None], Callable[[], bytes]]:
    """Plain numbers, made into text by prometheus_client at a scrape."""
    counts = WorkerCounters(1.0)

    def request(duration_s: float) -> None:
        counts.arrived += 1
        counts.waited.observe(0.0)
        counts.held.observe(duration_s)
        counts.responded(duration_s)
        counts.outcomes["served"] += 1

    return request, lambda: counts.expose(LABELS, {})


def theirs() -> tuple[Callable[[float], None], Callable[[], bytes]]:
    """prometheus_client's counters and histograms."""
    registry, names, values = CollectorRegistry(), list(LABELS), list(LABELS.values())

    def histogram(name: str) -> Histogram:
        made = Histogram(name, name, names, buckets=BUCKETS.edges_s.tolist(), registry=registry)
        return made.labels(*values)

    arrived = Counter("requests", "Arrived.", names, registry=registry).labels(*values)
    slow = Counter("slow", "Slow.", names, registry=registry).labels(*values)
    served = Counter("responses", "Answered.", [*names, "outcome"], registry=registry)
    outcome = served.labels(*values, "served")
    waited, held, response = histogram("wait"), histogram("held"), histogram("response")

    def request(duration_s: float) -> None:
        arrived.inc()
        waited.observe(0.0)
        held.observe(duration_s)
        response.observe(duration_s)
        if duration_s > 1.0:
            slow.inc()
        outcome.inc()

    return request, lambda: generate_latest(registry)


def main() -> None:
    """Measure both in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--requests", type=int, default=20_000, help="of each measurement")
    parser.add_argument("--repeats", type=int, default=5, help="the best of so many counts")
    arguments = parser.parse_args()
    if arguments.requests < 1 or arguments.repeats < 1:
        parser.error("--requests and --repeats have to be at least 1")
    draw = random.Random(1)
    durations_s = [draw.gammavariate(1.0, 0.16) for _ in range(arguments.requests)]
    ways = {"plain numbers": ours(), "prometheus_client's metrics": theirs()}
    request_us = dict.fromkeys(ways, float("inf"))
    scrape_us = dict.fromkeys(ways, float("inf"))
    for _ in range(arguments.repeats):
        for name, (request, scrape) in ways.items():
            took_s = timeit.timeit(lambda r=request: [r(s) for s in durations_s], number=1)
            request_us[name] = min(request_us[name], 1e6 * took_s / arguments.requests)
            scrape_us[name] = min(scrape_us[name], 1e6 * timeit.timeit(scrape, number=20) / 20)
    first = next(iter(ways))
    print("| counted by | a request | ratio | a scrape | ratio |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name in ways:
        print(
            f"| {name} | {request_us[name]:.1f} µs | {request_us[name] / request_us[first]:.1f} | "
            f"{scrape_us[name] / 1000.0:.2f} ms | {scrape_us[name] / scrape_us[first]:.1f} |"
        )


if __name__ == "__main__":
    main()
