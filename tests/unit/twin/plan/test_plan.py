"""The command line of plans, what is known on the day of planning, and the twin's verdicts."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.config.strict import ConfigError
from engine.planning.needs import joint_peaks
from scenarios.seasons.years import generate
from scenarios.streams import Streams
from twin.plan.checks import limit_probes, rungs_to_check
from twin.plan.command import composed
from twin.plan.config import PlanConfig, parse, run_settings
from twin.plan.history import dates_of, known_at
from twin.plan.horizon import dates_from, profiles_of
from twin.plan.planning import Planned, make, responding
from twin.plan.probe import Probe, around

SMALL = ("population.simultaneous=2000", "paths=100", "drawn=300", "months=2", "date=2027-06-01")


def configured(*overrides: str) -> PlanConfig:
    return parse(composed([*SMALL, *overrides]))


@pytest.fixture(scope="module")
def planned() -> Planned:
    return make(configured(), lambda _: None)


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("months=13", "plan.months: 13 is not allowed (1 … 12)"),
        ("months=x", 'plan.months: "x" is not allowed (1 … 12)'),
        ("risk=0", "plan.risk: 0 is not allowed (0.001 … 0.5)"),
        ("risk=nan", "plan.risk: NaN is not allowed (0.001 … 0.5)"),
        ("date=2027-02-30", "plan.date:"),
        ("date=yesterday", "plan.date:"),
        ("date=1900-01-01", "plan.date:"),
        (
            "population.simultaneous=-5",
            "population.simultaneous: -5 is not allowed (1 … 10,000,000)",
        ),
        ("simultaneous=5", "simultaneous: unknown key"),
        ("check=maybe", 'plan.check: "maybe" is not allowed (true or false)'),
        ("pricing=gcp", 'pricing: "gcp" is not allowed (aws_us_east_1)'),
        ("pricing.sizes=[2]", "pricing.sizes: 1, the size of today, has to be among them"),
        ("pricing.discount.rate=0.9", "rate 0.9 is outside its range"),
        ("plan.mnths=3", "plan.mnths: unknown key; did you mean plan.months"),
        ("paths=60 risk=0.01", "plan.paths: 60 is too few for plan.risk 0.01 (at least 100)"),
        ("+pricing.discount_by_service.apy={rate: 0.3, range: [0, 1]}", '"apy" is not allowed'),
        ("pricing.discount_by_service.api=1", "is not there yet; to add it, write +pricing"),
        ("--fast", "--fast: unknown option"),
        ("scenario", '"scenario" cannot be read; write it as key=value'),
        ("scenario=june_peek", 'scenario: "june_peek" is not allowed'),
        ("--config-dir=nowhere", "--config-dir: nowhere is no folder"),
    ],
)
def test_what_is_wrong_is_named(argument: str, said: str) -> None:
    arguments = argument.split(" ") if argument.startswith("paths") else [argument]
    with pytest.raises(ConfigError) as error:
        parse(composed(arguments))
    assert said in str(error.value)


def test_a_trace_has_no_weddings_to_plan_for(tmp_path: Path) -> None:
    (tmp_path / "load.csv").write_text("time,value\n0,10\n60,20\n120,30\n")
    with pytest.raises(ConfigError, match="replays a trace; a plan needs one with weddings"):
        parse(composed(["scenario=trace", f"trace.path={tmp_path / 'load.csv'}"]))


def test_a_plan_is_a_run_with_more_keys() -> None:
    raw = composed(["scenario=zone_outage", "budget.instances=50", "seed=7"])
    config = parse(raw)
    assert (config.scenario.name, config.budget.instances, config.seed) == ("zone_outage", 50, 7)
    assert config.population.simultaneous == 100_000
    assert not {"plan", "pricing", "seasons"} & set(run_settings(raw))


def test_nothing_of_the_time_to_come_is_known() -> None:
    """The future scrambled, the plan's input is the same."""
    config = configured()
    seasons_config = config.seasons.model_copy(
        update={"first_year": 2024, "years": 4, "simultaneous": 300}
    )
    config = config.model_copy(update={"seasons": seasons_config})
    seasons = generate(seasons_config, config.population, config.demand, Streams(1))
    days = dates_from(config.plan.date, 2)
    profiles = profiles_of(
        seasons.days.dates, config.population, config.demand, config.platform.specs()
    )
    at_s = dt.datetime(2027, 6, 1, tzinfo=dt.UTC).timestamp()
    weddings = seasons.weddings
    later = weddings.booked_at_s > at_s
    first = seasons.days.dates.index(days[0])
    load = seasons.load.copy()
    load[:, first * 288 :] = 1e6
    scrambled = replace(
        seasons,
        load=load,
        weddings=replace(
            weddings,
            booked_at_s=np.where(later, np.inf, weddings.booked_at_s),
            cancelled_at_s=np.where(
                weddings.cancelled_at_s > at_s, np.inf, weddings.cancelled_at_s
            ),
            happens=np.where(weddings.day >= first, True, weddings.happens),
        ),
    )
    one, other = (known_at(each, config, days, profiles) for each in (seasons, scrambled))
    assert np.array_equal(one.booked, other.booked)
    assert np.array_equal(one.past.response, other.past.response)
    assert np.array_equal(one.past.weddings, other.past.weddings)
    assert np.array_equal(one.curve.share, other.curve.share)
    assert one.booked.sum() > 0.0
    assert 0.0 < one.curve.at(np.array([180.0]))[0] < one.curve.at(np.array([10.0]))[0] <= 1.01


