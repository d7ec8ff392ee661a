"""What workers tell Prometheus, read by its rules."""

from __future__ import annotations

import re

import numpy as np
import pytest

from twin.staging.exposition import BOUNDS, Counts, Histogram

LINE = re.compile(r'^([a-z_]+)\{service="api"(?:,le="([^"]+)")?\} (\S+)$')


def read(histogram: Histogram) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for line in histogram.lines("wedtwin_x_seconds", 'service="api"', "About."):
        if not line.startswith("#"):
            match = LINE.match(line)
            assert match is not None, line
            found.setdefault(match[1], {})[match[2] or ""] = float(match[3])
    return found


def test_buckets_are_cumulative_and_end_with_the_count() -> None:
    histogram = Histogram()
    durations = [0.0, BOUNDS[0], 0.1, 0.1, 5.0, 1e9]
    for duration in durations:
        histogram.observe(duration)
    found = read(histogram)
    buckets = list(found["wedtwin_x_seconds_bucket"].values())
    assert buckets == sorted(buckets)
    assert found["wedtwin_x_seconds_bucket"][f"{BOUNDS[0]:g}"] == 2  # its bound belongs to a bucket
    assert found["wedtwin_x_seconds_bucket"]["+Inf"] == len(durations)
    assert found["wedtwin_x_seconds_count"][""] == len(durations)
    assert found["wedtwin_x_seconds_sum"][""] == pytest.approx(sum(durations))


def test_sums_and_squares_give_mean_and_variability() -> None:
    histogram = Histogram()
    durations = np.random.default_rng(1).gamma(2.0, 0.1, 1000)
    for duration in durations.tolist():
        histogram.observe(duration)
    found = read(histogram)
    count = found["wedtwin_x_seconds_count"][""]
    mean_s = found["wedtwin_x_seconds_sum"][""] / count
    square = found["wedtwin_x_squared_seconds_total"][""] / count
    assert mean_s == pytest.approx(durations.mean())
    assert square / mean_s**2 - 1.0 == pytest.approx(durations.var() / durations.mean() ** 2)


def test_a_quantile_read_from_the_buckets_is_within_some_per_cent() -> None:
    histogram = Histogram()
    durations = np.random.default_rng(2).gamma(1.0, 0.16, 20_000)
    for duration in durations.tolist():
        histogram.observe(duration)
    buckets = read(histogram)["wedtwin_x_seconds_bucket"]
    counts = np.array(list(buckets.values()))
    for quantile in (0.5, 0.95, 0.99):
        # As histogram_quantile does: linear within the bucket.
        rank = quantile * counts[-1]
        bucket = int(np.searchsorted(counts, rank))
        low_s, below = (BOUNDS[bucket - 1], counts[bucket - 1]) if bucket else (0.0, 0)
        share = (rank - below) / (counts[bucket] - below)
        read_s = low_s + (BOUNDS[bucket] - low_s) * share
        assert read_s == pytest.approx(float(np.quantile(durations, quantile)), rel=0.03)


def test_calls_are_counted_by_callee() -> None:
    counts = Counts(1.0, ["database", "ai-services"])
    counts.calls["ai-services"] += 2
    lines = counts.expose('service="api"', {}).splitlines()
    assert 'wedtwin_calls_total{service="api",callee="database"} 0' in lines
    assert 'wedtwin_calls_total{service="api",callee="ai-services"} 2' in lines
    assert "wedtwin_calls_total" not in Counts(1.0).expose('service="api"', {})
