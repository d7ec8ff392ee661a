from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import fields
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest
import yaml
from pydantic import ValidationError

from engine.forecast.outlook import Grid, event_load
from scenarios.seasons.config import SeasonsConfig
from scenarios.seasons.days import LEADS, holiday_factors
from scenarios.seasons.years import BIN_S, DAY_S, Seasons, SeasonWeddings, generate
from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import DemandConfig, PopulationConfig
from scenarios.weddings.drawing import TYPES
from tests.unit.scenarios.conftest import CONF, philox

HOUR_S = 3600.0


def drawn(seasons_yaml: dict[str, Any], seed: int = 5, **changes: Any) -> Seasons:
    population = yaml.safe_load((CONF / "population" / "us.yaml").read_text())
    demand = yaml.safe_load((CONF / "demand" / "wedsync.yaml").read_text())
    return generate(
        SeasonsConfig(**seasons_yaml | changes),
        PopulationConfig(**population),
        DemandConfig(**demand),
        philox(seed),
    )


@pytest.fixture(scope="module")
def two_years(seasons_yaml: dict[str, Any]) -> Seasons:
    return drawn(seasons_yaml, years=2, drawn=400)


def at(year: int, month: int, day: int) -> float:
    return dt.datetime(year, month, day, tzinfo=dt.UTC).timestamp()


def on(seasons: Seasons, date: dt.date) -> int:
    return int(np.count_nonzero(seasons.weddings.day == (date - seasons.days.dates[0]).days))


