"""How many weddings each date may have: one model for the season's forecast and for the plan."""

from __future__ import annotations

import numpy as np
import pytest

from engine.prediction.wedding_counts import (
    DAYS_PER_YEAR,
    BookingCurve,
    Dates,
    expect_counts,
    update,
)


def dates(first: int, count: int) -> Dates:
    day = np.arange(first, first + count)
    return Dates(
        year=day / DAYS_PER_YEAR,
        month=np.minimum(day % 365 // 31, 11),
        weekday=day % 7,
        kind=np.zeros(count, dtype=np.int64),
    )


def usual(of: Dates, growth: float) -> np.ndarray:
    """Saturdays are ten times as busy, the middle of the year twice."""
    wave = 1.0 - 0.4 * np.cos(2.0 * np.pi * of.year)
    return np.where(of.weekday == 5, 500.0, 50.0) * wave * np.exp(growth * of.year)


@pytest.mark.parametrize("days", [365, 400, 500, 727])
@pytest.mark.parametrize("growth", [-0.2, 0.0, 0.2])
def test_with_less_than_two_years_the_time_of_the_year_is_not_taken_for_growth(
    days: int, growth: float
) -> None:
    past = dates(0, days)
    expected = expect_counts(past, usual(past, growth), dates(days, 365), growth_sd=0.08)
    assert expected.growth_per_year == 0.0
    seen = np.log(usual(past, growth))
    assert seen.min() - 0.5 < expected.log_weddings.min()
    assert expected.log_weddings.max() < seen.max() + 0.5


@pytest.mark.parametrize("days", [728, 1000, 1461])
@pytest.mark.parametrize("growth", [-0.1, 0.0, 0.15])
def test_from_two_years_on_growth_is_learned(days: int, growth: float) -> None:
    past = dates(0, days)
    expected = expect_counts(past, usual(past, growth), dates(days, 365), growth_sd=0.08)
    assert expected.growth_per_year == pytest.approx(growth, abs=0.06)


def test_what_is_wholly_booked_is_as_many_as_are_booked() -> None:
    past, coming = dates(0, 1095), dates(1095, 365)
    rng = np.random.default_rng(4)
    expected = expect_counts(past, rng.poisson(usual(past, 0.1)).astype(float), coming, 0.08)
    booked = rng.poisson(usual(coming, 0.3)).astype(float)
    all_known = BookingCurve(np.array([0.0, 400.0]), np.array([1.0, 1.0]), 0.0)
    counts = update(expected, booked, np.zeros(365), all_known)
    assert counts.median.sum() == pytest.approx(booked.sum(), rel=0.02)
