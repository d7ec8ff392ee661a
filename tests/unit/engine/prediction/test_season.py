from __future__ import annotations

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from engine.model import BootTime, ServiceSpec
from engine.prediction.forecaster import LEVELS
from engine.prediction.season import (
    BUFFER,
    DAY_S,
    VALID_S,
    Coming,
    SeasonForecast,
    SeasonsPast,
    forecast_season,
    season_dates,
)
from engine.settings import EngineSettings

EPOCH = dt.date(1970, 1, 1)
MEDIAN, Q90 = LEVELS.index(0.5), LEVELS.index(0.9)
LEADS = np.array([0.0, 30.0, 180.0, 365.0])
SHARES = np.array([1.0, 0.9, 0.5, 0.1])
GROWTH = 0.08
SPEC = ServiceSpec(
    name="api", min_instances=2, max_instances=400, slots=4, service_s=0.1, service_scv=1.0,
    boot=BootTime(60.0, 120.0), warmup_s=10.0, slo_p95_s=0.5, price_per_hour=0.1,
)  # fmt: skip


def day_of(date: dt.date) -> int:
    return (date - EPOCH).days


def usual(day: np.ndarray) -> np.ndarray:
    """Busy Saturdays, busy summers, growth; one special Sunday in May of each year."""
    saturday = (day + 3) % 7 == 5
    summer = 1.0 + 0.5 * np.cos(2.0 * np.pi * (day % 365.25 - 200) / 365.25)
    growth = np.exp(GROWTH * (day - day_of(dt.date(2024, 1, 1))) / 365.25)
    special = np.where(kinds(day) == 1, 15.0, 1.0)
    return np.where(saturday, 200.0, 20.0) * summer * growth * special


def kinds(day: np.ndarray) -> np.ndarray:
    dates = [EPOCH + dt.timedelta(days=int(d)) for d in day]
    return np.array([date.month == 5 and 24 <= date.day < 31 and date.weekday() == 6
                     for date in dates], dtype=np.int64)  # fmt: skip


def past(until: dt.date, seed: int = 1) -> SeasonsPast:
    rng = np.random.default_rng(seed)
    day = np.arange(day_of(dt.date(2024, 1, 1)), day_of(until))
    weddings = rng.poisson(usual(day)).astype(float)
    shape = np.where((np.arange(24) > 8) & (np.arange(24) < 16), 2.0, 0.0)
    drift = np.exp(0.05 * (day - day[0]) / 365.25) if len(day) else np.ones(0)
    load = (weddings[:, None] * shape + 30.0) * drift[:, None]
    load = load * np.exp(0.05 * rng.standard_normal((len(day), 1)))
    booked = np.round(weddings[:, None] * SHARES)
    return SeasonsPast(day, kinds(day), weddings, load[None], LEADS, booked)


def coming(year: int, season: str, now: dt.date, factor: float = 1.0) -> Coming:
    day = np.array([day_of(date) for date in season_dates(year, season)])
    share = np.interp(np.maximum(day - day_of(now), 0), LEADS, SHARES)
    return Coming(day, kinds(day), np.round(factor * usual(day) * share))