def test_holidays_move_and_keep_their_kind() -> None:
    config = configured().seasons.holidays
    days = [dt.date(2026, 5, 23), dt.date(2027, 5, 29), dt.date(2027, 5, 15), dt.date(2027, 12, 31)]
    for day, same in ((days[0], days[1]), (days[2], days[2])):
        kinds = [dates_of([each], days[0], config).kind[0] for each in (day, same)]
        assert kinds[0] == kinds[1]
    memorial, ordinary, new_year = (
        dates_of([day], days[0], config).kind[0] for day in (days[1], days[2], days[3])
    )
    assert ordinary == 0
    assert len({memorial, ordinary, new_year}) == 3


def test_the_platform_has_the_size_that_is_asked_for(planned: Planned) -> None:
    at_once = planned.peak.per_wedding
    assert at_once.shape[0] == 5
    # a year of growth later, and June and July are the busiest months
    expected = float(planned.counts.median.max() * planned.scale)
    double = make(configured("population.simultaneous=4000"), lambda _: None)
    assert float(double.counts.median.max() * double.scale) == pytest.approx(2 * expected)
    # Whoever plans a wedding of another day is as many as in a run of that size.
    assert double.users == pytest.approx(planned.users)
    assert double.users[0] == pytest.approx(1.0)


def test_the_same_seed_gives_the_same_plan(planned: Planned) -> None:
    again = make(configured(), lambda _: None)
    assert np.array_equal(planned.paths.weddings, again.paths.weddings)
    assert planned.season.plan.total_usd == again.season.plan.total_usd
    other = make(configured("seed=2"), lambda _: None)
    assert planned.season.plan.total_usd != other.season.plan.total_usd


def test_less_risk_costs_more(planned: Planned) -> None:
    careful = make(configured("risk=0.01"), lambda _: None)
    assert careful.season.plan.total_usd >= planned.season.plan.total_usd
    assert careful.season.plan.quota >= planned.season.plan.quota


def test_people_who_respond_more_make_more_requests(planned: Planned) -> None:
    config = planned.config
    factors = np.array([1.0, 1.0, 1.0, 2.0, 1.0])
    demand = responding(config, planned.specs, factors, 3.0)
    before, after = config.demand, demand
    assert after.rates["real-time"]["guest"]["ceremony"].rate == pytest.approx(
        2.0 * before.rates["real-time"]["guest"]["ceremony"].rate
    )
    assert after.rates["api"] == before.rates["api"]
    assert after.background.users == 3 * before.background.users


def test_the_twin_is_asked_below_and_above_the_first_limit(planned: Planned) -> None:
    rung = rungs_to_check(planned)[0]
    assert rung == planned.ladder[0]
    below, above = limit_probes(planned, rung)
    assert below.weddings < rung.lost < above.weddings
    settings = around(run_settings(composed(list(SMALL))), below)
    assert settings["population"]["simultaneous"] == below.weddings
    assert settings["demand"]["day_sigma"] == 0.0
    assert settings["faults"] == {}


def test_a_probe_begins_on_a_quarter_of_an_hour_before_the_peak() -> None:
    at = dt.datetime(2027, 7, 4, 0, 40, tzinfo=dt.UTC).timestamp()
    settings = around(run_settings(composed([])), Probe("x", 10, at, {"budget.instances": 5}))
    assert settings["population"]["date"] == "2027-07-03"
    assert settings["population"]["start_utc"] == "22:00"
    assert settings["budget"]["instances"] == 5


def test_one_path_more_may_exceed_where_the_risk_allows_it() -> None:
    tops = np.arange(10.0).reshape(1, 10, 1)
    assert joint_peaks(tops, 0.0).item() == 9.0
    assert joint_peaks(tops, 0.2).item() == 7.0
