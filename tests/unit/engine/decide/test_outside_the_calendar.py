"""Where the calendar says nothing the load is taken to stay as it is, and that is said."""

from __future__ import annotations

import math

import pytest

from engine import Autoscaler, EngineSettings
from engine.model import Reason
from engine.settings import CapacitySettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

LEAN = EngineSettings(capacity=CapacitySettings(survive_zone_loss="none"))
LONG_PAST = make_outlook(5000.0, start_s=NOW_S - 40 * 86_400.0, bins=60)
STILL_TO_COME = make_outlook(5000.0, start_s=NOW_S + 60.0)
ENDED_NOW = make_outlook(5000.0, start_s=NOW_S - 3600.0, bins=60)
OUTSIDE = [LONG_PAST, STILL_TO_COME, ENDED_NOW]


def wanted(plan) -> int:  # type: ignore[no-untyped-def]
    """What the forecast wants."""
    recommendations = [*plan.taken, *(declined.recommendation for declined in plan.declined)]
    targets = [r.target for r in recommendations if r.reason in (Reason.FORECAST, Reason.COST)]
    return max(targets, default=-1)


@pytest.mark.parametrize("outlook", OUTSIDE)
@pytest.mark.parametrize("rate", [100.0, 900.0, 3000.0])
def test_the_need_is_that_of_the_observed_load_with_room_for_what_nobody_knows(
    outlook,
    rate: float,  # type: ignore[no-untyped-def]
) -> None:
    window = make_window(cpu=0.3, memory=0.3, rate=rate)
    plan = Autoscaler(LEAN).step(observe(make_service(desired=4, window=window), outlook=outlook))
    # 100 requests/s an instance; risk 10 % of a log-standard deviation of 0.2 is 29 % more,
    # at 97 % utilisation and with the staffing rule's room for a small pool
    if rate > 400.0:
        assert rate / 100.0 * 1.29 <= wanted(plan) <= rate / 100.0 * 1.29 / 0.97 + 3.0
        (action,) = plan.actions
        assert "the calendar covers" in action.explanation
    assert all(floor == 0 for floor in plan.floors.values())


@pytest.mark.parametrize("outlook", OUTSIDE)
def test_neither_the_last_bin_nor_the_first_is_planned_for(outlook) -> None:  # type: ignore[no-untyped-def]
    window = make_window(cpu=0.3, memory=0.3, rate=300.0)
    plan = Autoscaler(LEAN).step(observe(make_service(desired=10, window=window), outlook=outlook))
    assert all(action.to_instances < 10 for action in plan.actions)
    assert wanted(plan) < 10


@pytest.mark.parametrize("outlook", OUTSIDE)
@pytest.mark.parametrize(
    "window", [make_window(age_s=300.0), make_window(rate=math.nan), make_window()[:0]]
)
def test_without_samples_either_nothing_moves(outlook, window) -> None:  # type: ignore[no-untyped-def]
    plan = Autoscaler(LEAN).step(observe(make_service(desired=10, window=window), outlook=outlook))
    assert plan.actions == ()


def test_a_service_that_the_calendar_does_not_know_goes_by_what_is_observed() -> None:
    services = (
        make_service(desired=10),
        make_service(make_spec("new"), desired=4, window=make_window(cpu=0.6, rate=900.0)),
    )
    plan = Autoscaler(LEAN).step(observe(*services, outlook=make_outlook(500.0)))
    (action,) = [action for action in plan.actions if action.service == "new"]
    assert action.to_instances == 6
    assert "the calendar says nothing of new" in action.explanation
    assert {forecast.service for forecast in plan.forecasts} == {"api"}


def test_a_calendar_that_begins_again_is_gone_by_again() -> None:
    engine = Autoscaler(LEAN)
    window = make_window(cpu=0.3, memory=0.3, rate=300.0)
    engine.step(observe(make_service(desired=10, window=window), outlook=LONG_PAST))
    later = NOW_S + 15.0
    window = make_window(later, cpu=0.3, memory=0.3, rate=300.0)
    plan = engine.step(observe(make_service(desired=10, window=window), now_s=later))
    assert all("the calendar covers" not in action.explanation for action in plan.actions)
    assert plan.forecasts
