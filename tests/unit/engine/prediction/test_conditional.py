"""Calibration apart for event hours: worked out by hand, and what must hold for any series."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from engine.model import Calendar, FloatArray
from engine.prediction import conditional
from engine.prediction.conditional import Conditions, of_booked, of_calendar, shifts, sizes
from engine.prediction.forecaster import LEVELS
from engine.prediction.intervals import GROUP_LEAN, conformal, leaning, quantiles

HOUR_S = 3600.0
START_S = 86_400.0 * 10_000


def conditions(
    inside: list[int], kind: list[int] | None = None, trait: list[int] | None = None
) -> Conditions:
    kinds = [0 if one else -1 for one in inside] if kind is None else kind
    return Conditions(
        np.array(inside, dtype=np.bool_), np.array(kinds), np.array(trait or [0] * len(inside))
    )


@pytest.mark.parametrize(
    ("own", "count", "expected"),
    [
        # The level of n + 1 scores: 0.5 stays, 0.9 of five becomes 0.98, 0.1 of them 0.02.
        ([], 0, [0.0, 2.0, 4.0]),
        ([10.0, 11.0, 12.0, 13.0, 14.0], 5, [2.016, 4.0, 5.984]),
        ([10.0, 11.0, 12.0, 13.0, 14.0], 20, [5.16, 7.0, 8.84]),
    ],
)
def test_a_group_with_few_scores_leans_to_all(
    own: list[float], count: int, expected: list[float]
) -> None:
    """`GROUP_LEAN` is 20: five scores count a fifth of the whole, twenty half of it.

    All scores are 0 … 4, counted as two, so that the outer levels are their ends.  Of 20 the own
    quantiles are at 0.1 - 0.4 / 20 = 0.08 of four steps: 10.32, and with 0 as the other half 5.16.
    """
    assert GROUP_LEAN == 20.0
    pooled = np.arange(5.0)
    level = np.array([0.1, 0.5, 0.9])
    mixed = leaning(np.array(own), pooled, level, counts=(count, 2))
    np.testing.assert_allclose(mixed, expected)


@given(
    st.lists(st.floats(-5, 5), min_size=1, max_size=40),
    st.lists(st.floats(-5, 5), min_size=1, max_size=40),
)
def test_leaning_quantiles_are_in_order_and_between_the_group_and_all(
    own: list[float], pooled: list[float]
) -> None:
    level = np.array(LEVELS)
    first, second = np.array(own), np.array(pooled)
    mixed = leaning(first, second, level, counts=(len(own), len(pooled)))
    ends = conformal(first, level, len(own)), conformal(second, level, len(pooled))
    assert (np.diff(mixed) >= -1e-12).all()
    assert (mixed >= np.minimum(*ends) - 1e-12).all()
    assert (mixed <= np.maximum(*ends) + 1e-12).all()
    many = leaning(first, second, level, counts=(10**9, len(pooled)))
    np.testing.assert_allclose(many, conformal(first, level, 10**9), atol=1e-6)


def test_the_shift_is_the_errors_of_earlier_event_hours_over_their_number_and_the_lean() -> None:
    fading = 0.5 ** (1.0 / 168.0)
    errors = np.array([0.1, 0.9, 0.5, 0.1, np.nan, np.nan])
    inside = conditions([1, 0, 1, 0, 1, 1])
    shift = shifts(errors, 1, inside)
    lean = 24.0 + 2.0
    # Two hours were seen; the larger error counts as 0.2. Each hour that passes fades them a bit.
    assert shift[[0, 1, 3]].tolist() == [0.0, 0.0, 0.0]
    assert shift[2] == pytest.approx(0.1 * fading / (fading + lean))
    total, weight = 0.1 * fading**2 + 0.2, fading**2 + 1.0
    assert shift[4] == pytest.approx(total * fading / (weight * fading + lean))
    assert shift[5] == pytest.approx(total * fading**2 / (weight * fading**2 + lean))


def test_errors_of_the_kind_before_count_half_once_the_next_has_begun() -> None:
    errors = np.array([0.2, 0.1, np.nan])
    fading = 0.5 ** (1.0 / 168.0)
    groups = conditions([1, 1, 1], kind=[0, 0, 0])
    rounds = conditions([1, 1, 1], kind=[0, 1, 1])
    same, later = (shifts(errors, 1, each)[2] for each in (groups, rounds))
    assert same == pytest.approx((0.2 * fading + 0.1) / (fading + 1.0 + 26.0))
    assert later == pytest.approx((0.1 * fading + 0.1) / (0.5 * fading + 1.0 + 26.0))


def test_something_is_half_as_new_after_three_hours_of_it() -> None:
    inside = conditions([1, 1, 1, 1, 0, 1], trait=[7, 7, 7, 7, 0, 8])
    np.testing.assert_allclose(inside.newness(1), [1.0, 0.75, 0.6, 0.5, 0.0, 1.0])
    np.testing.assert_allclose(inside.newness(3), [1.0, 1.0, 1.0, 0.75, 0.0, 1.0])


def test_a_group_has_the_size_of_its_own_errors_leaning_to_the_usual_one() -> None:
    usual = np.full(4, 0.1)
    errors = np.array([0.05, 0.05, np.nan, np.nan])
    quiet = sizes(errors, usual, 1, conditions([0, 0, 0, 0]))
    fading = 0.5 ** (1.0 / conditional.SIZE_MEMORY)
    assert quiet[0] == 0.1
    assert quiet[1] == pytest.approx(0.1 * (0.5 + 6.0) / (1.0 + 6.0))
    assert quiet[2] == pytest.approx(0.1 * (0.5 * fading + 0.5 + 6.0) / (fading + 1.0 + 6.0))
    # Nothing is seen of the other group: the usual size, and half as much more for what is new.
    assert sizes(errors, usual, 1, conditions([0, 0, 0, 1]))[3] == pytest.approx(0.15)


def test_what_was_new_before_says_how_much_wider_the_next_new_thing_is() -> None:
    steps = 60
    inside = [int(step % 2 == 0) for step in range(steps)]
    trait = [step // 6 for step in range(steps)]
    usual = np.full(steps, 0.1)
    alike = np.full(steps, 0.1)
    at_first = alike.copy()
    at_first[[step for step in range(steps) if step % 6 == 0]] = 0.4
    wide = sizes(at_first, usual, 1, conditions(inside, trait=trait))
    narrow = sizes(alike, usual, 1, conditions(inside, trait=trait))
    # Against the next hour of the same, which is less new.
    assert wide[54] / wide[56] > narrow[54] / narrow[56] > 1.0


def calendar(starts_h: list[float], kinds: list[str], size: list[float]) -> Calendar:
    starts = START_S + HOUR_S * np.array(starts_h)
    return Calendar(starts, np.array(size), tuple(kinds), np.full(len(starts), -np.inf))


def test_kinds_come_in_order_and_overlaps_and_sizes_are_traits_of_their_own() -> None:
    times_s = START_S + HOUR_S * np.arange(40)
    given_ = of_calendar(
        calendar(
            [1.5, 7.0, 13.0, 13.0, 20.0, 27.0, 33.0],
            ["group", "group", "group", "group", "final", "group", "group"],
            [1.0, 1.1, 1.0, 1.0, 1.0, 4.0, 0.95],
        ),
        times_s,
        HOUR_S,
    )
    assert np.flatnonzero(given_.inside).tolist() == [
        1, 2, 3, 7, 8, 9, 13, 14, 15, 20, 21, 22, 27, 28, 29, 33, 34, 35,
    ]  # fmt: skip
    assert given_.kind[[1, 7, 13, 20, 27, 0]].tolist() == [0, 0, 0, 1, 0, -1]
    one, same, two, final, large, again = given_.trait[[1, 7, 13, 20, 27, 33]].tolist()
    assert one == same == again
    assert len({one, two, final, large, int(given_.trait[0])}) == 5
    assert given_.newness(1)[[1, 7, 13, 20, 27, 33]] == pytest.approx([1, 0.5, 1, 1, 1, 1 / 3])


def test_a_saturday_that_has_more_booked_than_any_before_is_new() -> None:
    times_s = START_S + HOUR_S * np.arange(24 * 28)
    booked = np.ones(len(times_s))
    inside = of_booked(booked, times_s).inside
    last = np.flatnonzero(inside)[-24:]
    booked[last] = 9.0
    new = of_booked(booked, times_s).newness(1)
    assert inside.sum() == 96
    assert new[last[0]] == 1.0
    assert new[last[0] - 7 * 24] < 0.1


def exchangeable(steps: int, seed: int, much: float) -> tuple[FloatArray, FloatArray, Conditions]:
    """Noise that is `much` larger in three hours of twelve, around a forecast that is right."""
    rng = np.random.default_rng(seed)
    inside = np.arange(steps) % 12 < 3
    sd = np.where(inside, much * 0.05, 0.05)
    forecasts = np.full(steps, 100.0)
    kind = np.where(inside, 0, -1)
    trait = np.where(inside, 1, 0)
    values = forecasts * np.exp(sd * rng.standard_normal(steps))
    return forecasts, values, Conditions(inside, kind, trait)


@pytest.mark.parametrize("lead", [1, 2, 24])
@pytest.mark.parametrize("much", [0.5, 1.0, 4.0])
def test_each_group_is_held_as_often_as_is_said(lead: int, much: float) -> None:
    forecasts, values, given_ = exchangeable(3000, 11 + lead, much)
    bounds = quantiles(forecasts, values, lead, HOUR_S, unit=5.0, conditions=given_)[600:]
    assert (np.diff(bounds, axis=1) >= 0.0).all()
    held = (values[600:] >= bounds[:, 1]) & (values[600:] <= bounds[:, 5])
    for group in (True, False):
        here = given_.inside[600:] == group
        low, high = binom.ppf([5e-4, 1 - 5e-4], int(here.sum()), 0.8)
        # The levels themselves move, by a hundredth or two at most.
        assert low - 0.02 * here.sum() <= held[here].sum() <= high + 0.02 * here.sum()


def test_all_hours_alike_hold_too_little_where_it_matters() -> None:
    """What the calibration is for: the same series, calibrated over all hours."""
    forecasts, values, given_ = exchangeable(3000, 12, 4.0)
    bounds = quantiles(forecasts, values, 1, HOUR_S, unit=5.0)[600:]
    held = (values[600:] >= bounds[:, 1]) & (values[600:] <= bounds[:, 5])
    apart = quantiles(forecasts, values, 1, HOUR_S, unit=5.0, conditions=given_)[600:]
    there = given_.inside[600:]
    width = (bounds[:, 5] - bounds[:, 1])[~there].mean()
    assert (apart[:, 5] - apart[:, 1])[~there].mean() < width
    assert held[~there].mean() - held[there].mean() > 0.02


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([1, 3, 24]), st.integers(60, 280))
def test_nothing_that_is_later_than_the_asking_changes_anything(
    seed: int, lead: int, step: int
) -> None:
    rng = np.random.default_rng(seed)
    forecasts, values, given_ = exchangeable(300, seed, 3.0)
    given_ = Conditions(given_.inside, given_.kind, rng.integers(0, 9, 300))
    changed = values.copy()
    changed[step - lead + 1 :] = rng.permutation(changed[step - lead + 1 :]) * 7.0
    one = quantiles(forecasts, values, lead, HOUR_S, unit=5.0, conditions=given_)
    other = quantiles(forecasts, changed, lead, HOUR_S, unit=5.0, conditions=given_)
    np.testing.assert_array_equal(one[: step + 1], other[: step + 1])
    errors, later = (np.log(each / forecasts) for each in (values, changed))
    before, after = (shifts(each, lead, given_)[: step + 1] for each in (errors, later))
    np.testing.assert_array_equal(before, after)
