"""What people expect besides the calendar: in the outlook while it lasts, and no longer."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from engine import Autoscaler, EngineSettings
from engine.forecast.occasions import planned, with_occasions
from engine.model import BootTime, Call, Occasion, Outlook, ServiceSpec
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.store import Requests, RowKind
from engine.prediction.occasions import preview
from engine.runtime.cycle import Cycle, Gathered
from tests.unit.engine.conftest import make_window

NOW_S = 1_000_000_800.0
BOOT = BootTime(30.0, 60.0)
SPECS = (
    ServiceSpec("api", 2, 400, 10, 0.1, 1.0, BOOT, 5.0, 0.5, 0.2, calls=(Call("database", 2.0),)),
    ServiceSpec("database", 2, 400, 10, 0.05, 1.0, BOOT, 5.0, 0.5, 0.5),
)
SPOT = Occasion(
    "o-1", "TV spot", (("api", 3.0),), NOW_S + 10_800.0, NOW_S + 14_400.0, ramp_s=600.0,
    requested_by="ann", approved_by="bob",
)  # fmt: skip


def booked(rate: float = 100.0, bins: int = 720) -> Outlook:
    load = np.array([np.full(bins, rate), np.full(bins, 2.0 * rate)])
    nothing = np.zeros(bins)
    return Outlook(
        NOW_S, NOW_S - 3600.0, 60.0, {"api": 0, "database": 1}, load, 0.0 * load, nothing, nothing,
        0.1,
    )  # fmt: skip


def at(outlook: Outlook, ahead_s: float) -> list[float]:
    return [outlook.rate(row, NOW_S + ahead_s) for row in (0, 1)]


def test_it_is_there_in_its_window_with_its_calls_and_rises_before_it() -> None:
    shown = with_occasions(booked(), (SPOT,), SPECS)
    assert at(shown, 12_000.0) == pytest.approx([300.0, 600.0])
    assert at(shown, 10_500.0) == pytest.approx([200.0, 400.0], rel=0.06)
    for quiet_s in (10_000.0, 14_500.0, 0.0):
        assert at(shown, quiet_s) == pytest.approx([100.0, 200.0])
    assert float(shown.major_load[0].max()) == pytest.approx(200.0)
    assert float(shown.major_events.max()) == float(shown.major_starts.sum()) == 1.0
    assert shown.as_booked is not None
    assert at(shown.as_booked, 12_000.0) == [100.0, 200.0]


@pytest.mark.parametrize(
    "other",
    [
        replace(SPOT, approved_by=""), replace(SPOT, ended_by="cy"),
        replace(SPOT, starts_s=NOW_S - 90_000.0, ends_s=NOW_S - 80_000.0),
        replace(SPOT, starts_s=NOW_S + 9e6, ends_s=NOW_S + 9.1e6),
    ],
)  # fmt: skip
def test_one_that_is_not_approved_taken_back_or_of_another_time_changes_nothing(
    other: Occasion,
) -> None:
    outlook = booked()
    assert with_occasions(outlook, (other,), SPECS) is outlook


def test_a_service_that_is_named_itself_gets_what_is_said_of_it() -> None:
    both = replace(SPOT, times=(("api", 3.0), ("database", 1.5)))
    assert at(with_occasions(booked(), (both,), SPECS), 12_000.0) == pytest.approx([300.0, 300.0])
    unknown = replace(SPOT, times=(("shop", 3.0),))
    assert at(with_occasions(booked(), (unknown,), SPECS), 12_000.0) == [100.0, 200.0]


def test_two_at_once_add_up_with_the_calls_of_both() -> None:
    twice = with_occasions(booked(), (SPOT, replace(SPOT, id="o-2")), SPECS)
    assert at(twice, 12_000.0)[0] == pytest.approx(900.0)
    assert twice.as_booked is not None
    assert twice.as_booked.as_booked is None


def test_who_is_less_sure_has_more_stand_ready() -> None:
    assert planned(SPOT, 3.0) == 3.0
    unsure = planned(replace(SPOT, sure=0.5), 3.0)
    assert unsure == pytest.approx(1 + 2 * math.exp(0.6408), rel=1e-3)
    assert planned(replace(SPOT, sure=0.5), 1.0) == 1.0


def test_the_preview_says_instances_steps_in_time_and_what_they_cost() -> None:
    settings = EngineSettings()
    previewed = preview(booked(1000.0), replace(SPOT, approved_by=""), SPECS, settings, now_s=NOW_S)
    assert set(previewed.peak) == {"api", "database"}
    assert all(previewed.peak[name] > 2 * previewed.usual[name] for name in previewed.peak)
    ups = [step for step in previewed.steps if step.to_instances > step.from_instances]
    downs = [step for step in previewed.steps if step.to_instances < step.from_instances]
    assert {step.service for step in ups} == {step.service for step in downs} == set(previewed.peak)
    for name, peak in previewed.peak.items():
        ready_s = max(step.ready_s for step in ups if step.service == name)
        assert ready_s <= SPOT.starts_s
        assert max(step.to_instances for step in ups if step.service == name) == peak
    more = sum(
        (previewed.peak[spec.name] - previewed.usual[spec.name]) * spec.price_per_hour
        for spec in SPECS
    )
    assert more <= previewed.cost_usd <= 3.0 * more  # it touches two hours, or three with its rise
    assert previewed.is_known


def test_a_preview_beyond_what_is_known_says_so() -> None:
    far = replace(SPOT, starts_s=NOW_S + 9e5, ends_s=NOW_S + 9.1e5)
    previewed = preview(booked(), far, SPECS, EngineSettings(), now_s=NOW_S)
    assert not previewed.is_known
    assert (previewed.steps, previewed.cost_usd) == ((), 0.0)


def test_the_engine_holds_its_floor_two_hours_ahead_and_lets_go_by_itself() -> None:
    cycle = Cycle(Autoscaler(), SPECS)
    outlook = booked(rate=1000.0)
    counts = {"api": 20, "database": 20}
    floors: dict[float, int] = {}

    def turn(ahead_s: float, occasion: Occasion) -> None:
        now_s = NOW_S + ahead_s
        sighting = Sighting({name: Counts(n, n, 0, 0) for name, n in counts.items()})
        windows = {name: make_window(now_s=now_s) for name in counts}
        asked = Requests(occasions=(occasion,))
        observation = cycle.observe(now_s, Gathered(sighting, outlook, windows, asked))
        assert observation is not None
        again = cycle.observe(now_s, Gathered(sighting, outlook, windows, asked))
        assert again is not None
        assert again.outlook is observation.outlook
        plan = cycle.decide(observation)
        assert plan is not None
        floors[ahead_s] = plan.floors.get("api", 0)

    for ahead_s in (15.0, 5_000.0, 14_700.0):
        turn(ahead_s, SPOT)
    assert floors[15.0] == floors[14_700.0] == 0
    assert floors[5_000.0] > 30  # 3,000 requests/s of 100 each, with room
    turn(14_715.0, replace(SPOT, ends_s=NOW_S + 90_000.0, ended_by="cy"))
    assert floors[14_715.0] == 0


def test_what_came_is_measured_while_it_lasts_and_kept_when_it_is_over() -> None:
    cycle = Cycle(Autoscaler(), SPECS)
    outlook = booked(rate=100.0)
    sighting = Sighting({name: Counts(20, 20, 0, 0) for name in ("api", "database")})

    def turn(ahead_s: float, rate: float, *occasions: Occasion) -> None:
        now_s = NOW_S + ahead_s
        windows = {name: make_window(now_s=now_s, rate=rate) for name in sighting.services}
        cycle.observe(now_s, Gathered(sighting, outlook, windows, Requests(occasions=occasions)))

    turn(10_000.0, 900.0, SPOT)  # before it: of no account
    for ahead_s in (11_000.0, 11_000.0, 12_000.0):
        turn(ahead_s, 240.0, SPOT)
    assert not cycle.events()
    turn(14_405.0, 100.0, SPOT)
    (event,) = cycle.events()
    assert (event.kind, event.name) == ("occasion_over", "TV spot")
    assert event.detail == "api 2.40 times (3 expected)"
    (row,) = cycle.outbox.rows(NOW_S)
    assert row.kind is RowKind.OCCASION
    assert json.loads(row.content)["came"]["api"] == pytest.approx(2.4)
    turn(14_410.0, 100.0, SPOT)
    assert not cycle.events()
