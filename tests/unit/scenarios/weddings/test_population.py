from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import fields, replace
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from engine.model import WeddingType
from scenarios.streams import StreamOf
from scenarios.weddings import kernels
from scenarios.weddings.config import ROLES, PopulationConfig
from scenarios.weddings.drawing import TYPES, count_table, mean_count
from scenarios.weddings.population import (
    Population,
    cancellations,
    generate,
    schedule,
)

Seeded = Callable[[int], StreamOf]
GUEST, VENDOR = ROLES.index("guest"), ROLES.index("vendor")
COLUMNS = [
    column.name
    for column in fields(Population)
    if column.name not in ("phases", "roles", "start_s", "duration_s", "zones", "_cancelled")
]


def in_progress(population: Population) -> np.ndarray:
    """Weddings in progress at each second of the window, counted the plain way."""
    change = np.zeros(population.duration_s + 1, dtype=int)
    taking_place = population.actual_s[population.happens]
    np.add.at(change, np.clip(taking_place[:, 0], 0, population.duration_s), 1)
    np.add.at(change, np.clip(taking_place[:, -1], 0, population.duration_s), -1)
    return np.cumsum(change)[:-1]


def rows(schedule_: Any) -> set[tuple[float, ...]]:
    return set(map(tuple, np.hstack([schedule_.phase_start_s, schedule_.participants]).tolist()))


def test_guests_and_vendors_are_as_surveyed(saturday: Population) -> None:
    guests = saturday.participants_booked[:, GUEST]
    assert guests.mean() == pytest.approx(116, abs=3)  # The Knot 2025 Real Weddings Study
    assert np.median(guests) == pytest.approx(100, abs=4)
    assert saturday.participants_booked[:, VENDOR].mean() == pytest.approx(14, abs=0.5)  # same


def test_types_have_their_shares_and_only_luxury_is_major(
    saturday: Population, us: PopulationConfig
) -> None:
    for index, kind in enumerate(TYPES):
        share = np.mean(saturday.type_id == index)
        assert share == pytest.approx(us.types[kind].share, abs=0.01)
    luxury = saturday.type_id == TYPES.index(WeddingType.LUXURY)
    assert np.array_equal(saturday.major, luxury)


def test_counts_stay_within_their_bounds(saturday: Population, us: PopulationConfig) -> None:
    for index, kind in enumerate(TYPES):
        guests = saturday.participants_booked[saturday.type_id == index, GUEST]
        assert us.types[kind].guests.min <= guests.min()
        assert guests.max() <= us.types[kind].guests.max


def test_the_table_of_counts_is_what_is_drawn(saturday: Population, us: PopulationConfig) -> None:
    for index, kind in enumerate(TYPES):
        table = count_table(us.types[kind].guests)
        assert table[-1] == pytest.approx(1.0)
        assert np.all(np.diff(table) >= 0)
        guests = saturday.participants_booked[saturday.type_id == index, GUEST]
        deviation = 4 * guests.std() / np.sqrt(len(guests))
        assert guests.mean() == pytest.approx(mean_count(us.types[kind].guests), abs=deviation)


def test_37_percent_of_ceremonies_start_between_four_and_five(
    saturday: Population, us: PopulationConfig
) -> None:
    ceremony = list(saturday.phases).index("ceremony")
    minutes = np.empty(len(saturday), dtype=int)
    for index, name in enumerate(saturday.zones):
        at = dt.datetime.fromtimestamp(saturday.start_s, tz=ZoneInfo(name))
        offset = at.utcoffset()
        assert offset is not None
        of_zone = saturday.zone_id == index
        local_s = saturday.booked_s[of_zone, ceremony] + saturday.start_s + offset.total_seconds()
        minutes[of_zone] = local_s % 86_400 // 60
    assert set(minutes) <= set(us.ceremony_start)
    assert np.mean((minutes >= 16 * 60) & (minutes < 17 * 60)) == pytest.approx(0.37, abs=0.012)


def test_what_happens_differs_from_what_was_booked(
    saturday: Population, us: PopulationConfig
) -> None:
    late_min = (saturday.actual_s[:, 0] - saturday.booked_s[:, 0]) / 60
    assert late_min.mean() == pytest.approx(us.actual.late_start.mean_min, abs=0.5)
    assert late_min.std() == pytest.approx(us.actual.late_start.sd_min, rel=0.1)
    assert late_min.min() >= -us.actual.late_start.early_at_most_min
    lengths = np.diff(saturday.actual_s, axis=1) - np.diff(saturday.booked_s, axis=1)
    assert (lengths / 60).std() == pytest.approx(us.actual.overrun_sd_min, rel=0.1)
    booked = saturday.participants_booked[saturday.happens, GUEST]
    come = saturday.participants_actual[saturday.happens, GUEST]
    assert np.all(come <= booked)
    assert come.sum() / booked.sum() == pytest.approx(us.actual.turnout.mean, abs=0.005)
    assert np.all(saturday.participants_actual[~saturday.happens] == 0)