def test_the_busiest_instant_of_the_last_year_is_as_asked(two_years: Seasons) -> None:
    weddings = two_years.weddings
    first_year = weddings.actual_s[weddings.happens & (weddings.day < 366)]
    change = np.zeros(370 * DAY_S // 60)
    np.add.at(change, first_year[:, 0] // 60, 1)
    np.add.at(change, first_year[:, -1] // 60, -1)
    assert np.cumsum(change).max() == pytest.approx(400, rel=0.2)


def test_saturdays_have_their_share_and_the_leap_day_exists(two_years: Seasons) -> None:
    weekday = np.array([date.weekday() for date in two_years.days.dates])
    share = np.mean(weekday[two_years.weddings.day] == 5)
    assert share == pytest.approx(0.65, abs=0.04)
    assert dt.date(2024, 2, 29) in two_years.days.dates
    assert on(two_years, dt.date(2024, 2, 29)) > 0


@pytest.mark.parametrize(
    ("date", "factor"),
    [
        (dt.date(2024, 5, 26), 3.0),  # Sunday before Memorial Day, the last Monday of May
        (dt.date(2025, 5, 25), 3.0),  # a year later it is another date
        (dt.date(2025, 5, 26), 1.0),
        (dt.date(2025, 5, 17), 0.9),  # the weekend before loses
        (dt.date(2024, 3, 31), 0.25),  # Easter moves by weeks
        (dt.date(2025, 4, 20), 0.25),
        (dt.date(2024, 11, 28), 0.25),  # Thanksgiving
        (dt.date(2024, 12, 31), 3.0),
        (dt.date(2024, 7, 13), 1.0),
    ],
)
def test_holidays_move_and_move_weddings(
    seasons_yaml: dict[str, Any], date: dt.date, factor: float
) -> None:
    first = dt.date(2024, 1, 1)
    dates = tuple(first + dt.timedelta(days=i) for i in range(731))
    config = SeasonsConfig(**seasons_yaml).holidays
    assert holiday_factors(config, dates)[(date - first).days] == pytest.approx(factor)


def test_ceremonies_are_at_local_times_on_both_sides_of_a_clock_change(two_years: Seasons) -> None:
    weddings = two_years.weddings
    east = weddings.zone_id == two_years.zones.index("America/New_York")
    zone = ZoneInfo("America/New_York")
    for date in (dt.date(2024, 3, 9), dt.date(2024, 3, 10), dt.date(2024, 11, 3)):
        day = (date - two_years.days.dates[0]).days
        times = weddings.ceremony_s[east & (weddings.day == day)] + two_years.start_s
        local = [dt.datetime.fromtimestamp(time, zone) for time in times]
        assert local
        assert all(time.date() == date and 10 <= time.hour <= 19 for time in local)


def test_bookings_arrive_over_the_lead_time(two_years: Seasons) -> None:
    day_s = at(2025, 6, 21)
    held = two_years.entered(day_s, day_s, day_s + DAY_S)
    share = [
        len(two_years.entered(day_s - lead * DAY_S, day_s, day_s + DAY_S)) / len(held)
        for lead in (365, 180, 90, 30, 7)
    ]
    assert share == sorted(share)
    assert 0.05 < share[0] < 0.4
    assert 0.85 < share[3] < 0.98  # at 30 days out not all are booked yet
    never = np.isinf(two_years.weddings.booked_at_s)
    assert np.mean(never) == pytest.approx(0.03, abs=0.005)


def test_the_schedule_of_a_time_holds_what_was_entered_by_then_alone(two_years: Seasons) -> None:
    weddings, now_s = two_years.weddings, at(2025, 4, 1)
    rows = two_years.entered(now_s)
    assert np.all(weddings.booked_at_s[rows] <= now_s)
    assert np.all(weddings.cancelled_at_s[rows] > now_s)
    near = two_years.booked(now_s, now_s, now_s + DAY_S)
    assert np.all(near.phase_start_s[:, 0] < now_s + DAY_S)
    assert np.all(near.phase_start_s[:, -1] > now_s)
    everything = two_years.booked(now_s)
    touches = (everything.phase_start_s[:, 0] < now_s + DAY_S) & (
        everything.phase_start_s[:, -1] > now_s
    )
    assert len(near.major) == np.count_nonzero(touches)


def test_the_schedule_shows_nothing_that_happens(two_years: Seasons) -> None:
    booked = two_years.booked(at(2025, 4, 1))
    assert np.all(booked.phase_start_s[:, 1] % 1800.0 == 0.0)  # ceremonies on half hours
    assert set(two_years.major_types.nonzero()[0]) == {TYPES.index("luxury")}


def test_a_further_year_leaves_the_earlier_ones_as_they_are(seasons_yaml: dict[str, Any]) -> None:
    one = drawn(seasons_yaml, years=2, drawn=20)
    two = drawn(seasons_yaml, years=3, drawn=20)
    assert np.array_equal(one.days.log_response, two.days.log_response[:731])
    assert np.array_equal(one.days.foreseen, two.days.foreseen[:731])


def test_the_same_seed_gives_the_same_seasons_and_another_others(
    seasons_yaml: dict[str, Any],
) -> None:
    one, again, other = (drawn(seasons_yaml, seed, years=1, drawn=20) for seed in (5, 5, 6))
    assert one.load.tobytes() == again.load.tobytes() != other.load.tobytes()
    for column in fields(SeasonWeddings):
        first = getattr(one.weddings, column.name).tobytes()
        assert first == getattr(again.weddings, column.name).tobytes()


def test_the_load_is_what_the_booked_weddings_let_expect(two_years: Seasons) -> None:
    """Over a year the chances even out: what is left is drift, and what the prior leaves out."""
    grid = Grid(two_years.start_s, 366 * 24, HOUR_S)
    booked = event_load(two_years.booked(two_years.start_s + 366 * DAY_S), two_years.response, grid)
    assert len(booked.events)
    observed = two_years.until(two_years.start_s + 366 * DAY_S)
    entered = [
        two_years.entered(two_years.start_s + day * DAY_S + 3600, two_years.start_s + day * DAY_S,
                          two_years.start_s + (day + 1) * DAY_S)
        for day in range(366)
    ]  # fmt: skip
    rows = np.unique(np.concatenate(entered))
    assert len(rows) / np.count_nonzero(two_years.weddings.day < 366) == pytest.approx(
        0.97 * 0.96, abs=0.02
    )
    background = two_years.response.background.mean(axis=0)
    for row, drift in enumerate((0.02, 0.06, 0.10)):
        people = two_years.weddings.participants_booked[rows].astype(float)
        hours = np.diff(two_years.offsets_s) / HOUR_S
        table = two_years.response.rates[:, :, row] * two_years.response.turnout
        per_wedding = (people @ table) @ hours
        expected = per_wedding.sum() / 0.97 / (366 * 24) + background[row] * 1.04
        observed_mean = observed[row].mean()
        assert observed_mean == pytest.approx(expected * np.exp(drift / 2), rel=0.05)


def test_observed_load_ends_at_the_time_of_asking(two_years: Seasons) -> None:
    assert two_years.until(two_years.start_s - 1.0).shape == (3, 0)
    assert two_years.until(two_years.start_s + 3599.0).shape == (3, 0)
    hourly = two_years.until(two_years.start_s + 7200.0)
    assert hourly.shape == (3, 2)
    assert hourly[:, 0] == pytest.approx(two_years.load[:, :12].mean(axis=1))
    with pytest.raises(ValueError, match="bin_s: 700 is not allowed"):
        two_years.until(0.0, 700)


def test_the_weather_forecast_gets_worse_with_its_lead(two_years: Seasons) -> None:
    truth = two_years.days.severity
    skill = [
        np.corrcoef(two_years.days.foreseen[:, lead].ravel(), truth.ravel())[0, 1]
        for lead in range(LEADS)
    ]
    assert skill[0] > skill[3] > skill[LEADS - 1] > 0.0
    date = two_years.days.dates[100]
    midnight = two_years.start_s + 99 * DAY_S
    assert np.array_equal(
        two_years.foreseen_severity(midnight, date), two_years.days.foreseen[100, 1]
    )
    assert np.array_equal(
        two_years.foreseen_severity(midnight + DAY_S - 1, date), two_years.days.foreseen[100, 1]
    )
    far = two_years.foreseen_severity(midnight, two_years.days.dates[400])
    assert far == pytest.approx(truth[:99].mean(axis=0))


def test_one_days_response_differs_as_much_as_the_demand_says(seasons_yaml: dict[str, Any]) -> None:
    seasons = drawn(seasons_yaml, years=6, drawn=1, drift_per_year={})
    spread = seasons.days.log_response[:, 0, :].std(axis=0)
    assert spread == pytest.approx(0.10, abs=0.015)


def test_load_in_bins_is_as_in_the_reference(streams: Callable[[int], StreamOf]) -> None:
    rng = streams(2)("load")
    n, phases = 40, 3
    lengths = rng.integers(1, 4000, (n, phases))
    first = rng.integers(-3000, 20_000, (n, 1))
    actual_s = np.concatenate([first, first + np.cumsum(lengths, axis=1)], axis=1).astype(np.int32)
    participants = rng.integers(0, 9, (n, 2)).astype(np.int32)
    happens = rng.random(n) < 0.8
    factor, table = rng.random((n, 2)), rng.random((2, phases, 2))
    fast, plain = np.zeros((2, 60)), np.zeros((2, 60))
    attendance = kernels.Attendance(actual_s, participants, happens, factor)
    kernels.add_load(fast, attendance, table, BIN_S)
    kernels.add_load_reference(plain, attendance, table, BIN_S)
    assert plain.sum() > 0.0
    assert fast == pytest.approx(plain)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"years": 0}, "years"),
        ({"drawn": 0}, "drawn"),
        ({"split": {"weekday": 1, "season": 1, "weather": 0, "persistent": 0, "fresh": 0}}, "add"),
    ],
)
def test_wrong_figures_are_refused(
    seasons_yaml: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        SeasonsConfig(**seasons_yaml | changes)


def test_a_service_that_nobody_knows_is_refused(seasons_yaml: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"seasons\.drift_per_year: nosuch is not allowed \(api"):
        drawn(seasons_yaml, years=1, drawn=1, drift_per_year={"nosuch": 0.1})
