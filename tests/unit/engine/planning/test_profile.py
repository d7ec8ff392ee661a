"""A wedding's load by the hour, against weddings that are really drawn."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

import numpy as np
import pytest

from engine.planning.needs import staffing
from engine.planning.profile import BIN_S, Profile, reach
from scenarios.weddings import demand as demands
from scenarios.weddings.population import day_weight
from scenarios.weddings.typical import typical_day
from twin.config import RunConfig
from twin.plan.command import composed
from twin.plan.config import PlanConfig
from twin.plan.config import parse as parse_plan
from twin.plan.horizon import dates_from, peak_day, profiles_of
from twin.world.world import World


@lru_cache(maxsize=1)
def config() -> PlanConfig:
    return parse_plan(composed(["population.simultaneous=20000", "demand.day_sigma=0"]))


def test_the_typical_day_has_the_mean_wedding() -> None:
    population = config().population
    kinds, shares = typical_day(population, dt.date(2027, 6, 19))
    assert shares.sum() == pytest.approx(1.0)
    guests = float(shares @ kinds.participants[:, kinds.roles.index("guest")])
    assert 110.0 < guests < 120.0  # 116 in conf/population
    first = (kinds.phase_start_s[:, 1] % 86_400.0) / 3600.0  # ceremonies, UTC
    assert first.min() >= 0.0
    assert len(kinds.phases) + 1 == kinds.phase_start_s.shape[1]


def test_the_profile_is_what_the_weddings_of_a_day_bring() -> None:
    run = config()
    date = run.population.date
    near = [date + dt.timedelta(days=i) for i in (-1, 0, 1)]
    specs = run.platform.specs()
    profiles = [profiles_of(near, run.population, run.demand, specs)[day] for day in near]
    weights = np.array([day_weight(run.population, day) for day in near])
    users = np.ones(3)
    peak = peak_day(near, profiles, weights, users, at=1, specs=specs)
    plain = run.model_dump(exclude={"plan", "pricing", "seasons"})
    plain["telemetry"]["interval_s"] = plain["engine"]["sample_s"] = 15  # a day is long
    world = World(RunConfig.model_validate(plain))
    world.run()
    step_s = world.recorder.interval_s
    arrived = world.platform.truth[:, :, 0] / step_s
    bins = int(run.population.duration_s / BIN_S)
    first = int((world.start_s - peak.start_s) / BIN_S)
    seen = arrived.reshape(len(specs), bins, -1).mean(axis=2)
    profile_load = peak.load(run.population.simultaneous)[:, first : first + bins]
    for row, spec in enumerate(specs):
        error = np.abs(seen[row] - profile_load[row]).sum() / seen[row].sum()
        assert error < 0.05, spec.name  # noise alone makes some two per cent
    # and what the plan pays for is what the engine holds
    for row, spec in enumerate(specs):
        hourly = profile_load[row].reshape(24, -1).max(axis=1)
        held = staffing(spec, specs, run.engine, run.demand.noise_sigma).instances(hourly)
        billed = world.recorder.counts[row, :, 1:].sum(axis=1).mean() * 24.0
        assert held.sum() == pytest.approx(billed, rel=0.1), spec.name


def test_a_database_gets_what_its_callers_send() -> None:
    specs = config().platform.specs()
    names = [spec.name for spec in specs]
    arriving = reach(specs)
    database = arriving[names.index("database")]
    assert database[names.index("api")] == pytest.approx(1.6)
    assert database[names.index("real-time")] == pytest.approx(0.1)
    assert database[names.index("database")] == 1.0
    assert database[names.index("file-storage")] == 0.0


def test_an_hour_is_as_high_as_its_highest_bin() -> None:
    bins = np.zeros((1, 576))
    bins[0, 13] = 5.0
    hourly = Profile(bins, bins[0], np.zeros((1, 288))).hourly()
    assert hourly.entering.shape == (1, 48)
    assert hourly.entering[0].tolist()[:3] == [0.0, 5.0, 0.0]


def test_summer_and_winter_have_their_own_clocks() -> None:
    run = config()
    days = [dt.date(2027, 1, 9), dt.date(2027, 1, 16), dt.date(2027, 7, 10)]
    profiles = profiles_of(days, run.population, run.demand, run.platform.specs())
    assert profiles[days[0]] is profiles[days[1]]
    later = np.argmax(profiles[days[0]].in_progress) - np.argmax(profiles[days[2]].in_progress)
    assert later == 12  # an hour later by UTC in winter


def test_the_background_does_not_depend_on_weddings() -> None:
    run = config()
    day = run.population.date
    profile = profiles_of([day], run.population, run.demand, run.platform.specs())[day]
    names = tuple(spec.name for spec in run.platform.specs())
    response = demands.response(run.demand, run.population, names)
    assert profile.background.mean(axis=1) == pytest.approx(
        response.background.mean(axis=0), rel=0.01
    )


@pytest.mark.parametrize(
    ("first", "months", "last", "count"),
    [
        (dt.date(2027, 1, 1), 12, dt.date(2027, 12, 31), 365),
        (dt.date(2028, 2, 29), 12, dt.date(2029, 2, 27), 365),
        (dt.date(2028, 1, 31), 1, dt.date(2028, 2, 28), 29),
        (dt.date(2027, 12, 15), 1, dt.date(2028, 1, 14), 31),
    ],
)
def test_months_end_where_they_should(
    first: dt.date, months: int, last: dt.date, count: int
) -> None:
    dates = dates_from(first, months)
    assert (dates[0], dates[-1], len(dates)) == (first, last, count)
