from __future__ import annotations

import datetime as dt
from functools import lru_cache

import numpy as np
import pytest

from engine.model import Calendar, Series
from engine.prediction.expectation import DAY_S, Expectation, Span, learn

START_S = dt.datetime(2024, 5, 6, tzinfo=dt.UTC).timestamp()  # a Monday
SPAN = Span(3600.0, 7200.0)
NONE = Calendar(np.zeros(0), np.zeros(0), (), np.zeros(0))


def calendar(*starts_s: float, size: float = 1.0) -> Calendar:
    count = len(starts_s)
    return Calendar(
        np.array(starts_s), np.full(count, size), ("match",) * count, np.full(count, -np.inf)
    )


def load(times_s: np.ndarray, events: Calendar, level: float = 100.0) -> np.ndarray:
    """A known truth: a sine by day, and each event a hump from its start for an hour."""
    hours = (times_s - START_S) / 3600.0 % 24.0
    base = 1.0 + 0.5 * np.sin((hours - 9.0) / 24.0 * 2.0 * np.pi)
    extra = np.zeros(len(times_s))
    for start_s, size in zip(events.start_s, events.size, strict=True):
        since_s = times_s - start_s
        extra += 2.0 * size * ((since_s >= 0.0) & (since_s < 3600.0))
    weekend = (times_s - START_S) // DAY_S % 7 >= 5
    return level * np.where(weekend, 0.4, 1.0) * (base + extra)


def series(days: float, events: Calendar, step_s: float = 60.0) -> Series:
    steps = round(days * DAY_S / step_s)
    times_s = START_S + step_s * (np.arange(steps) + 0.5)
    return Series("made up", START_S, step_s, load(times_s, events))


def kick_offs(days: int) -> list[float]:
    """One event a day, at hours that change, so that hour and event can be told apart."""
    return [START_S + DAY_S * day + 3600.0 * (12 + 3 * (day % 3)) for day in range(days)]


@pytest.mark.parametrize("step_s", [60.0, 600.0, 1800.0])
def test_profile_weekend_and_effect_of_an_event_are_learned(step_s: float) -> None:
    events = calendar(*kick_offs(16))
    learned = learn(series(15, events, step_s), events, SPAN, "UTC")
    times_s = START_S + 15 * DAY_S + 600.0 * (np.arange(144) + 0.5)
    truth, expected = load(times_s, events), learned.load(times_s, events)
    assert np.abs(expected - truth).sum() / truth.sum() < 0.03
    without = learned.load(times_s, NONE)
    assert np.abs(without - truth).sum() / truth.sum() > 0.06  # the event is not in the profile
    saturday_s = START_S + 19 * DAY_S + 600.0 * (np.arange(144) + 0.5)
    assert learned.base(saturday_s).mean() == pytest.approx(40.0, rel=0.1)


def test_an_event_twice_as_large_counts_twice() -> None:
    events = calendar(*kick_offs(14))
    learned = learn(series(14, events), events, SPAN, "UTC")
    at_s = np.array([START_S + 15 * DAY_S + 12.5 * 3600.0])
    one = learned.load(at_s, calendar(START_S + 15 * DAY_S + 12 * 3600.0)) - learned.base(at_s)
    two = learned.load(at_s, calendar(START_S + 15 * DAY_S + 12 * 3600.0, size=2.0))
    np.testing.assert_allclose(two - learned.base(at_s), 2.0 * one)


def test_events_that_are_not_known_yet_are_not_learned_from() -> None:
    events = calendar(*kick_offs(10))
    late = Calendar(events.start_s, events.size, events.kinds, np.full(10, np.inf))
    history = series(10, events)
    learned, blind = (learn(history, calendar_then, SPAN, "UTC") for calendar_then in (late, NONE))
    np.testing.assert_array_equal(learned.profile, blind.profile)
    assert not learned.effect.any()


def test_what_was_not_measured_is_left_out() -> None:
    events = calendar(*kick_offs(14))
    history = series(14, events)
    gaps = history.values.copy()
    gaps[5000:9000] = np.nan
    holed = Series("holed", history.start_s, history.step_s, gaps)
    learned = learn(holed, events, SPAN, "UTC")
    times_s = START_S + 14 * DAY_S + 600.0 * (np.arange(144) + 0.5)
    truth = load(times_s, NONE)
    assert np.abs(learned.base(times_s) - truth).sum() / truth.sum() < 0.1
    with pytest.raises(ValueError, match="nothing was measured"):
        learn(Series("none", START_S, 60.0, np.full(2000, np.nan)), NONE, SPAN, "UTC")


