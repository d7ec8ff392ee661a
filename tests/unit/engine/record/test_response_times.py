"""Counts by bucket, and what is read from them: rows worked out by hand, and what always holds."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.record.response_times import Buckets, log_linear, log_spaced

DECADES = Buckets(np.array([0.001, 0.01, 0.1, 1.0]))
"""Up to 1 ms, to 10 ms, to 100 ms, to 1 s, above.  Half a bucket is a factor of √10."""

HALF = math.sqrt(10.0)


@pytest.mark.parametrize(
    ("counts", "share", "expected_s"),
    [
        # All in one bucket: the share is the way through it, in the logarithm.
        ([0, 0, 4, 0, 0], 0.50, 0.01 * HALF),
        ([0, 0, 4, 0, 0], 0.25, 0.01 * 10**0.25),
        ([0, 0, 4, 0, 0], 0.00, 0.01),
        ([0, 0, 4, 0, 0], 1.00, 0.1),  # its end, not that of the empty ones above
        # 2 of 4 are up to 10 ms, so the median is there; 3 of 4 half-way through the next two.
        ([0, 2, 2, 0, 0], 0.50, 0.01),
        ([0, 2, 2, 0, 0], 0.75, 0.01 * HALF),
        # An empty bucket between: 0.5 is the end of the lower one; 0.6 is (0.6 - 0.5) / 0.5 = 1/5
        # of the way from 100 ms to 1 s.
        ([0, 2, 0, 2, 0], 0.50, 0.01),
        ([0, 2, 0, 2, 0], 0.60, 0.1 * 10**0.2),
        # Ten times as much of the same is the same, and amounts need not be whole.
        ([0, 0.2, 0, 0.2, 0], 0.60, 0.1 * 10**0.2),
        # The outer buckets are read as the one edge that they have.
        ([4, 0, 0, 0, 0], 0.10, 0.001),
        ([4, 0, 0, 0, 0], 1.00, 0.001),
        ([0, 0, 0, 0, 4], 0.10, 1.0),
        ([1, 0, 0, 2, 1], 0.25, 0.001),
        ([1, 0, 0, 2, 1], 0.50, 0.1 * HALF),  # 1 below, so 1 of the 2 in the fourth
        ([1, 0, 0, 2, 1], 0.99, 1.0),
        # What rounding leaves of a difference is nothing.
        ([0, -1e-12, 4, -1e-12, 0], 0.50, 0.01 * HALF),
    ],
)  # fmt: skip
def test_a_quantile_lies_evenly_in_the_logarithm_of_its_bucket(
    counts: list[float], share: float, expected_s: float
) -> None:
    assert DECADES.quantiles(np.array(counts), (share,)) == pytest.approx([expected_s], rel=1e-9)


@pytest.mark.parametrize("counts", [np.zeros(5), np.zeros(5, np.int64)])
def test_of_nothing_there_is_no_quantile(counts: np.ndarray) -> None:
    assert np.isnan(DECADES.quantiles(counts, (0.0, 0.5, 1.0))).all()


@pytest.mark.parametrize(
    ("time_s", "bucket"),
    [
        (-1.0, 0), (0.0, 0), (0.001, 0), (0.0010001, 1), (0.01, 1), (0.1, 2), (0.5, 3), (1.0, 3),
        (1.0001, 4), (math.inf, 4),
    ],
)  # fmt: skip
def test_an_edge_belongs_to_the_bucket_below_it(time_s: float, bucket: int) -> None:
    assert DECADES.bucket(time_s) == bucket
    assert DECADES.count([time_s]).tolist() == [int(k == bucket) for k in range(5)]


@pytest.mark.parametrize(
    ("time_s", "expected"),
    [
        (0.0, 0.0), (0.0009, 0.0),  # what is below the first edge is read as on it
        (0.001, 1.0),
        (0.001 * HALF, 2.0),  # half of the two between 1 and 10 ms
        (0.01, 3.0), (0.05, 3.0), (0.1, 3.0),
        (0.1 * 10**0.25, 4.0),  # a quarter of four
        (1.0, 7.0), (100.0, 7.0),  # the one above the last edge is above any time
    ],
)  # fmt: skip
def test_the_counts_up_to_a_time_are_quantiles_the_other_way_round(
    time_s: float, expected: float
) -> None:
    assert DECADES.up_to(np.array([1, 2, 0, 4, 1]), time_s) == pytest.approx(expected)


def test_counts_are_made_into_those_of_other_buckets() -> None:
    # 4 evenly from 10 to 100 ms, in the logarithm: 2 up to 10^1.5 ms; 1 each below and above all.
    coarse = Buckets(np.array([0.01 * HALF, 0.5]))
    counts = coarse.rebucketed(np.array([1, 0, 4, 0, 1]), DECADES)
    assert counts == pytest.approx([3.0, 2.0, 1.0])


def test_an_octave_has_equal_parts() -> None:
    # From 1/4 s, two octaves in four parts: 1/4 (5, 6, 7)/4, 1/2, 1/2 (5, 6, 7)/4; up to 1 s.
    expected = [0.3125, 0.375, 0.4375, 0.5, 0.625, 0.75, 0.875]
    assert log_linear(-2, 2, 4).tolist() == expected


def test_few_counts_are_spread_over_all_buckets() -> None:
    assert DECADES.dense({3: 2, 0: 1}).tolist() == [1, 0, 0, 2, 0]
    assert DECADES.dense({}).tolist() == [0] * 5


@pytest.mark.parametrize(
    ("edges_s", "message"),
    [
        ([], "shape"), ([[1.0]], "shape"), ([0.0, 1.0], "above 0"), ([1.0, 1.0], "ascending"),
        ([2.0, 1.0], "ascending"), ([1.0, math.inf], "finite"), ([math.nan], "finite"),
    ],
)  # fmt: skip
def test_edges_that_make_no_buckets_are_refused(edges_s: list[float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Buckets(np.array(edges_s))


@pytest.mark.parametrize("share", [-0.01, 1.01, math.nan])
def test_a_share_is_from_0_to_1(share: float) -> None:
    with pytest.raises(ValueError, match="shares"):
        DECADES.quantiles(np.ones(5), (0.5, share))


def test_counts_over_other_buckets_are_refused() -> None:
    for read in (
        lambda: DECADES.quantiles(np.ones(4), (0.5,)),
        lambda: DECADES.up_to(np.ones(6), 1),
    ):
        with pytest.raises(ValueError, match="expected"):
            read()


BUCKETS = Buckets(log_spaced(0.01, 10.0, 31))
times = st.lists(st.floats(1e-4, 100.0), min_size=1, max_size=60)
shares = st.lists(st.floats(0.0, 1.0), min_size=1, max_size=8)


@given(first=times, second=times, shares=shares)
def test_counts_merge_and_quantiles_ascend_within_the_buckets_of_the_exact_ones(
    first: list[float], second: list[float], shares: list[float]
) -> None:
    counts = BUCKETS.count(first) + BUCKETS.count(second)
    assert counts.tolist() == BUCKETS.count(first + second).tolist()
    one_by_one = [0] * len(BUCKETS)
    for time_s in first + second:
        one_by_one[BUCKETS.bucket(time_s)] += 1
    assert counts.tolist() == one_by_one

    shares = sorted(shares)
    read_s = BUCKETS.quantiles(counts, shares)
    assert (np.diff(read_s) >= 0.0).all()
    # The exact rank is worked out as the sum of the counts is, so that ties fall the same way.
    ordered = np.sort(first + second)
    so_far = np.arange(1, len(ordered) + 1) / len(ordered)
    edges_s = BUCKETS.edges_s
    for share, time_s in zip(shares, read_s, strict=True):
        bucket = BUCKETS.bucket(ordered[np.searchsorted(so_far, share)])
        low_s, high_s = edges_s[max(bucket - 1, 0)], edges_s[min(bucket, len(edges_s) - 1)]
        assert low_s <= time_s <= high_s


@given(counted=times, shares=st.lists(st.floats(0.01, 0.99), min_size=1, max_size=8))
def test_as_many_lie_up_to_a_quantile_as_its_share_says(
    counted: list[float], shares: list[float]
) -> None:
    inside = np.clip(counted, 0.011, 9.9)  # of the outer buckets it is not known
    counts = BUCKETS.count(inside)
    up_to = BUCKETS.up_to(counts, BUCKETS.quantiles(counts, shares)) / len(inside)
    assert up_to == pytest.approx(shares, abs=1e-6)
