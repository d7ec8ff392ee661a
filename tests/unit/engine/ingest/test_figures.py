"""Figures out of samples: each odd case by name, and quantiles as PromQL has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from engine.ingest.figures import added, at_time, in_order, quantile_of, taken, thinned
from engine.ingest.watching import MemberArrays
from tests.remote_write import STALE

LOOKBACK_MS = 15_000


def seen(*samples: tuple[float, float], at_s: float = 100.0) -> tuple[float, float, float]:
    """Value, rate and time (s) of one series with these samples (time in s, value)."""
    columns = in_order(
        np.zeros(len(samples), np.int64),
        np.array([round(time_s * 1000.0) for time_s, _ in samples], np.int64),
        np.array([value for _, value in samples]),
    )
    instant = at_time(columns, 1, round(at_s * 1000.0), LOOKBACK_MS)
    return float(instant.value[0]), float(instant.rate[0]), float(instant.at_ms[0]) / 1000.0


@pytest.mark.parametrize(
    ("samples", "value", "rate", "time_s"),
    [
        pytest.param([], math.nan, math.nan, 0, id="nothing"),
        pytest.param([(98, 7)], 7, math.nan, 98, id="one sample"),
        pytest.param([(93, 5), (98, 15)], 15, 2, 98, id="two samples"),
        pytest.param([(88, 0), (93, 5), (98, 15)], 15, 2, 98, id="the two newest of three"),
        pytest.param([(98, 15), (93, 5)], 15, 2, 98, id="late"),
        pytest.param([(93, 5), (98, 15), (98, 99)], 15, 2, 98, id="twice, the first counts"),
        pytest.param([(93, 50), (98, 10)], 10, 2, 98, id="a counter that began anew"),
        pytest.param([(84, 5), (98, 15)], 15, math.nan, 98, id="the one before is too old"),
        pytest.param([(80, 5), (85, 15)], math.nan, math.nan, 0, id="all are too old"),
        pytest.param([(93, 5), (98, STALE)], math.nan, math.nan, 0, id="ended"),
        pytest.param([(93, STALE), (98, 5)], 5, math.nan, 98, id="begun again"),
        pytest.param([(93, 5), (98, 15), (103, 25)], 15, 2, 98, id="of the future"),
        pytest.param([(98, math.nan)], math.nan, math.nan, 98, id="no number, and no end"),
    ],
)
def test_a_series_counts_with_its_newest_samples(
    samples: list[tuple[float, float]], value: float, rate: float, time_s: float
) -> None:
    assert seen(*samples) == pytest.approx((value, rate, time_s), nan_ok=True)


def members(services: list[int], bounds: list[float] | None = None) -> MemberArrays:
    count = len(services)
    return MemberArrays(
        np.arange(count), np.array(services, np.int64), np.arange(count),
        np.array(bounds or [math.nan] * count), np.arange(count),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("take", "expected"),
    [
        ("sum", [30.0, 5.0, math.nan]),
        ("average", [15.0, 5.0, math.nan]),
        ("largest", [20.0, 5.0, math.nan]),
        ("rate", [3.0, math.nan, math.nan]),
    ],
)
def test_series_of_a_service_are_taken_together(take: str, expected: list[float]) -> None:
    whose = members([0, 0, 1, 2])
    columns = in_order(
        np.array([0, 0, 1, 1, 2]), np.array([93_000, 98_000, 93_000, 98_000, 98_000]),
        np.array([5.0, 10.0, 10.0, 20.0, 5.0]),
    )  # fmt: skip
    instant = at_time(columns, 4, 100_000, LOOKBACK_MS)
    result = taken(take, None, whose, instant, owners=whose.services, count=3)  # type: ignore[arg-type]
    assert result.tolist() == pytest.approx(expected, nan_ok=True)


INF = math.inf


@pytest.mark.parametrize(
    ("quantile", "bounds", "counts", "expected"),
    [
        (0.5, [0.1, 0.2, INF], [50, 90, 100], 0.1),
        (0.95, [0.1, 0.2, INF], [50, 90, 100], 0.2),  # in the last bucket: the largest bound
        (0.25, [0.1, 0.2, INF], [50, 90, 100], 0.05),
        (0.7, [0.1, 0.2, INF], [50, 90, 100], 0.15),
        (0.5, [0.1, 0.2, INF], [0, 0, 0], math.nan),
        (0.5, [0.1, 0.2], [50, 90], math.nan),  # without a last bucket nothing is known
        (0.5, [INF], [50], math.nan),
        (0.0, [0.1, INF], [10, 10], 0.0),
        (1.0, [0.1, INF], [10, 10], 0.1),
        (0.5, [-1.0, 1.0, INF], [10, 10, 10], -1.0),
        (0.5, [0.1, 0.2, INF], [50, 40, 100], 0.1),  # counts that fall, as of a lost scrape
    ],
)
def test_quantiles_are_those_of_histogram_quantile(
    quantile: float, bounds: list[float], counts: list[float], expected: float
) -> None:
    one = np.zeros(len(bounds), np.int64)
    result = quantile_of(quantile, np.array(bounds), one, np.array(counts, np.float64))
    assert result == pytest.approx(expected, nan_ok=True)


def test_histograms_with_bounds_of_their_own_are_counted_together() -> None:
    # One knows 0.1 and 0.4, the other 0.2 and 0.4: at 0.1 the other has counted nothing yet.
    bounds = np.array([0.1, 0.4, INF, 0.2, 0.4, INF])
    groups = np.array([0, 0, 0, 1, 1, 1])
    counts = np.array([10.0, 10.0, 10.0, 10.0, 10.0, 10.0])
    assert quantile_of(0.5, bounds, groups, counts) == pytest.approx(0.1)
    assert quantile_of(0.75, bounds, groups, counts) == pytest.approx(0.15)


@given(
    st.lists(st.integers(0, 1000), min_size=2, max_size=12),
    st.floats(0.0, 1.0),
    st.integers(1, 5),
)
def test_a_quantile_is_within_its_bucket_and_that_of_copies_is_the_same(
    steps: list[int], quantile: float, copies: int
) -> None:
    bounds = np.array([*range(1, len(steps)), INF], np.float64)
    counts = np.cumsum(steps).astype(np.float64)
    one = quantile_of(quantile, bounds, np.zeros(len(steps), np.int64), counts)
    if counts[-1] == 0.0:
        assert math.isnan(one)
        return
    bucket = int(np.searchsorted(counts, quantile * counts[-1]))
    if bucket == len(steps) - 1:
        assert one == bounds[-2]
    else:
        assert bounds[bucket] - 1.0 - 1e-9 <= one <= bounds[bucket] + 1e-9
    several = quantile_of(
        quantile, np.tile(bounds, copies), np.repeat(np.arange(copies), len(steps)),
        np.tile(counts, copies),
    )  # fmt: skip
    assert several == pytest.approx(one)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 2),
            st.integers(50_000, 101_000),
            st.sampled_from([*map(float, range(20)), STALE]),
        ),
        max_size=40,
    ),
    st.integers(1, 15),
)
@example([(0, 90_000, 1.0), (0, 90_001, 2.0), (0, 90_002, 3.0), (0, 90_003, 4.0)], 3)
def test_what_comes_in_batches_gives_the_figures_of_what_comes_at_once(
    samples: list[tuple[int, int, float]], size: int
) -> None:
    places, at_ms, values = (
        np.array([one[k] for one in samples], kind)
        for k, kind in enumerate((np.int64, np.int64, np.float64))
    )
    whole = in_order(places, at_ms, values)
    parts = in_order(places[:0], at_ms[:0], values[:0])
    for k in range(0, len(samples), size):
        batch = slice(k, k + size)
        parts = thinned(added(parts, places[batch], at_ms[batch], values[batch]), 60_000, 5_000)
    for time_ms in range(75_000, 100_001, 5_000):
        expected, instant = (at_time(one, 3, time_ms, LOOKBACK_MS) for one in (whole, parts))
        assert np.array_equal(instant.value, expected.value, equal_nan=True)
        assert np.array_equal(instant.rate, expected.rate, equal_nan=True)
        assert np.array_equal(instant.at_ms, expected.at_ms)
