from __future__ import annotations

import copy
import datetime as dt
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import yaml
from hypothesis import given
from hypothesis import strategies as st

import conf
from scenarios.weddings import kernels
from scenarios.weddings.config import DemandConfig, PopulationConfig
from scenarios.weddings.demand import realise
from scenarios.weddings.population import cancellations, generate, schedule

CONF = Path(conf.__path__[0])
US = yaml.safe_load((CONF / "population" / "us.yaml").read_text())
WEDSYNC = DemandConfig(**yaml.safe_load((CONF / "demand" / "wedsync.yaml").read_text()))

seeds = st.integers(0, 2**32 - 1)


def philox(seed: int) -> Callable[[str], np.random.Generator]:
    def stream(purpose: str) -> np.random.Generator:
        key = (zlib.crc32(purpose.encode()),)
        return np.random.Generator(np.random.Philox(np.random.SeedSequence(seed, spawn_key=key)))

    return stream


@st.composite
def populations(draw: st.DrawFn) -> PopulationConfig:
    plain = copy.deepcopy(US)
    plain["simultaneous"] = draw(st.integers(1, 60))
    plain["date"] = draw(st.dates(dt.date(2026, 1, 1), dt.date(2028, 12, 31)))
    plain["start_utc"] = draw(st.integers(0, 1439))
    plain["duration_s"] = 60 * draw(st.integers(12 * 60, 30 * 60))
    plain["time_zones"] = draw(
        st.sampled_from(
            [
                US["time_zones"],
                {"America/Los_Angeles": 1.0},
                {"Pacific/Auckland": 0.5, "Pacific/Honolulu": 0.5},
                {"Asia/Kolkata": 1.0},
            ]
        )
    )
    actual = plain["actual"]
    actual["overrun_sd_min"] = draw(st.sampled_from([0, 8, 120]))
    actual["late_start"]["sd_min"] = draw(st.sampled_from([1, 10, 90]))
    actual["cancelled_share"] = draw(st.sampled_from([0.0, 0.2]))
    actual["unbooked_share"] = draw(st.sampled_from([0.0, 0.25]))
    return PopulationConfig(**plain)


@given(populations(), seeds)
def test_phases_rise_and_the_peak_is_reached(config: PopulationConfig, seed: int) -> None:
    population = generate(config, philox(seed))
    assert np.all(np.diff(population.booked_s, axis=1) > 0)
    assert np.all(np.diff(population.actual_s, axis=1) > 0)
    demand = realise(population, WEDSYNC, philox(seed))
    assert demand.in_progress.max() == config.simultaneous
    assert np.array_equal(demand.in_progress, demand.by_phase.sum(axis=0))
    assert np.all(demand.by_phase >= 0)
    assert np.all(np.isfinite(demand.rates))
    assert np.all(demand.rates > 0)
    taking_place = population.actual_s[population.happens]
    for tick in (0, config.duration_s // 2, config.duration_s - 1):
        now = (taking_place[:, 0] <= tick) & (tick < taking_place[:, -1])
        assert demand.in_progress[tick] == now.sum()


@given(populations(), seeds, st.floats(-200_000, 200_000), st.floats(0, 200_000))
def test_cancellations_are_the_difference_between_schedules(
    config: PopulationConfig, seed: int, known_s: float, later_s: float
) -> None:
    population = generate(config, philox(seed))
    before_s = population.start_s + known_s
    after_s = before_s + later_s
    before, after = schedule(population, before_s), schedule(population, after_s)
    gone = cancellations(population, before_s, after_s)
    assert len(before.major) == len(after.major) + len(gone.major)
    assert before.participants.sum() == after.participants.sum() + gone.participants.sum()
    both = np.concatenate([after.phase_start_s, gone.phase_start_s])
    assert np.array_equal(np.sort(before.phase_start_s, axis=0), np.sort(both, axis=0))


@st.composite
def event_times(draw: st.DrawFn, phases: int) -> np.ndarray:
    rows = draw(
        st.lists(
            st.lists(st.integers(-50, 150), min_size=phases + 1, max_size=phases + 1),
            min_size=1,
            max_size=30,
        )
    )
    return np.sort(np.array(rows, dtype=np.int32), axis=1)


@given(event_times(1), st.integers(1, 12), st.integers(1, 100), seeds)
def test_compiled_prefix_agrees_with_the_reference(
    times: np.ndarray, target: int, duration_s: int, seed: int
) -> None:
    counts = np.random.default_rng(seed).random(len(times)) < 0.8
    arguments = kernels.Events(times[:, 0], times[:, 1], counts), duration_s, target
    assert kernels.prefix_reaching(*arguments) == kernels.prefix_reaching_reference(*arguments)


@given(event_times(3), st.integers(1, 100), seeds)
def test_compiled_levels_agree_with_the_reference(
    times: np.ndarray, duration_s: int, seed: int
) -> None:
    noise = np.random.default_rng(seed)
    participants = noise.integers(0, 300, (len(times), 4), dtype=np.int32)
    happens = noise.random(len(times)) < 0.8
    arguments = times, participants, happens, duration_s
    assert np.array_equal(
        kernels.phase_levels(*arguments), kernels.phase_levels_reference(*arguments)
    )