def test_with_less_than_a_day_it_goes_on_as_it_was_and_says_how_unsure_that_is() -> None:
    learned = learn(series(0.25, NONE), NONE, SPAN, "UTC")
    times_s = START_S + DAY_S + np.array([0.0, 40_000.0])
    assert learned.base(times_s)[0] == learned.base(times_s)[1] > 0.0
    assert learned.sigma == 0.8


def test_the_shape_of_the_day_follows_the_clocks_of_its_zone() -> None:
    """Over the end of summer time the local shape stays and moves by an hour in UTC."""
    start_s = dt.datetime(2024, 10, 14, tzinfo=dt.UTC).timestamp()
    times_s = start_s + 600.0 * (np.arange(13 * 144) + 0.5)
    local = (times_s + 7200.0) % DAY_S  # Paris, summer time until 27 October
    values = np.where((local >= 8 * 3600) & (local < 20 * 3600), 100.0, 10.0)
    learned = learn(Series("t", start_s, 600.0, values), NONE, SPAN, "Europe/Paris")
    summer_s = dt.datetime(2024, 10, 25, 6, 30, tzinfo=dt.UTC).timestamp()
    winter_s = dt.datetime(2024, 10, 28, 6, 30, tzinfo=dt.UTC).timestamp()
    summer, winter = learned.base(np.array([summer_s, winter_s]))
    assert summer > 80.0  # 08:30 in Paris
    assert winter < 40.0  # 07:30 in Paris


def days_like(shape: str, count: float, step_s: float = 600.0) -> Series:
    """`count` days from a Monday, noisy by 3 %: round the clock, or a shop's or an office's."""
    times_s = START_S + step_s * (np.arange(round(count * DAY_S / step_s)) + 0.5)
    noise = np.exp(np.random.default_rng(1).normal(0.0, 0.03, len(times_s)))
    return Series(shape, START_S, step_s, usual(shape, times_s) * noise)


def usual(shape: str, times_s: np.ndarray) -> np.ndarray:
    hour, day = (times_s - START_S) / 3600.0 % 24.0, (times_s - START_S) // DAY_S
    if shape == "always":
        return 1000.0 + 600.0 * np.sin((hour - 9.0) / 12.0 * np.pi)
    if shape == "office":
        return np.where((hour >= 8) & (hour < 18) & (day % 7 < 5), 1000.0, 0.0)
    return np.where((hour >= 9) & (hour < 20) & (day % 7 < 6), 500.0, 0.0)  # closed on Sundays


def spoilt(history: Series, day: float, hours: tuple[float, float], factor: float) -> Series:
    """`history` with some hours of one day multiplied by `factor`."""
    since_h = (history.times_s() - START_S - DAY_S * day) / 3600.0
    wrong = (since_h >= hours[0]) & (since_h < hours[1])
    return Series(
        history.name, history.start_s, history.step_s,
        np.where(wrong, history.values * factor, history.values),
    )  # fmt: skip


def week_after(history: Series) -> np.ndarray:
    """Middles of the steps of the seven days after `history`."""
    end_s = history.start_s + history.step_s * len(history.values)
    times_s: np.ndarray = end_s + 600.0 * (np.arange(7 * 144) + 0.5)
    return times_s


@pytest.mark.parametrize("shape", ["always", "office", "shop"])
@pytest.mark.parametrize("count", [14.0, 15.25, 15.5, 16.4])
def test_days_and_nights_without_load_are_expected_where_they_belong(
    shape: str, count: float
) -> None:
    history = days_like(shape, count)
    learned, times_s = learn(history, NONE, SPAN, "UTC"), week_after(history)
    truth, expected = usual(shape, times_s), learned.base(times_s)
    assert np.abs(expected - truth).sum() < 0.1 * truth.sum()
    assert learned.sigma < 0.1


