"""What a worker tells Prometheus.

Counters and histograms only grow, so a missed scrape loses nothing: utilisation is the rate of
`wedtwin_slots_busy_seconds_total` over the slots, not a sample of a gauge.

A request only adds to plain numbers, and prometheus_client makes the text of them at a scrape.  Its
own metrics lock and search from bucket to bucket: six times the cost at each request
(`python benchmarks/exposition.py`), in workers that exist to cost what they are said to.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from engine.record.response_times import Buckets, log_spaced

BUCKETS = Buckets(log_spaced(0.002, 0.002 * 1.2**57, 58).round(6))
"""Buckets of the histograms, 2 ms to 65 s, 20 % wide: fine enough to interpolate a quantile within
some per cent.  Their edges are rounded because Prometheus keeps them as text."""

BOUNDS = (*BUCKETS.edges_s.tolist(), float("inf"))

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode()

Gauges = Mapping[str, tuple[float, str]]
"""Name of a figure -> what it is now and what it means; a counter's name ends with `_total`."""


class Histogram:
    """Durations in seconds, counted by bucket."""

    def __init__(self) -> None:
        self._counts = [0] * len(BUCKETS)
        self.sum_s = 0.0
        self.squares = 0.0

    def observe(self, duration_s: float) -> None:
        """Count one duration."""
        self._counts[BUCKETS.bucket(duration_s)] += 1
        self.sum_s += duration_s
        self.squares += duration_s * duration_s

    def collect(self, name: str, labels: Mapping[str, str], about: str) -> Iterator[Metric]:
        """The histogram, and the sum of squares as a counter beside it."""
        total = 0
        buckets = []
        for bound, count in zip(BOUNDS, self._counts, strict=True):
            total += count
            buckets.append((floatToGoString(bound), float(total)))
        histogram = HistogramMetricFamily(name, about, labels=list(labels))
        histogram.add_metric(list(labels.values()), buckets, self.sum_s)
        yield histogram
        squares = f"{name.removesuffix('_seconds')}_squared_seconds"
        yield _counter(squares, f"Sum of the squares of {name}.", labels, self.squares)


class WorkerCounters:
    """All figures of one worker that only grow."""

    OUTCOMES = ("served", "shed", "timed_out", "failed")

    def __init__(self, slo_s: float, callees: Iterable[str] = ()) -> None:
        self.slo_s = slo_s
        self.calls = dict.fromkeys(callees, 0)
        """Calls to other services, made or under way."""
        self.arrived = 0
        self.slow = 0
        """Served, but slower than the SLO."""
        self.first_served_s = 0.0
        """When the first request was served (epoch seconds), 0 before that."""
        self.outcomes = dict.fromkeys(self.OUTCOMES, 0)
        self.response = Histogram()
        self.waited = Histogram()
        self.held = Histogram()
        self.called = Histogram()

    def responded(self, duration_s: float) -> None:
        """Count the response time of a request that was served."""
        self.response.observe(duration_s)
        self.slow += duration_s > self.slo_s
        self.first_served_s = self.first_served_s or time.time()

    def expose(self, labels: Mapping[str, str], gauges: Gauges) -> bytes:
        """Everything as Prometheus reads it, with `labels`: these counts and the `gauges`."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Everything(self, labels, gauges))
        return generate_latest(registry)


class _Everything(Collector):
    """One scrape."""

    def __init__(self, counts: WorkerCounters, labels: Mapping[str, str], gauges: Gauges) -> None:
        self._counts, self._labels, self._gauges = counts, labels, gauges

    def collect(self) -> Iterator[Metric]:
        """All metrics (prometheus_client's protocol)."""
        counts, labels = self._counts, self._labels
        for name, (value, about) in self._gauges.items():
            if name.endswith("_total"):
                yield _counter(name.removesuffix("_total"), about, labels, value)
            else:
                yield _gauge(name, about, labels, value)
        yield _counter("wedtwin_requests", "Requests that arrived.", labels, counts.arrived)
        yield _counter(
            "wedtwin_slow", "Requests that were served, but slower than the SLO.", labels,
            counts.slow,
        )  # fmt: skip
        yield _gauge(
            "wedtwin_first_served_seconds", "When the first request was served; 0: none yet.",
            labels, counts.first_served_s,
        )  # fmt: skip
        yield _counters(
            "wedtwin_responses", "Requests that were answered, by outcome.", labels, "outcome",
            values=counts.outcomes,
        )  # fmt: skip
        if counts.calls:
            yield _counters(
                "wedtwin_calls", "Calls to other services, by callee.", labels, "callee",
                values=counts.calls,
            )  # fmt: skip
        for name, histogram, about in (
            ("response", counts.response, "From arrival to answer, calls included."),
            ("wait", counts.waited, "Wait for a slot."),
            ("service", counts.held, "For how long a slot was held."),
            ("call", counts.called, "Calls to other services, each by itself."),
        ):
            yield from histogram.collect(f"wedtwin_{name}_seconds", labels, about)


def _counter(name: str, about: str, labels: Mapping[str, str], value: float) -> Metric:
    family = CounterMetricFamily(name, about, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family


def _counters(
    name: str, about: str, labels: Mapping[str, str], by: str, *, values: Mapping[str, float]
) -> Metric:
    family = CounterMetricFamily(name, about, labels=[*labels, by])
    for which, value in values.items():
        family.add_metric([*labels.values(), which], value)
    return family


def _gauge(name: str, about: str, labels: Mapping[str, str], value: float) -> Metric:
    family = GaugeMetricFamily(name, about, labels=list(labels))
    family.add_metric(list(labels.values()), value)
    return family
