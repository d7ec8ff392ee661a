"""Pins, minimum and maximum hold whatever the metrics and the calendar say."""

from __future__ import annotations

import math

import pytest

from engine import Autoscaler, EngineSettings
from engine.model import Approval, Direction, Pause, Reason
from engine.settings import ApprovalSettings, FallbackSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

WINDOWS = {
    "fresh": make_window(cpu=0.1, rate=100.0),
    "stale": make_window(age_s=300.0),
    "none": make_window()[:0],
    "without figures": make_window(
        cpu=math.nan, rate=math.nan, p95_s=math.nan, memory=math.nan, queue=math.nan
    ),
}
FALLBACKS = ("outlook", "hold", "static")
OUTLOOKS = {
    "covers": make_outlook(100.0),
    "is over": make_outlook(5000.0, start_s=NOW_S - 7200.0, bins=60),
}


@pytest.mark.parametrize("outlook", OUTLOOKS)
@pytest.mark.parametrize("mode", FALLBACKS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("lowest", "highest", "desired", "expected"),
    [(5, 1000, 1, 5), (2, 8, 12, 8), (5, 5, 9, 5), (5, 5, 0, 5)],
)
def test_a_count_outside_its_bounds_is_put_right_at_once(
    outlook: str, mode: str, window: str, lowest: int, *, highest: int, desired: int, expected: int
) -> None:
    settings = EngineSettings(fallback=FallbackSettings(mode=mode))  # type: ignore[arg-type]
    spec = make_spec(min_instances=lowest, max_instances=highest)
    service = make_service(spec, desired=desired, window=WINDOWS[window])
    (action,) = Autoscaler(settings).step(observe(service, outlook=OUTLOOKS[outlook])).actions
    assert action.to_instances == expected


@pytest.mark.parametrize("outlook", OUTLOOKS)
@pytest.mark.parametrize("mode", FALLBACKS)
@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(
    ("desired", "pinned", "expected"),
    # 14 and 7 are one step of +50 % and -30 % away from 10
    [(10, 14, 14), (10, 20, 15), (10, 8, 8), (10, 3, 7), (10, 10, None)],
)
def test_a_pin_holds_step_by_step(
    outlook: str, mode: str, window: str, desired: int, *, pinned: int, expected: int | None
) -> None:
    settings = EngineSettings(fallback=FallbackSettings(mode=mode))  # type: ignore[arg-type]
    service = make_service(desired=desired, window=WINDOWS[window])
    plan = Autoscaler(settings).step(
        observe(service, outlook=OUTLOOKS[outlook], pauses=(Pause("api", pinned=pinned),))
    )
    assert [a.to_instances for a in plan.actions] == ([] if expected is None else [expected])


def test_what_is_put_right_without_a_wish_says_why() -> None:
    settings = EngineSettings(fallback=FallbackSettings(mode="hold"))
    service = make_service(make_spec(min_instances=5), desired=1, window=WINDOWS["stale"])
    (action,) = Autoscaler(settings).step(observe(service)).actions
    assert action.reason is Reason.BOUNDS
    assert "outside its bounds of 5 … 1000" in action.explanation


def test_an_emergency_does_not_move_a_pinned_service_and_it_is_said() -> None:
    hot = make_window(cpu=1.0, rate=2000.0, p95_s=3.0, error_rate=0.1, queue=500.0)
    service = make_service(desired=8, window=hot)
    plan = Autoscaler().step(observe(service, pauses=(Pause("api", pinned=8),)))
    assert plan.actions == ()
    assert "the service is pinned at 8" in [declined.why for declined in plan.declined]


@pytest.mark.parametrize(
    ("lowest", "highest", "desired", "expected"), [(40, 1000, 1, 40), (2, 50, 95, 50)]
)
def test_bounds_hold_without_asking_for_approval(
    lowest: int, highest: int, desired: int, expected: int
) -> None:
    settings = EngineSettings(approval=ApprovalSettings(max_instances=2))
    spec = make_spec(min_instances=lowest, max_instances=highest)
    # Far more is booked than the bounds, or one step, allow: that has to be asked for.
    service = make_service(spec, desired=desired)
    plan = Autoscaler(settings).step(observe(service, outlook=make_outlook(20_000.0)))
    assert [(a.to_instances, a.reason) for a in plan.actions] == [(expected, Reason.BOUNDS)]


def test_an_approved_rise_ends_where_the_service_has_been_pinned_meanwhile() -> None:
    engine = Autoscaler(EngineSettings(approval=ApprovalSettings(max_instances=3)))
    outlook, busy = make_outlook(3000.0), make_window(rate=3000.0, cpu=0.7)
    service = make_service(desired=20, window=busy)
    (asked,) = engine.step(observe(service, outlook=outlook)).awaiting
    assert asked.to_instances == 30
    plan = engine.step(
        observe(
            service, now_s=NOW_S + 15.0, outlook=outlook,
            approvals=(Approval(asked.decision_id, True, NOW_S + 10.0, "ann"),),
            pauses=(Pause("api", pinned=28),),
        )
    )  # fmt: skip
    assert [action.to_instances for action in plan.actions] == [28]


def test_a_pause_holds_also_where_the_maximum_lies_the_other_way_than_the_wish() -> None:
    drowning = make_window(cpu=1.0, rate=9000.0, p95_s=3.0, queue=900.0)
    service = make_service(make_spec(max_instances=60), desired=95, ready=9, window=drowning)
    paused = (Pause(direction=Direction.IN),)
    plan = Autoscaler().step(observe(service, outlook=make_outlook(9000.0), pauses=paused))
    assert plan.actions == ()
    (action,) = Autoscaler().step(observe(service, outlook=make_outlook(9000.0))).actions
    assert action.to_instances == 60
