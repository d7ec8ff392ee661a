"""A service that drowns is helped with what figures there are."""

from __future__ import annotations

import math

import pytest

from engine import Autoscaler
from engine.decide.assess import arrival_rate
from engine.decide.view import view
from engine.model import Call, Category
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

HOT = {"cpu": 1.0, "rate": 2000.0, "p95_s": 3.0, "error_rate": 0.1, "queue": 5000.0}


@pytest.mark.parametrize("wild", [math.nan, math.inf, -1.0])
@pytest.mark.parametrize(
    "missing",
    [
        ("request_rate",),
        ("request_rate", "p95_s"),
        ("request_rate", "error_rate"),
        ("request_rate", "p95_s", "error_rate", "memory"),
        ("cpu",),
        ("request_rate", "cpu"),
        ("queue_depth",),
        ("request_rate", "queue_depth"),
    ],
)
def test_an_emergency_is_sized_from_what_is_there(missing: tuple[str, ...], wild: float) -> None:
    window = make_window(**HOT)
    for figure in missing:
        window[figure] = wild
    plan = Autoscaler().step(
        observe(make_service(desired=8, window=window), outlook=make_outlook(300.0))
    )
    (action,) = plan.actions
    assert action.category is Category.EMERGENCY
    # 8 busy instances at a comfortable 70 % are 12; at most 8 times what is ready
    assert 12 <= action.to_instances <= 64
    assert "nan" not in action.explanation
    assert "inf" not in action.explanation


@pytest.mark.parametrize(
    ("figures", "queue_before", "expected"),
    [
        # measured: that is it
        ({"rate": 700.0, "cpu": 0.5}, 0.0, 700.0),
        # 10 instances x 100/s x 50 % busy
        ({"rate": math.nan, "cpu": 0.5}, 0.0, 500.0),
        # all busy, and the queue has grown by 400 in 5 s
        ({"rate": math.nan, "cpu": 1.0, "queue": 500.0}, 100.0, 1080.0),
        # a queue tells that all are busy
        ({"rate": math.nan, "cpu": math.nan, "queue": 500.0}, 500.0, 1000.0),
        # a queue that shrinks brings nothing
        ({"rate": math.nan, "cpu": 1.0, "queue": 100.0}, 500.0, 1000.0),
        ({"rate": math.nan, "cpu": math.nan, "queue": 0.0}, 0.0, math.nan),
    ],
)
def test_arrivals_by_what_is_measured(
    figures: dict[str, float], queue_before: float, expected: float
) -> None:
    window = make_window(**figures)
    window["queue_depth"][:-1] = queue_before
    if figures.get("queue"):
        window["queue_depth"][-2] = queue_before
    service = make_service(window=window)
    looked = view(service, NOW_S, 45.0)
    if not math.isfinite(figures.get("cpu", 0.0)):
        # the median of the newest three: let all of them say so
        window["queue_depth"][-3:] = figures["queue"]
        looked = view(service, NOW_S, 45.0)
    arrived = arrival_rate(looked, service.spec, 10, 1.0)
    assert arrived == pytest.approx(expected, nan_ok=True)


def test_a_callee_whose_rate_is_missing_gets_room_with_its_drowning_caller() -> None:
    api, database = make_spec("api", calls=(Call("database", 2.0),)), make_spec("database")
    for rate, cpu in ((math.nan, 0.8), (math.nan, math.nan), (600.0, 0.8)):
        services = (
            make_service(api, desired=8, window=make_window(**HOT)),
            make_service(database, desired=10, window=make_window(rate=rate, cpu=cpu)),
        )
        plan = Autoscaler().step(
            observe(*services, outlook=make_outlook(300.0, services=("api", "database")))
        )
        grown = {a.service: a.to_instances for a in plan.actions}
        # the api passes on 2 x (2000 - 800) = 2400/s, on top of what is there, at 70 %
        assert grown["database"] >= 2400.0 / 100.0 / 0.7
