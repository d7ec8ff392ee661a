"""What is unusual in a plain series: causal, each row for itself, and quiet after it has spoken."""

from __future__ import annotations

import numpy as np
import pytest

from engine.model import FloatArray
from engine.monitoring.picture import Arrays
from engine.monitoring.series.departures import SeriesDepartures
from engine.monitoring.series.tails import SeriesTails

DAY_S = 86_400.0


def tails_of(values: FloatArray) -> FloatArray:
    detector = SeriesTails(values.shape[1])
    memory, scores = detector.begin(), []
    for row in values:
        memory, score = detector.look(memory, row)
        scores.append(score)
    return np.array(scores)


def departures_of(values: FloatArray, every_s: float = 3600.0) -> FloatArray:
    detector = SeriesDepartures(values.shape[1])
    memory, scores = detector.begin(), []
    for k, row in enumerate(values):
        memory, score = detector.look(memory, row, k * every_s)
        scores.append(score)
    return np.array(scores)


def noise(values: int, rows: int = 1) -> FloatArray:
    return np.random.default_rng(3).normal(50.0, 1.0, (values, rows))


def daily(days: int) -> FloatArray:
    hours = np.arange(24 * days)
    return (200.0 + 150.0 * np.sin(hours / 24.0 * 2.0 * np.pi))[:, None] + noise(24 * days)


@pytest.mark.parametrize("scored", [tails_of, departures_of])
def test_what_comes_later_changes_no_score(scored: object) -> None:
    values = noise(260)
    other = values.copy()
    other[200:] *= 40.0
    one, two = scored(values), scored(other)  # type: ignore[operator]
    assert np.array_equal(one[:200], two[:200])
    assert not np.array_equal(one[200:], two[200:])


@pytest.mark.parametrize("scored", [tails_of, departures_of])
def test_each_row_is_a_series_of_its_own(scored: object) -> None:
    values = noise(220, 3)
    together = scored(values)  # type: ignore[operator]
    for k in range(3):
        assert np.allclose(together[:, k], scored(values[:, k : k + 1])[:, 0])  # type: ignore[operator]


@pytest.mark.parametrize("made", [SeriesTails, SeriesDepartures])
def test_no_value_scores_nothing_and_teaches_nothing(made: type) -> None:
    detector = made(1)
    memory: Arrays = detector.begin()
    arguments = () if made is SeriesTails else (5000.0,)
    for row in noise(60):
        memory, _ = detector.look(memory, row, *arguments)
    after, score = detector.look(memory, np.array([np.nan]), *arguments)
    assert score == 0.0
    for name in memory:
        assert np.array_equal(after[name], memory[name], equal_nan=True)


def test_a_jump_is_in_more_tails_than_anything_before() -> None:
    values = noise(400)
    values[300:] += 12.0
    scores = tails_of(values)[:, 0]
    assert scores[100:300].max() < 8.0 < scores[300]


def test_a_series_rests_after_it_has_spoken() -> None:
    values = noise(440)
    values[300], values[310], values[430] = 200.0, 150.0, 150.0
    scores = tails_of(values)[:, 0]
    assert scores[300] > 6.0
    assert scores[310] == 0.0  # less than what was said within the rest
    assert scores[430] > 0.0  # the rest is over


def test_a_series_that_never_moves_is_never_unusual() -> None:
    flat = np.full((400, 1), 45.0)
    assert tails_of(flat).max() == 0.0
    assert departures_of(flat).max() < 1e-9


def test_the_course_of_a_day_is_no_departure_and_the_same_value_at_another_hour_is_one() -> None:
    values = daily(12)
    calm = departures_of(values)[24 * 5 :].max()
    moved = values.copy()
    at = 24 * 11 + 18  # the deepest hour
    moved[at] = 350.0  # as at noon
    assert departures_of(moved)[at] > 2.0 * calm


def test_before_other_days_are_there_the_last_values_count_alone() -> None:
    values = noise(48)
    values[40] = 500.0
    scores = departures_of(values)[:, 0]
    assert scores[40] > 5.0
    assert scores[:24].max() == 0.0  # too few to compare with