def test_cancellations_are_few_and_known_before_the_first_phase(
    saturday: Population, us: PopulationConfig
) -> None:
    cancelled = ~saturday.happens
    assert cancelled.mean() == pytest.approx(us.actual.cancelled_share, abs=0.002)
    assert np.all(saturday.cancel_known_s[cancelled] < saturday.booked_s[cancelled, 0])
    assert np.all(np.isinf(saturday.cancel_known_s[~cancelled]))


@pytest.mark.parametrize("simultaneous", [1, 2, 17, 400])
def test_the_realised_peak_is_exactly_what_was_asked_for(
    population_yaml: dict[str, Any], streams: Seeded, simultaneous: int
) -> None:
    config = PopulationConfig(**population_yaml | {"simultaneous": simultaneous})
    assert in_progress(generate(config, streams(3))).max() == simultaneous


def test_a_larger_population_is_the_smaller_one_and_more(
    us: PopulationConfig, streams: Seeded
) -> None:
    small = generate(us, streams(5))
    large = generate(us.model_copy(update={"simultaneous": 5_000}), streams(5))
    for name in set(COLUMNS) - {"zone_share"}:
        assert np.array_equal(getattr(large, name)[: len(small)], getattr(small, name)), name


def test_blocks_of_weddings_are_drawn_as_one_large_block(
    us: PopulationConfig, streams: Seeded, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = generate(us, streams(5))
    monkeypatch.setattr("scenarios.weddings.population._BookingCells.peak_share", lambda *_: 1.9)
    in_blocks = generate(us, streams(5))  # starts with half of what it takes
    for name in COLUMNS:
        assert np.array_equal(getattr(in_blocks, name), getattr(at_once, name)), name


def test_one_seed_gives_the_same_bytes_and_another_does_not(
    us: PopulationConfig, streams: Seeded
) -> None:
    first, again, other = (generate(us, streams(seed)) for seed in (11, 11, 12))
    for name in COLUMNS:
        assert getattr(first, name).tobytes() == getattr(again, name).tobytes(), name
    assert first.booked_s[:50].tobytes() != other.booked_s[:50].tobytes()


def test_a_change_of_one_part_does_not_reshuffle_the_others(
    us: PopulationConfig, streams: Seeded
) -> None:
    more_unbooked = us.actual.model_copy(update={"unbooked_share": 0.25})
    before = generate(us, streams(5))
    after = generate(us.model_copy(update={"actual": more_unbooked}), streams(5))
    assert np.mean(~after.in_schedule) == pytest.approx(0.25, abs=0.03)
    for name in set(COLUMNS) - {"in_schedule"}:
        assert np.array_equal(getattr(before, name), getattr(after, name)), name


def test_the_schedule_shows_no_unbooked_and_no_known_cancelled_wedding(
    saturday: Population,
) -> None:
    early = schedule(saturday, saturday.start_s - 10 * 86_400)
    assert len(early.major) == saturday.in_schedule.sum() < len(saturday)
    at_s = saturday.start_s + 4 * 3600
    late = schedule(saturday, at_s)
    shown = saturday.in_schedule & ~(saturday.cancel_known_s <= 4 * 3600)
    assert len(late.major) == shown.sum() < len(early.major)
    assert np.array_equal(late.phase_start_s, saturday.booked_s[shown] + saturday.start_s)
    assert np.array_equal(late.participants, saturday.participants_booked[shown])


def test_the_schedule_does_not_depend_on_anything_realised(
    us: PopulationConfig, streams: Seeded
) -> None:
    population = generate(us, streams(5))
    noise = np.random.default_rng(1)
    scrambled = replace(
        population,
        actual_s=noise.permutation(population.actual_s),
        participants_actual=noise.permutation(population.participants_actual),
    )
    for known_at_s in population.start_s + np.array([-86_400.0, 0.0, 40_000.0]):
        seen, seen_scrambled = schedule(population, known_at_s), schedule(scrambled, known_at_s)
        assert np.array_equal(seen.phase_start_s, seen_scrambled.phase_start_s)
        assert np.array_equal(seen.participants, seen_scrambled.participants)
        assert np.array_equal(seen.major, seen_scrambled.major)


def test_a_schedule_minus_the_cancellations_is_the_later_schedule(saturday: Population) -> None:
    at_s = saturday.start_s + np.array([-90_000.0, 0.0, 15.0, 30_000.0, 200_000.0])
    for before_s, after_s in pairwise(at_s):
        before, after = schedule(saturday, before_s), schedule(saturday, after_s)
        gone = cancellations(saturday, before_s, after_s)
        assert len(before.major) - len(gone.major) == len(after.major)
        assert rows(before) - rows(after) <= rows(gone)
    assert len(cancellations(saturday, at_s[0], at_s[-1]).major) > 0


def test_a_cancellation_counts_from_the_very_second_it_is_entered(saturday: Population) -> None:
    known_s = saturday.cancel_known_s[saturday.in_schedule & ~saturday.happens].astype(float)
    for at_s in saturday.start_s + known_s[:20]:
        shown = len(schedule(saturday, at_s - 1e-4).major) - len(schedule(saturday, at_s).major)
        assert shown == len(cancellations(saturday, at_s - 1e-4, at_s).major) >= 1


def test_the_schedule_reaches_a_day_past_the_window_and_has_the_night_before(
    saturday: Population,
) -> None:
    assert saturday.booked_s[:, -1].max() > saturday.duration_s + 86_000
    assert np.count_nonzero((saturday.booked_s[:, 0] < 0) & (saturday.actual_s[:, -1] > 0)) > 0
    assert saturday.in_window < len(saturday)


@pytest.mark.parametrize(
    ("date", "offset_h"), [("2027-03-13", -5), ("2027-03-14", -4), ("2027-11-07", -5)]
)
def test_local_times_follow_daylight_saving(
    population_yaml: dict[str, Any], streams: Seeded, date: str, offset_h: int
) -> None:
    """New York changes on 14 March and 7 November 2027, at two in the night."""
    plain = population_yaml | {
        "simultaneous": 50,
        "date": date,
        "time_zones": {"America/New_York": 1.0},
        "ceremony_start": {"16:00": 1.0},
        "weekday_weights": [0.0] * 5 + [0.5, 0.5],
    }
    population = generate(PopulationConfig(**plain), streams(1))
    midnight_s = dt.datetime.fromisoformat(f"{date}T00:00+00:00").timestamp()
    ceremony_s = population.booked_s[:, 1] + population.start_s - midnight_s
    on_the_day = ceremony_s[(ceremony_s > 8 * 3600) & (ceremony_s < 32 * 3600)]
    assert set(on_the_day) == {(16 - offset_h) * 3600}


def test_a_month_border_weighs_both_months(
    population_yaml: dict[str, Any], streams: Seeded
) -> None:
    plain = population_yaml | {
        "simultaneous": 3_000,
        "date": "2027-07-31",  # July weighs nothing, so all weddings are on 1 August or later
        "month_weights": [0.0] * 7 + [1.0] + [0.0] * 4,
        "duration_s": 2 * 86_400,
    }
    population = generate(PopulationConfig(**plain), streams(1))
    assert population.booked_s[:, 0].min() > 0


def test_an_impossible_peak_says_what_to_change(
    population_yaml: dict[str, Any], streams: Seeded
) -> None:
    plain = population_yaml | {"simultaneous": 10_000_000, "duration_s": 900, "start_utc": "09:00"}
    with pytest.raises(ValueError, match="choose a busier start_utc, a longer duration_s"):
        generate(PopulationConfig(**plain), streams(1))


def test_a_date_without_weddings_is_refused(
    population_yaml: dict[str, Any], streams: Seeded
) -> None:
    plain = population_yaml | {"date": "2027-06-22", "weekday_weights": [0, 0, 0, 0, 0, 1.0, 0]}
    with pytest.raises(ValueError, match="no wedding falls around 2027-06-22"):
        generate(PopulationConfig(**plain), streams(1))


def test_columns_cannot_be_written_to(saturday: Population) -> None:
    with pytest.raises(ValueError, match="read-only"):
        saturday.actual_s[0, 0] = 1


def test_compiled_phase_times_agree_with_the_reference() -> None:
    noise = np.random.default_rng(4)
    ceremony_s = noise.integers(-90_000, 180_000, 500, dtype=np.int32)
    offsets_s = np.array([-14_400, 0, 1_800, 25_200], dtype=np.int32)
    late_z = noise.standard_normal(500, dtype=np.float32)
    length_z = 3 * noise.standard_normal((500, 3), dtype=np.float32)
    booked_s, actual_s = np.empty((2, 500, 4), dtype=np.int32)
    draws = kernels.Draws(ceremony_s, offsets_s, late_z, length_z)
    punctuality = kernels.Punctuality(-600.0, 6.9, 0.5, 900.0, 0.25)
    kernels.phase_times(draws, punctuality, booked_s, actual_s)
    booked, actual = kernels.phase_times_reference(draws, punctuality)
    assert np.array_equal(booked_s, booked)
    assert np.abs(actual_s - actual).max() <= 1  # sums in another order may round to the next
    assert np.diff(actual_s, axis=1).min() >= 0.25 * 1_800 - 1
