"""Twelve months ahead: what the bookings and earlier seasons teach, and how sure they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.planning.paths import PastDates, expect, paths
from engine.prediction.wedding_counts import (
    DAYS_PER_YEAR,
    BookingCurve,
    Dates,
    booking_curve,
    update,
)

SATURDAY = 5


def dates(first: int, count: int) -> Dates:
    day = np.arange(first, first + count)
    of_year = day % 365
    kind = np.zeros(count, dtype=np.int64)
    kind[of_year == 100] = 7
    return Dates(
        year=day / DAYS_PER_YEAR,
        month=np.minimum(of_year // 31, 11),
        weekday=day % 7,
        kind=kind,
    )


def weddings(of: Dates, growth: float = 0.1) -> np.ndarray:
    """Saturdays are ten times as busy, the sixth month twice, and the special day three times."""
    base = np.where(of.weekday == SATURDAY, 1000.0, 100.0)
    base = base * np.where(of.month == 5, 2.0, 1.0) * np.where(of.kind == 7, 3.0, 1.0)
    return base * np.exp(growth * of.year)


PAST, COMING = dates(0, 3 * 365), dates(3 * 365, 365)
CURVE = BookingCurve(np.array([0.0, 30.0, 365.0]), np.array([1.0, 0.5, 0.25]), 0.0)


def history(growth: float = 0.1) -> PastDates:
    return PastDates(PAST, weddings(PAST, growth), np.zeros((len(PAST), 2)))


def test_seasons_that_repeat_are_foretold() -> None:
    expected = expect(history(), COMING, growth_sd=0.05)
    assert np.exp(expected.counts.log_weddings) == pytest.approx(weddings(COMING), rel=0.02)
    assert expected.counts.growth_per_year == pytest.approx(0.1, abs=0.01)
    assert expected.counts.date_sd < 0.01


def test_drift_and_weekdays_of_the_response_are_foretold() -> None:
    response = 0.05 * PAST.year + np.where(PAST.weekday == SATURDAY, 0.1, 0.0)
    rng = np.random.default_rng(1)
    noisy = response[:, None] + 0.05 * rng.standard_normal((len(PAST), 2))
    expected = expect(PastDates(PAST, weddings(PAST), noisy), COMING, 0.05)
    wanted = 0.05 * COMING.year + np.where(COMING.weekday == SATURDAY, 0.1, 0.0)
    assert np.abs(expected.log_response[:, 0] - wanted).max() < 0.03
    assert expected.response_sd == pytest.approx([0.05, 0.05], rel=0.1)
    assert expected.response_memory < 0.1


def test_a_year_at_least_is_needed() -> None:
    few = dates(0, 300)
    with pytest.raises(ValueError, match=r"history: 300 days are too few \(365 at least\)"):
        expect(PastDates(few, weddings(few), np.zeros((300, 1))), COMING, 0.05)


def test_bookings_tell_of_growth_that_earlier_seasons_do_not_know() -> None:
    expected = expect(history(), COMING, growth_sd=0.1)
    lead = np.arange(365.0)
    since = COMING.year - PAST.year[-1]
    truth = weddings(COMING) * np.exp(0.2 * np.sqrt(since + 0.5))
    counts = update(expected.counts, truth * CURVE.at(lead), lead, CURVE)
    assert counts.median == pytest.approx(truth, rel=0.03)
    as_expected = update(expected.counts, weddings(COMING) * CURVE.at(lead), lead, CURVE)
    assert as_expected.median == pytest.approx(weddings(COMING), rel=0.02)
    # dates that are nearly booked out are surer than those of which little is known
    noisy = expect(
        PastDates(PAST, weddings(PAST) * np.random.default_rng(2).lognormal(0, 0.1, len(PAST)),
             np.zeros((len(PAST), 1))), COMING, 0.1,
    )  # fmt: skip
    spread = update(noisy.counts, truth * CURVE.at(lead), lead, CURVE).sd
    busy = COMING.weekday == SATURDAY
    assert spread[busy][:4].max() < spread[busy][-4:].min()


def test_without_bookings_the_seasons_decide_and_with_all_of_them_the_calendar_does() -> None:
    expected = expect(history(), COMING, growth_sd=0.05)
    far = np.full(365, 2000.0)
    nothing = BookingCurve(np.array([0.0, 1000.0]), np.array([1.0, 0.0]), 0.0)
    counts = update(expected.counts, np.zeros(365), far, nothing)
    assert counts.median == pytest.approx(np.exp(expected.counts.log_weddings), rel=0.02)
    assert counts.growth_sd == pytest.approx(1.0, abs=0.01)


def test_paths_are_spread_as_they_should_be_and_repeat() -> None:
    expected = expect(history(), COMING, growth_sd=0.1)
    lead = np.arange(365.0)
    counts = update(expected.counts, weddings(COMING) * CURVE.at(lead), lead, CURVE)
    drawn = paths(counts, expected, 2000, np.random.default_rng(1), scale=1000.0)
    assert drawn.weddings.shape == (2000, 365)
    assert drawn.response.shape == (2000, 365, 2)
    assert np.median(drawn.weddings, axis=0) == pytest.approx(1000.0 * counts.median, rel=0.02)
    spread = np.log(drawn.weddings).std(axis=0)
    assert spread == pytest.approx(np.hypot(counts.sd, (1000.0 * counts.median) ** -0.5), rel=0.1)
    again = paths(counts, expected, 2000, np.random.default_rng(1), scale=1000.0)
    assert np.array_equal(drawn.weddings, again.weddings)


def test_the_booking_curve_is_the_share_that_was_known() -> None:
    rng = np.random.default_rng(3)
    final = np.full(600, 200.0)
    lead = np.array([0.0, 60.0, 180.0])
    share = np.array([1.0, 0.6, 0.3])
    booked = rng.binomial(200, share, (600, 3)).astype(float)
    curve = booking_curve(lead, booked, final)
    assert curve.share == pytest.approx(share, abs=0.01)
    assert curve.sd < 0.01
    # months in which people book earlier or later than usual
    lively = booked * np.repeat(np.exp(0.1 * rng.standard_normal(20)), 30)[:, None]
    assert booking_curve(lead, lively, final).sd == pytest.approx(0.1, rel=0.5)
    assert math.isclose(float(curve.at(np.array([30.0]))[0]), (curve.share[0] + curve.share[1]) / 2)
