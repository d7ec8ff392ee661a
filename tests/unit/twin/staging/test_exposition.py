"""What workers tell Prometheus, read by its rules."""

from __future__ import annotations

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from twin.staging.exposition import BUCKETS, Histogram, WorkerCounters

LABELS = {"service": "api", "instance": 'api-"1"\n', "zone": "a\\b"}
"""As no worker is named, and as any could be."""


def samples(counts: WorkerCounters) -> dict[str, list[tuple[dict[str, str], float]]]:
    """By name: labels apart from LABELS, which each has, and value."""
    read: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(counts.expose(LABELS, {}).decode()):
        for sample in family.samples:
            assert LABELS.items() <= sample.labels.items()
            own = {name: of for name, of in sample.labels.items() if name not in LABELS}
            read.setdefault(sample.name, []).append((own, sample.value))
    return read


def read(histogram: Histogram) -> dict[str, dict[str, float]]:
    """What a worker would tell of the histogram: by name, and by bucket where there are some."""
    counts = WorkerCounters(1.0)
    counts.held = histogram
    return {
        name.replace("wedtwin_service", "wedtwin_x"): {
            labels.get("le", ""): value for labels, value in values
        }
        for name, values in samples(counts).items()
    }


def test_buckets_are_cumulative_and_end_with_the_count() -> None:
    histogram = Histogram()
    durations = [0.0, float(BUCKETS.edges_s[0]), 0.1, 0.1, 5.0, 1e9]
    for duration in durations:
        histogram.observe(duration)
    figures = read(histogram)
    buckets = list(figures["wedtwin_x_seconds_bucket"].values())
    assert buckets == sorted(buckets)
    assert figures["wedtwin_x_seconds_bucket"]["0.002"] == 2  # its bound belongs to a bucket
    assert figures["wedtwin_x_seconds_bucket"]["+Inf"] == len(durations)
    assert figures["wedtwin_x_seconds_count"][""] == len(durations)
    assert figures["wedtwin_x_seconds_sum"][""] == pytest.approx(sum(durations))


def test_sums_and_squares_give_mean_and_variability() -> None:
    histogram = Histogram()
    durations = np.random.default_rng(1).gamma(2.0, 0.1, 1000)
    for duration in durations.tolist():
        histogram.observe(duration)
    figures = read(histogram)
    count = figures["wedtwin_x_seconds_count"][""]
    mean_s = figures["wedtwin_x_seconds_sum"][""] / count
    square = figures["wedtwin_x_squared_seconds_total"][""] / count
    assert mean_s == pytest.approx(durations.mean())
    assert square / mean_s**2 - 1.0 == pytest.approx(durations.var() / durations.mean() ** 2)


def test_a_quantile_read_from_the_buckets_is_within_some_per_cent() -> None:
    histogram = Histogram()
    durations = np.random.default_rng(2).gamma(1.0, 0.16, 20_000)
    for duration in durations.tolist():
        histogram.observe(duration)
    buckets = read(histogram)["wedtwin_x_seconds_bucket"]
    counts, bounds = np.array(list(buckets.values())), BUCKETS.edges_s
    for quantile in (0.5, 0.95, 0.99):
        # As histogram_quantile does: linear within the bucket.
        rank = quantile * counts[-1]
        bucket = int(np.searchsorted(counts, rank))
        low_s, below = (bounds[bucket - 1], counts[bucket - 1]) if bucket else (0.0, 0)
        share = (rank - below) / (counts[bucket] - below)
        read_s = low_s + (bounds[bucket] - low_s) * share
        assert read_s == pytest.approx(float(np.quantile(durations, quantile)), rel=0.03)


def test_calls_are_counted_by_callee() -> None:
    counts = WorkerCounters(1.0, ["database", "ai-services"])
    counts.calls["ai-services"] += 2
    assert samples(counts)["wedtwin_calls_total"] == [
        ({"callee": "database"}, 0.0), ({"callee": "ai-services"}, 2.0),
    ]  # fmt: skip
    assert "wedtwin_calls_total" not in samples(WorkerCounters(1.0))


def test_gauges_and_counters_are_told_apart_by_their_names() -> None:
    text = WorkerCounters(1.0).expose(
        LABELS, {"wedtwin_slots": (4, "At once."), "wedtwin_cpu_seconds_total": (1.5, "Used.")}
    )
    kinds = {family.name: family.type for family in text_string_to_metric_families(text.decode())}
    assert kinds["wedtwin_slots"] == "gauge"
    assert kinds["wedtwin_cpu_seconds"] == "counter"
    assert kinds["wedtwin_response_seconds"] == "histogram"


def test_an_outcome_is_counted_where_it_belongs() -> None:
    counts = WorkerCounters(0.1)
    counts.responded(0.05)
    counts.responded(0.2)
    counts.outcomes["served"] += 2
    counts.outcomes["shed"] += 1
    read = samples(counts)
    assert read["wedtwin_slow_total"] == [({}, 1.0)]
    assert {labels["outcome"]: n for labels, n in read["wedtwin_responses_total"]} == {
        "served": 2.0, "shed": 1.0, "timed_out": 0.0, "failed": 0.0,
    }  # fmt: skip
