from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engine.config.composition import composed
from locustfiles.arrivals import ArrivalSchedule
from locustfiles.plan import LoadPlan, PlanError, WantedExcerpt, from_bytes, make
from twin.config import parse
from twin.world.world import World

SMALL = ("population.simultaneous=300",)


@cache
def day(scenario: str) -> LoadPlan:
    """A small day of a scenario, a minute in each second; read only."""
    return make(scenario, scale=1.0, speed=60.0, overrides=SMALL)


@pytest.mark.parametrize("scenario", ["june_peak", "flash_crowd"])
def test_the_rates_are_those_of_the_twin_and_the_arrivals_within_their_noise(scenario: str) -> None:
    world = World(parse(composed([f"scenario={scenario}", "seed=5", *SMALL])))
    plan = make(scenario, scale=0.5, speed=240.0, seed=5, overrides=SMALL)
    demand = world.load.demand
    assert plan.services == demand.services
    np.testing.assert_array_equal(plan.rates, 0.5 * demand.rates)
    assert plan.start_s == world.start_s

    names = list(world.config.platform.services)
    for row, service in enumerate(plan.services):
        came = world.load.arrivals[names.index(service)]
        sent = ArrivalSchedule(plan).intended()[row]
        # Quarters of the day: both are Poisson, of means that differ by scale / speed alone.
        for twin, load in zip(np.array_split(came, 4), np.array_split(sent, 4), strict=True):
            expected = twin.sum() * 0.5 / 240.0
            noise = np.sqrt(load.sum() + expected * 0.5 / 240.0) + 1.0
            assert abs(load.sum() - expected) < 4.5 * noise


def test_a_recorded_trace_is_replayed_as_the_twin_replays_it(tmp_path: Path) -> None:
    file = tmp_path / "trace.csv"
    times = np.arange("2027-05-01", "2027-05-04", 60, dtype="datetime64[s]")
    values = (100 + 80 * np.sin(np.arange(len(times)) / 229.0)).round()
    rows = [f"{time},{value:.0f}" for time, value in zip(times, values, strict=True)]
    file.write_text("\n".join(["time,requests", *rows]))
    overrides = (f"trace.path={file}",)
    world = World(parse(composed(["scenario=trace", "seed=2", *overrides])))
    plan = make("trace", scale=0.01, speed=600.0, seed=2, overrides=overrides)
    np.testing.assert_array_equal(plan.rates, 0.01 * world.load.demand.rates)
    assert plan.start_s == world.start_s
    one = ArrivalSchedule(plan).block(3)
    assert {arrival.role for arrival in one} == {"guest"}


def test_a_flash_crowd_is_in_the_load_and_other_faults_are_named() -> None:
    crowd, plain = day("flash_crowd"), day("june_peak")
    api = crowd.services.index("api")
    assert (crowd.rates[api] / plain.rates[api]).max() == pytest.approx(6.0)
    assert crowd.left_out == ()
    assert day("zone_outage").left_out == ("zone_outage (zone_loss)",)


def test_a_window_lies_around_the_peak_and_is_compressed(plan: LoadPlan) -> None:
    assert plan.seconds == 3600
    assert plan.wall_s == 36.0
    whole = make("june_peak", scale=0.05, speed=100.0, seed=3,
                 overrides=("population.simultaneous=500",))  # fmt: skip
    assert plan.peak_rate == pytest.approx(whole.peak_rate)
    middle = plan.rates.sum(axis=0).argmax()
    assert 1700 < middle < 1900


@pytest.mark.parametrize(
    ("part", "start_s", "seconds"),
    [
        (WantedExcerpt(start="0", duration="600"), 0, 600),
        (
            WantedExcerpt(start="10:00", duration="90min"),
            7_200,
            5_400,
        ),  # the window starts at 08:00 UTC
        (WantedExcerpt(start="85800"), 85_800, 600),
        (WantedExcerpt(start="85000", duration="2h"), 84_960, 1_440),  # no longer than the day
    ],
)
def test_a_part_is_cut_on_whole_minutes(part: WantedExcerpt, start_s: int, seconds: int) -> None:
    whole = day("june_peak")
    cut = make("june_peak", scale=1.0, speed=60.0, overrides=SMALL, part=part)
    assert cut.start_s - whole.start_s == start_s
    assert cut.seconds == seconds
    np.testing.assert_array_equal(cut.rates, whole.rates[:, start_s : start_s + seconds])


def test_a_plan_survives_the_way_to_a_worker(plan: LoadPlan) -> None:
    again = from_bytes(plan.to_bytes())
    for name in LoadPlan.__dataclass_fields__:
        mine, theirs = getattr(plan, name), getattr(again, name)
        if isinstance(mine, np.ndarray):
            np.testing.assert_array_equal(mine, theirs)
        else:
            assert mine == theirs


def test_limits_are_the_scenarios_slos(plan: LoadPlan) -> None:
    limits = dict(plan.limits)
    assert limits["violation_ratio"] == "slo.violation_ratio <= 0.0005"
    assert limits["api_p95"] == "api.p95_s <= 0.5"
    assert "simultaneous" not in limits  # no load test can tell


def test_people_of_the_users_own_scenario_are_found(tmp_path: Path) -> None:
    file = tmp_path / "scenario" / "mine.yaml"
    file.parent.mkdir()
    file.write_text("# @package _global_\nscenario: {name: mine}\npopulation: {simultaneous: 20}\n")
    mine = make("mine", scale=1.0, speed=60.0, config_dirs=(str(tmp_path),))
    assert mine.scenario == "mine"
    assert 20 * 100 < mine.people.max() < 20 * 160


@pytest.mark.parametrize(
    ("scenario", "part", "overrides", "message"),
    [
        ("june_peek", WantedExcerpt(), (), "scenario: .june_peek. is not allowed .*mean june_peak"),
        ("june_peak", WantedExcerpt(window="5h", start="0"), (), "--window: lies around the peak"),
        (
            "june_peak",
            WantedExcerpt(window="tomorrow"),
            (),
            '--window: "tomorrow" is not allowed .60 s',
        ),
        ("june_peak", WantedExcerpt(duration="30h"), (), '--duration: "30h" is not allowed'),
        ("june_peak", WantedExcerpt(start="noon"), (), "--start: .noon. is not"),
        ("june_peak", WantedExcerpt(start="99999"), (), "--start: 99999 is not allowed"),
        (
            "june_peak",
            WantedExcerpt(),
            ("population.simultaneous=0",),
            "population.simultaneous: 0 is not",
        ),
        ("june_peak", WantedExcerpt(), ("populaton.date=1",), "populaton.date: unknown key"),
        ("worldcup98", WantedExcerpt(), (), "trace.path: is missing; give a CSV file"),
    ],
)
def test_what_cannot_be_planned_is_named(
    scenario: str, part: WantedExcerpt, overrides: tuple[str, ...], message: str
) -> None:
    with pytest.raises(PlanError, match=message):
        make(scenario, scale=1.0, speed=60.0, part=part, overrides=overrides)