@pytest.mark.parametrize("shape", ["always", "office", "shop"])
@pytest.mark.parametrize("factor", [0.0, 0.02, np.nan])
@pytest.mark.parametrize("day", [8, 11, 14])
def test_a_day_left_out_moves_no_level_and_widens_the_interval(
    shape: str, factor: float, day: int
) -> None:
    history = spoilt(days_like(shape, 15.0), day, (0.0, 24.0), factor)
    learned, times_s = learn(history, NONE, SPAN, "UTC"), week_after(history)
    truth, expected = usual(shape, times_s), learned.base(times_s)
    assert np.abs(expected - truth).sum() < 0.1 * truth.sum()
    if factor == factor:  # what was not measured is no unusual day
        assert 0.12 < learned.sigma < 0.6
    else:
        assert learned.sigma < 0.1


@lru_cache(maxsize=3)
def learned_from_right(shape: str) -> Expectation:
    """What fifteen days without any error let expect."""
    return learn(days_like(shape, 15.0), NONE, SPAN, "UTC")


@pytest.mark.parametrize("shape", ["always", "office", "shop"])
@pytest.mark.parametrize("factor", [0.0, 1e-6, 20.0, 1e3, 1e12, np.nan])
@pytest.mark.parametrize(("day", "hour"), [(11, 10), (8, 14), (14, 11)])
def test_one_corrupt_hour_moves_nothing(shape: str, factor: float, day: int, hour: int) -> None:
    right = days_like(shape, 15.0)
    wrong = spoilt(right, day, (hour, hour + 1.0), factor)
    before, after = learned_from_right(shape), learn(wrong, NONE, SPAN, "UTC")
    times_s = week_after(right)
    gap = np.abs(after.base(times_s) - before.base(times_s))
    assert gap.max() < 0.05 * before.base(times_s).max()  # as much as an hour not measured does
    assert after.sigma == pytest.approx(before.sigma, abs=0.02)


def test_half_a_day_of_zeros_leaves_the_other_half() -> None:
    history = spoilt(days_like("always", 15.0), 14, (0.0, 10.0), 0.0)
    learned, times_s = learn(history, NONE, SPAN, "UTC"), week_after(history)
    np.testing.assert_allclose(learned.base(times_s), usual("always", times_s), rtol=0.1)


@pytest.mark.parametrize("shape", ["always", "office"])
def test_a_first_week_before_anybody_came_is_left_out(shape: str) -> None:
    history = spoilt(days_like(shape, 14.0), 0, (0.0, 7 * 24.0), 0.0)
    learned, times_s = learn(history, NONE, SPAN, "UTC"), week_after(history)
    truth, expected = usual(shape, times_s), learned.base(times_s)
    assert np.abs(expected - truth).sum() < 0.1 * truth.sum()
    assert learned.sigma > 0.2


def test_a_service_that_nobody_calls_is_expected_to_stay_so() -> None:
    learned = learn(Series("idle", START_S, 600.0, np.zeros(14 * 144)), NONE, SPAN, "UTC")
    assert not learned.base(START_S + DAY_S * np.arange(14.0, 21.0, 0.1)).any()


@pytest.mark.parametrize("chance", [0.3, 0.7])
def test_the_zeros_of_a_rarely_called_service_are_no_outage(chance: float) -> None:
    rng = np.random.default_rng(3)
    values = np.where(rng.random(14 * 144) < chance, 1.0 / 600.0, 0.0)
    learned = learn(Series("rare", START_S, 600.0, values), NONE, SPAN, "UTC")
    expected = learned.base(START_S + DAY_S * np.arange(14.0, 21.0, 0.01)).mean()
    assert expected == pytest.approx(chance / 600.0, rel=0.15)


def test_one_wild_value_within_the_first_day_is_not_taken_for_the_load() -> None:
    values = np.full(60, 10.0)
    values[30] = 1e9
    learned = learn(Series("young", START_S, 600.0, values), NONE, SPAN, "UTC")
    assert learned.base(np.array([START_S + DAY_S]))[0] < 15.0


def test_a_busy_event_is_no_corrupt_hour() -> None:
    """Matches of eight times the usual load, once in three days: the calendar knows of them."""
    events = calendar(*kick_offs(15)[::3], size=4.0)
    learned = learn(series(14, events), events, SPAN, "UTC")
    at_s = np.array([START_S + 15 * DAY_S + 12.5 * 3600.0])
    match = calendar(START_S + 15 * DAY_S + 12 * 3600.0, size=4.0)
    assert learned.load(at_s, match)[0] == pytest.approx(load(at_s, match)[0], rel=0.15)
