"""Which hours are judged apart, worked out by hand."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from engine.model import Calendar
from engine.prediction.event_hours import busiest_saturdays, event_hours, saturdays
from engine.prediction.forecaster import NO_EVENTS

HOUR_S = 3600.0
MIDNIGHT_S = 86_400.0 * 10_000
"""Wednesday 18 May 1997."""


def calendar(*starts_h: float) -> Calendar:
    starts = MIDNIGHT_S + HOUR_S * np.array(starts_h)
    return Calendar(starts, np.ones(len(starts)), ("",) * len(starts), np.full(len(starts), -1.0))


@pytest.mark.parametrize(
    ("starts_h", "expected"),
    [
        ((), []),
        ((5.0,), [5, 6, 7]),
        ((5.5,), [5, 6, 7]),
        ((5.5, 6.0), [5, 6, 7, 8]),
        ((-0.5, 10.9), [0, 1, 10, 11]),
        ((-3.0, 12.0), []),
    ],
)
def test_event_hours_are_that_of_the_start_and_two_more(
    starts_h: tuple[float, ...], expected: list[int]
) -> None:
    times_s = MIDNIGHT_S + HOUR_S * np.arange(12)
    inside = event_hours(calendar(*starts_h), times_s, HOUR_S)
    assert np.flatnonzero(inside).tolist() == expected


def test_a_finer_step_counts_from_the_step_of_the_start() -> None:
    times_s = MIDNIGHT_S + 0.5 * HOUR_S * np.arange(12)
    inside = event_hours(calendar(1.6), times_s, 0.5 * HOUR_S)
    assert np.flatnonzero(inside).tolist() == [3, 4, 5, 6, 7, 8]
    assert not event_hours(NO_EVENTS, times_s, 1800.0).any()
    assert event_hours(calendar(1.0), times_s[:0], 1800.0).shape == (0,)


def test_a_saturday_goes_from_eight_to_eight() -> None:
    friday = dt.datetime(2027, 6, 18, tzinfo=dt.UTC).timestamp()
    times_s = friday + HOUR_S * np.arange(72)
    assert np.flatnonzero(saturdays(times_s)).tolist() == list(range(32, 56))


def test_the_busier_half_of_the_saturdays_by_what_was_booked() -> None:
    start = dt.datetime(2027, 6, 7, 8, tzinfo=dt.UTC).timestamp()  # a Monday
    times_s = start + HOUR_S * np.arange(28 * 24)
    booked = np.ones(28 * 24)
    for day, load in ((5, 3.0), (12, 7.0), (19, 5.0), (26, 4.0), (1, 90.0)):
        booked[24 * day : 24 * (day + 1)] = load
    busy = busiest_saturdays(booked, times_s)
    assert sorted(set((np.flatnonzero(busy) // 24).tolist())) == [12, 19]
    assert busy.sum() == 48
    assert not busiest_saturdays(booked[:48], times_s[:48]).any()
