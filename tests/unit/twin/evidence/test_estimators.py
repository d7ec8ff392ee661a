"""Estimators: by hand, and by how often their intervals hold what they were made of."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twin.evidence.estimators import (
    IntervalEstimate,
    RowsError,
    estimate,
    mean,
    proportion,
    quantile,
    rate,
    ratio,
)


def test_the_mean_has_students_interval() -> None:
    # n = 3, sd = 1, t(0.975, 2) = 4.302653: half = 4.302653 / sqrt(3) = 2.484138
    made = mean(np.array([1.0, 2.0, 3.0]))
    assert (made.value, made.n) == (2.0, 3)
    assert made.low == pytest.approx(2.0 - 2.484138, abs=1e-6)
    assert made.high == pytest.approx(2.0 + 2.484138, abs=1e-6)


def test_no_failure_in_ten_does_not_show_that_there_is_none() -> None:
    # Clopper-Pearson with 0 of 10: 1 - 0.025 ** (1 / 10) = 0.308497
    made = proportion(np.zeros(10))
    assert (made.value, made.low) == (0.0, 0.0)
    assert made.high == pytest.approx(0.308497, abs=1e-6)


def test_all_of_ten_does_not_show_that_it_is_always() -> None:
    made = proportion(np.ones(10))
    assert (made.value, made.high) == (1.0, 1.0)
    assert made.low == pytest.approx(1.0 - 0.308497, abs=1e-6)


def test_a_ratio_weighs_its_rows_by_what_they_count() -> None:
    made = ratio(np.array([1.0, 30.0]), np.array([10.0, 90.0]))
    assert made is not None
    assert made.value == pytest.approx(0.31)
    assert made.low < 0.31 < made.high


@pytest.mark.parametrize(
    ("events", "weeks", "low", "high"),
    [
        # Garwood: 0 in 2 weeks: -ln(0.025) / 2 = 1.844440
        ([0.0, 0.0], [1.0, 1.0], 0.0, 1.844440),
        # 4 in 2 weeks: chi2(0.025, 8) / 4 = 0.544933, chi2(0.975, 10) / 4 = 5.120794
        ([2.0, 2.0], [1.0, 1.0], 0.544933, 5.120794),
        ([4.0], [2.0], 0.544933, 5.120794),
        # Rows that differ much: the interval of the rows, cut at 0.  half = 12.706205 * 20 / 2
        ([0.0, 20.0], [1.0, 1.0], 0.0, 10.0 + 127.06205),
    ],
)
def test_a_rate_is_as_uncertain_as_a_count_and_as_its_rows(
    events: list[float], weeks: list[float], low: float, high: float
) -> None:
    made = rate(np.array(events), np.array(weeks))
    assert made is not None
    assert made.value == sum(events) / sum(weeks)
    assert (made.low, made.high) == pytest.approx((low, high), abs=1e-5)


def test_a_rate_is_made_of_counts_that_were_waited_for() -> None:
    assert rate(np.array([math.nan]), np.array([1.0])) is None
    with pytest.raises(RowsError, match="counts"):
        rate(np.array([0.5, 1.0]), np.array([1.0, 1.0]))


@pytest.mark.parametrize(
    ("above", "below", "low", "high"),
    [
        # 0 of 40: as Clopper-Pearson, 1 - 0.025 ** (1 / 40) = 0.088097
        ([0.0, 0.0], [20.0, 20.0], 0.0, 0.088097),
        ([20.0, 20.0], [20.0, 20.0], 1.0 - 0.088097, 1.0),
        # What rounding leaves of a count is a count.
        ([19.999999999, 20.0], [20.0, 20.0], 1.0 - 0.088097, 1.0),
        # Rows that differ much: the interval of the rows, cut at 0.  half = 12.7062 * 0.05
        ([0.0, 2.0], [20.0, 20.0], 0.0, 0.05 + 12.706205 * 0.05),
        # No counts: nothing to be independent trials of, but still a share.
        ([0.5, 0.5], [1.0, 1.0], 0.5, 0.5),
        # No share: above what it is divided by.
        ([4.0, 4.0], [2.0, 2.0], 2.0, 2.0),
        ([-1.0, -1.0], [2.0, 2.0], -0.5, -0.5),
    ],
)
def test_a_share_is_no_surer_than_as_many_trials(
    above: list[float], below: list[float], low: float, high: float
) -> None:
    made = ratio(np.array(above), np.array(below))
    assert made is not None
    assert made.low == pytest.approx(low, abs=1e-5)
    assert made.high == pytest.approx(high, abs=1e-5)


def test_a_ratio_of_nothing_is_none() -> None:
    assert ratio(np.array([0.0]), np.array([0.0])) is None
    assert ratio(np.array([1.0]), np.array([math.nan])) is None


@pytest.mark.parametrize(("n", "q", "high"), [(4, 0.95, math.inf), (200, 0.5, 115.0)])
def test_a_quantile_lies_between_order_statistics(n: int, q: float, high: float) -> None:
    made = quantile(np.arange(1.0, n + 1.0), q)
    assert made.value == math.ceil(q * n)
    assert made.high == high


def test_one_row_has_no_interval() -> None:
    assert mean(np.array([5.0])) == IntervalEstimate(5.0, -math.inf, math.inf, 1)
    alone = ratio(np.array([1.0]), np.array([2.0]))
    assert alone == IntervalEstimate(0.5, -math.inf, math.inf, 1)


@pytest.mark.parametrize("estimator", ["mean", "proportion", "ratio", "quantile"])
def test_intervals_hold_the_truth_about_as_often_as_they_say(estimator: str) -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(400):
        if estimator == "proportion":
            rows = [{"a": float(x)} for x in rng.random(40) < 0.3]
            truth = 0.3
        elif estimator == "ratio":
            counts = rng.integers(50, 150, 40)
            rows = [{"a": float(rng.binomial(n, 0.2)), "b": float(n)} for n in counts]
            truth = 0.2
        else:
            rows = [{"a": float(x)} for x in rng.normal(7.0, 2.0, 40)]
            truth = 7.0
        made = estimate(
            rows, estimator, column="a", over="b" if estimator == "ratio" else None,
            q=0.5 if estimator == "quantile" else None,
        )  # fmt: skip
        assert made is not None
        held += made.low <= truth <= made.high
    assert 0.92 <= held / 400 <= 1.0


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{"b": 1.0}], "row 0 has no a; it has b"),
        ([{"a": "x"}], "row 0: a: 'x' is not allowed"),
        ([{"a": math.inf}], "row 0: a: inf is not allowed"),
        ([{"a": 0.5}], "a proportion is made of 0 and 1, not of 0.5"),
    ],
)
def test_rows_of_something_else_are_refused(rows: list[dict[str, object]], expected: str) -> None:
    with pytest.raises(RowsError, match=expected):
        estimate(rows, "proportion", column="a", over=None, q=None)


def test_rows_with_nothing_to_measure_do_not_count() -> None:
    made = estimate([{"a": None}, {"a": 3.0}, {"a": 5.0}], "mean", column="a", over=None, q=None)
    assert made is not None
    assert (made.value, made.n) == (4.0, 2)
    assert estimate([{"a": None}], "mean", column="a", over=None, q=None) is None