def forecast(now: dt.date, year: int = 2027, season: str = "summer", factor: float = 1.0,
             *, history: SeasonsPast | None = None) -> SeasonForecast:  # fmt: skip
    seasons_past = past(now) if history is None else history
    return forecast_season(
        seasons_past, coming(year, season, now, factor), year, season, now_s=DAY_S * day_of(now),
        specs=[SPEC],
        settings=EngineSettings(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def summer() -> SeasonForecast:
    return forecast(dt.date(2027, 1, 10))


def test_bookings_still_to_come_are_allowed_for(summer: SeasonForecast) -> None:
    truth = usual(np.array([day_of(date) for date in season_dates(2027, "summer")])).sum()
    assert summer.booked < 0.7 * truth
    assert summer.totals[MEDIAN] == pytest.approx(truth, rel=0.05)
    assert summer.totals[0] < truth < summer.totals[-1]


def test_it_is_good_for_seven_days_from_the_time_that_was_passed_in(
    summer: SeasonForecast,
) -> None:
    assert summer.generated_at_s == DAY_S * day_of(dt.date(2027, 1, 10))
    assert summer.valid_until_s - summer.generated_at_s == VALID_S == 7 * 86_400


def test_weeks_cover_the_season_and_stand_beside_the_three_before(summer: SeasonForecast) -> None:
    assert sum(week.days for week in summer.weeks) == 92
    assert summer.weeks[0].start == dt.date(2027, 6, 1)
    assert all(week.start.weekday() == 0 for week in summer.weeks[1:])
    middle = summer.weeks[6]
    assert middle.before.shape == (3, 1)
    assert np.all(np.diff(middle.before[:, 0]) < 0.0)  # it grew
    growth = middle.requests[0, MEDIAN] / middle.before[0, 0]
    assert growth == pytest.approx(np.exp(GROWTH + 0.05), rel=0.1)
    assert len(summer.totals_before) == 3
    assert np.all(np.diff(middle.requests, axis=1) >= 0.0)


def test_the_highest_days_are_summer_saturdays(summer: SeasonForecast) -> None:
    assert len(summer.peak_days) == 10
    assert all(day.date.weekday() == 5 for day in summer.peak_days)
    peaks = [day.peak[0, MEDIAN] for day in summer.peak_days]
    assert peaks == sorted(peaks, reverse=True)


def test_a_moving_holiday_is_found_where_it_is_this_year() -> None:
    spring = forecast(dt.date(2027, 1, 10), season="spring")
    special = next(day.date for day in spring.peak_days if day.date.weekday() == 6)
    assert special == dt.date(2027, 5, 30)


def test_required_capacity_has_its_buffer_and_keeps_to_the_limits(summer: SeasonForecast) -> None:
    highest = summer.peak_days[0].peak[0]
    assert summer.required[0] > highest[MEDIAN] * SPEC.service_s / SPEC.slots
    assert summer.with_buffer[0] == np.ceil(summer.required[0] * (1.0 + BUFFER))
    assert summer.capped == ()
    small = replace(SPEC, max_instances=4)
    now = dt.date(2027, 1, 10)
    capped = forecast_season(
        past(now), coming(2027, "summer", now), 2027, "summer", now_s=DAY_S * day_of(now),
        specs=[small],
        settings=EngineSettings(),
    )  # fmt: skip
    assert capped.capped == ("api",)
    assert capped.with_buffer[0] == 4


def test_more_bookings_than_usual_make_a_larger_season_and_later_ones_a_surer_one() -> None:
    early, late = dt.date(2027, 1, 10), dt.date(2027, 5, 25)
    assert forecast(early, factor=1.2).totals[MEDIAN] > 1.1 * forecast(early).totals[MEDIAN]

    def width(one: SeasonForecast) -> float:
        return float(one.totals[Q90] / one.totals[MEDIAN])

    assert width(forecast(late)) < width(forecast(early))
    assert 0.0 < forecast(early).confidence <= forecast(late).confidence + 0.05 < 1.0


@pytest.mark.parametrize("season", ["spring", "summer", "fall", "winter", "all"])
def test_every_season_has_a_forecast_also_of_a_leap_year(season: str) -> None:
    next_season = forecast(dt.date(2028, 1, 10), year=2028, season=season)
    assert sum(week.days for week in next_season.weeks) == len(season_dates(2028, season))
    assert np.isfinite(next_season.totals).all()


@pytest.mark.parametrize(
    ("year", "season", "now", "message"),
    [
        (2026, "summer", dt.date(2027, 1, 10), "year: summer 2026 is over"),
        (2027, "autumn", dt.date(2027, 1, 10), r'season: "autumn" is not allowed \(spring, summer'),
        (1900, "all", dt.date(2027, 1, 10), r"year: 1900 is not allowed \(1971 … 2100\)"),
    ],
)
def test_a_season_that_cannot_be_forecast_is_refused(
    year: int, season: str, now: dt.date, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        forecast(now, year=year, season=season)


@pytest.mark.parametrize("days", [0, 1, 364])
def test_too_short_a_history_is_refused(days: int) -> None:
    now = dt.date(2027, 1, 10)
    with pytest.raises(ValueError, match=f"history: {days} days are too few for a season"):
        forecast(now, history=past(now).until(days))


def test_one_year_is_enough() -> None:
    next_season = forecast(dt.date(2025, 1, 10), year=2025)
    assert next_season.totals[MEDIAN] > 0.0
    assert len(next_season.totals_before) == 1


NOW = dt.date(2027, 1, 10)


def unmeasured(which: str, share: float, load: np.ndarray) -> np.ndarray:
    """The same load with some of its hours not measured."""
    rng = np.random.default_rng(5)
    load = load.copy()
    days = load.shape[1]
    if which == "days":
        load[:, rng.random(days) < share] = np.nan
    elif which == "hours":
        load[rng.random(load.shape) < share] = np.nan
    elif which == "beginning":
        load[:, : int(share * days)] = np.nan
    elif which == "end":
        load[:, days - int(share * days) :] = np.nan
    elif which == "nights":
        load[:, :, :5] = np.nan
    elif which == "one hour of the day":
        load[:, :, 12] = np.nan
    elif which == "saturday nights":
        load[:, (np.arange(days) + 2) % 7 == 0, 20:] = np.nan
    return load


@pytest.mark.parametrize(
    ("which", "share"),
    [("days", 0.1), ("days", 0.3), ("days", 0.7), ("hours", 0.1), ("hours", 0.5),
     ("beginning", 0.4), ("end", 0.1), ("end", 0.3), ("nights", 0.0),
     ("one hour of the day", 0.0), ("saturday nights", 0.0)],
)  # fmt: skip
def test_an_hour_that_was_not_measured_is_no_hour_without_load(
    summer: SeasonForecast, which: str, share: float
) -> None:
    whole = past(NOW)
    close = 0.06 if share < 0.7 else 0.12  # a third of the days is three times as noisy
    gaps = forecast(NOW, history=replace(whole, load=unmeasured(which, share, whole.load)))
    for week, full in zip(gaps.weeks, summer.weeks, strict=True):
        assert week.requests[0, MEDIAN] == pytest.approx(full.requests[0, MEDIAN], rel=close)
        np.testing.assert_allclose(week.weddings, full.weddings)
        there = np.isfinite(week.before)
        np.testing.assert_allclose(week.before[there], full.before[there], rtol=0.35)
    assert gaps.required[0] == pytest.approx(summer.required[0], rel=0.12)
    assert np.all(np.isfinite(gaps.required))
    spread = gaps.weeks[6].requests[0] / gaps.weeks[6].requests[0, MEDIAN]
    assert 1.01 < spread[Q90] < 1.5


@pytest.mark.parametrize("nothing_of", [[0], [1], [0, 2]])
def test_a_service_without_any_measurement_is_unknown_and_leaves_the_others_alone(
    nothing_of: list[int],
) -> None:
    whole = past(NOW)
    specs = [replace(SPEC, name=name) for name in ("api", "database", "cache")]
    load = np.concatenate([whole.load, 2.0 * whole.load, 0.5 * whole.load])
    gone = load.copy()
    gone[nothing_of] = np.nan

    def of(of_load: np.ndarray) -> SeasonForecast:
        return forecast_season(
            replace(whole, load=of_load), coming(2027, "summer", NOW), 2027, "summer",
            now_s=DAY_S * day_of(NOW), specs=specs, settings=EngineSettings(),
        )  # fmt: skip

    full, gaps = of(load), of(gone)
    for s in range(3):
        if s in nothing_of:
            assert np.isnan(gaps.required[s])
            assert np.isnan(gaps.weeks[3].requests[s]).all()
        else:
            assert gaps.required[s] == full.required[s]
            np.testing.assert_allclose(gaps.weeks[3].requests[s], full.weeks[3].requests[s])
    assert 0.0 < gaps.confidence < 1.0
    assert gaps.capped == full.capped == ()
    # those that are known say which days are the highest
    assert {day.date for day in gaps.peak_days} == {day.date for day in full.peak_days}


@pytest.mark.parametrize("seen_days", [30, 200, 380])
def test_a_service_measured_of_late_alone_has_an_interval_all_the_same(seen_days: int) -> None:
    whole = past(NOW)
    load = whole.load.copy()
    load[:, : load.shape[1] - seen_days] = np.nan
    late = forecast(NOW, history=replace(whole, load=load))
    spread = late.weeks[6].requests[0] / late.weeks[6].requests[0, MEDIAN]
    assert spread[Q90] > 1.01
    assert np.all(np.diff(spread) > 0.0)


def test_without_any_measurement_at_all_it_says_so() -> None:
    whole = past(NOW)
    with pytest.raises(ValueError, match=r"history: no load was measured on any of its \d+ days"):
        forecast(NOW, history=replace(whole, load=np.full_like(whole.load, np.nan)))
