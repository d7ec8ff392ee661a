"""The hours to come, tried out: what load is expected, and what a change does to it."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine.api.what_if import Moment, ServiceMoment, TriedChange
from engine.decide.callgraph import with_calls
from engine.model import SAMPLE_FIELDS, Forecast, ManualFloor, Outlook, ServiceSpec
from tests.composition import settings
from twin.config import RunConfig, parse
from twin.what_if import asked, branch, expected
from twin.what_if.asked import TriedAhead, connect

NOW_S = 1_813_435_200.0
ENTERING = {"api": 20_000.0, "real-time": 40_000.0, "file-storage": 1_000.0}
"""Requests/s that users send, in all that follows."""


def connected(cores: int) -> TriedAhead:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(asked, "cores", lambda: cores)
        return connect(**settings())


@pytest.fixture(scope="module")
def ahead() -> TriedAhead:
    """In one process."""
    return connected(1)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> list[TriedChange]:
    """What is played in this process."""
    tried, run = [], branch.run

    def noted(config: RunConfig, at: Moment, change: TriedChange, for_s: int) -> dict[str, Any]:
        tried.append(change)
        return run(config, at, change, for_s)

    monkeypatch.setattr(branch, "run", noted)
    return tried


@pytest.fixture(scope="module")
def specs() -> tuple[ServiceSpec, ...]:
    return parse(settings()).platform.specs()


@pytest.fixture(scope="module")
def moment(specs: tuple[ServiceSpec, ...]) -> Moment:
    """A flat calendar of 600 minutes, with as much there as is needed and some."""
    entering = np.array([ENTERING.get(spec.name, 0.0) for spec in specs])
    load = with_calls(specs, entering[:, None] * np.ones((1, 600)))
    services = {}
    for row, spec in enumerate(specs):
        samples = np.full((60, len(SAMPLE_FIELDS)), 0.5)
        samples[:, SAMPLE_FIELDS.index("time_s")] = NOW_S - 5.0 * np.arange(59, -1, -1)
        samples[:, expected.RATE] = load[row, 0]
        need = math.ceil(1.6 * load[row, 0] / spec.rate_per_instance)
        count = min(max(need, spec.min_instances), spec.max_instances)
        services[spec.name] = ServiceMoment(count, count, samples, ())
    flat = np.full(600, 100.0)
    rows = {spec.name: row for row, spec in enumerate(specs)}
    outlook = Outlook(
        NOW_S, NOW_S - 3600.0, 60.0, rows, load, 0.0 * load, flat, 0.0 * flat, 0.05
    )  # fmt: skip
    return Moment(NOW_S, services, outlook, math.nan, (), (), (), "")


def test_the_load_to_come_is_the_calendars_as_forecasts_and_samples_say_it_departs(
    moment: Moment,
) -> None:
    booked = moment.outlook.load[moment.outlook.services["api"], 0]
    seen = moment.services["api"].samples.copy()
    seen[:, expected.RATE] = 1.2 * booked
    forecast = Forecast("api", 3600.0, booked, 1.5 * booked, 2.0 * booked)
    service = replace(moment.services["api"], samples=seen, forecasts=(forecast,))
    at = replace(moment, services={**moment.services, "api": service}, forecast_s=NOW_S)
    ahead_s = np.array([0.0, 1800.0, 3600.0, 7200.0])
    assert expected.arriving(at, "api", ahead_s) / booked == pytest.approx([1.2, 1.35, 1.5, 1.5])
    nothing_booked = replace(moment.outlook, services={})
    unbooked = expected.arriving(replace(at, outlook=nothing_booked), "api", ahead_s)
    assert unbooked / booked == pytest.approx([1.2, 1.35, 1.5, 1.5])


def test_what_enters_is_what_the_calls_do_not_account_for(
    moment: Moment, specs: tuple[ServiceSpec, ...]
) -> None:
    demand = expected.demand(moment, specs, TriedChange(), 600)
    for name, rates in zip(demand.services, demand.rates, strict=True):
        assert rates == pytest.approx(ENTERING.get(name, 0.0), abs=1e-6), name
    more = TriedChange(load_service="database", load_factor=3.0, after_s=120.0)
    rates = dict(zip(demand.services, expected.demand(moment, specs, more, 600).rates, strict=True))
    row = moment.outlook.services["database"]
    assert rates["database"][:120] == pytest.approx(0.0, abs=1e-6)
    assert rates["database"][120:] == pytest.approx(2.0 * moment.outlook.load[row, 0])
    assert rates["api"] == pytest.approx(ENTERING["api"])


@pytest.mark.parametrize(
    "change",
    [
        TriedChange(zone="b"),
        TriedChange(load_service="api", load_factor=3.0),
        TriedChange(floor_service="real-time", floor_instances=5),
        TriedChange(controller="hpa"),
        TriedChange(pause_service="", load_service="api", load_factor=3.0, after_s=0.0),
    ],
    ids=["zone", "load", "floor", "controller", "pause"],
)
def test_a_change_shows_beside_the_plan_that_it_does_not_touch(
    ahead: TriedAhead, moment: Moment, change: TriedChange
) -> None:
    answer = ahead.tried(moment, change, 900.0)
    plan, changed = answer["plan"], answer["changed"]
    before = moment.services
    ahead.tried(moment, TriedChange(), 60.0)  # now the plan of before is kept no longer
    assert plan == ahead.tried(moment, TriedChange(), 900.0)["plan"]
    assert json.loads(json.dumps(answer, allow_nan=False)) == answer
    assert len(plan["series"]["usd_per_hour"]) == 15
    assert plan["services"]["api"]["late_s"] == 0.0
    if change.zone:
        for name, one in changed["services"].items():
            assert one["ready_least"] < before[name].ready, name
    elif change.pause_service is not None:
        assert changed["actions"] == 0
        assert changed["services"]["api"]["ready_most"] == before["api"].ready
        assert changed["violation_ratio"] > 0.1
    elif change.load_service:
        assert changed["services"]["api"]["ready_most"] > 2 * before["api"].ready
        assert changed["cost_usd"] > plan["cost_usd"]
    elif change.floor_service:
        assert changed["series"]["services"]["real-time"]["ready"][-1] == 5
    else:
        assert (plan["controller"], changed["controller"]) == ("engine", "hpa")


def test_two_processes_play_a_branch_each_and_say_what_one_says(
    ahead: TriedAhead, moment: Moment, here: list[TriedChange]
) -> None:
    change = TriedChange(load_service="api", load_factor=3.0)
    ahead.tried(moment, TriedChange(), 60.0)
    here.clear()
    alone = ahead.tried(moment, change, 600.0)
    assert here == [change, TriedChange()]
    two = connected(2)
    try:
        here.clear()
        together = two.tried(moment, change, 600.0)
        assert here == [change]
        assert json.dumps(together) == json.dumps(alone)
    finally:
        two.close()


def test_the_plan_of_a_moment_is_kept_for_the_next_question_about_it(
    ahead: TriedAhead, moment: Moment, here: list[TriedChange]
) -> None:
    one, other = TriedChange(zone="b"), TriedChange(floor_service="api", floor_instances=400)
    first = ahead.tried(moment, one, 300.0)
    here.clear()
    assert ahead.tried(moment, other, 300.0)["plan"] == first["plan"]
    assert here == [other]
    for at, for_s in ((moment, 360.0), (replace(moment, memory="{"), 360.0)):
        here.clear()
        ahead.tried(at, one, for_s)
        assert here == [one, TriedChange()]


def test_what_stands_now_stands_in_both_branches_until_it_ends(
    ahead: TriedAhead, moment: Moment
) -> None:
    floors = (ManualFloor("real-time", 5, NOW_S + 86_400.0), ManualFloor("api", 900, NOW_S - 1.0))
    answer = ahead.tried(replace(moment, floors=floors), TriedChange(zone="a"), 900.0)
    for played in (answer["plan"], answer["changed"]):
        assert played["series"]["services"]["real-time"]["ready"][-1] == 5
        assert played["services"]["api"]["ready_most"] < 900


def test_a_memory_that_cannot_be_read_is_done_without_and_that_is_said(
    ahead: TriedAhead, moment: Moment
) -> None:
    answer = ahead.tried(replace(moment, memory="{"), TriedChange(), 600.0)
    assert answer["plan"]["notes"] == ["the controller begins without what was learned today"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (TriedChange(zone="d"), r'zone: "d" is not allowed \(a, b, c\)'),
        (TriedChange(controller="clairvoyant"), 'controller: "clairvoyant" is not allowed'),
        (TriedChange(load_service="apj"), 'load.service: "apj" is not allowed'),
    ],
)
def test_a_change_of_what_is_not_there_is_refused_by_name(
    ahead: TriedAhead, moment: Moment, change: TriedChange, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        ahead.tried(moment, change, 600.0)
