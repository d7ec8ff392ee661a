"""The calendar as regressors."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine.model import Calendar, Series
from engine.prediction.events import EDGES_S, columns, nearness
from engine.prediction.past import prepare

HOUR_S = 3600.0


def calendar(*starts_s: float) -> Calendar:
    n = len(starts_s)
    return Calendar(np.array(starts_s, dtype=np.float64), np.ones(n), ("",) * n, np.zeros(n))


def test_a_stretch_counts_by_its_share_of_the_step() -> None:
    times_s = HOUR_S * np.arange(8)
    shares = columns(calendar(2.5 * HOUR_S), times_s, HOUR_S, (0.0, HOUR_S, 3 * HOUR_S))
    np.testing.assert_allclose(shares[:, 0], [0, 0, 0.5, 0.5, 0, 0, 0, 0])
    np.testing.assert_allclose(shares[:, 1], [0, 0, 0, 0.5, 1.0, 0.5, 0, 0])


def test_no_events_are_no_columns_of_anything_but_zero() -> None:
    assert not columns(calendar(), HOUR_S * np.arange(5), HOUR_S).any()


@given(
    st.lists(st.integers(0, 200), min_size=1, max_size=12),
    st.sampled_from([300.0, 900.0, 3600.0, 7200.0]),
)
def test_overlaps_add_up(quarters: list[int], step_s: float) -> None:
    starts = sorted(900.0 * q for q in quarters)
    times_s = step_s * np.arange(int(60 * HOUR_S / step_s))
    together = columns(calendar(*starts), times_s, step_s)
    apart = sum(columns(calendar(start), times_s, step_s) for start in starts)
    np.testing.assert_allclose(together, apart, atol=1e-6)
    lengths = np.minimum(np.diff(EDGES_S), step_s)
    # Whatever the step: each event is counted for exactly as long as each stretch lasts.
    inside = [s for s in starts if s >= HOUR_S and s + EDGES_S[-1] <= times_s[-1]]
    if len(inside) == len(starts):
        np.testing.assert_allclose(
            (together * lengths).sum(axis=0), len(starts) * np.diff(EDGES_S), rtol=1e-6
        )


def test_a_second_event_at_once_is_worth_less_than_the_first() -> None:
    series = Series("load", 0.0, HOUR_S, np.ones(30))
    one, two = (
        prepare(series, 20, calendar(*starts), 4, unit=1.0).columns
        for starts in ([12 * HOUR_S], [12 * HOUR_S, 12 * HOUR_S])
    )
    assert one.shape == (24, len(EDGES_S) - 1)
    assert one[12, 1] == 1.0
    np.testing.assert_allclose(two, np.log2(3.0) * one)


def test_nearness_looks_both_ways_and_not_too_far() -> None:
    times_s = HOUR_S * np.array([0.0, 20.0, 22.0, 60.0])
    hours = nearness(calendar(21 * HOUR_S), times_s) / HOUR_S
    np.testing.assert_allclose(hours, [[12, 12], [12, 1], [1, 12], [12, 12]])
