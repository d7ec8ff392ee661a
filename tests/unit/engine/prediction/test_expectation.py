from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from engine.model import Calendar, Series
from engine.prediction.expectation import DAY_S, Span, learn

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
