"""The budget and the quota go by urgency, then to what users wait for, never by the call graph."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from engine import Autoscaler, EngineSettings
from engine.model import Budget, Call, ManualFloor, ManualScale, Outlook, Reason, ServiceObservation
from engine.settings import ApprovalSettings, CapacitySettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

SETTINGS = EngineSettings(
    capacity=CapacitySettings(
        max_utilisation=0.9, max_utilisation_deferred=0.9, survive_zone_loss="none"
    )
)
HOT = {"cpu": 1.0, "rate": 2000.0, "p95_s": 3.0, "error_rate": 0.1, "queue": 500.0}


def outlook_of(soon: dict[str, float], later: dict[str, float]) -> Outlook:
    """500 requests/s at each service now; `soon` of them in two minutes, and major events later.

    `later` is the load of these, for an hour from an hour and a half on.
    """
    outlook = make_outlook(500.0, services=tuple(soon))
    ahead_s = outlook.start_s + 60.0 * np.arange(outlook.load.shape[1]) - NOW_S
    load, major_load = outlook.load.copy(), outlook.major_load.copy()
    for row, (name, rate) in enumerate(soon.items()):
        load[row, ahead_s >= 120.0] = rate
        away = (ahead_s >= 5400.0) & (ahead_s < 9000.0)
        major_load[row, away] = later.get(name, 0.0)
        load[row, away] += later.get(name, 0.0)
    return replace(outlook, load=load, major_load=major_load)


class Want:
    """A service of ten instances that wants about four more for one reason."""

    def __init__(self, reason: Reason) -> None:
        self.reason = reason
        self.window = make_window(**(HOT if reason is Reason.EMERGENCY else {"cpu": 0.6}))
        self.soon = 1100.0 if reason is Reason.FORECAST else 500.0
        self.later = 650.0 if reason is Reason.WEDDING_FLOOR else 0.0

    def floors(self, name: str) -> tuple[ManualFloor, ...]:
        if self.reason is not Reason.MANUAL:
            return ()
        return (ManualFloor(name, 14, NOW_S + 600.0),)

    def seen(self, name: str, calls: tuple[Call, ...]) -> ServiceObservation:
        return make_service(make_spec(name, calls=calls), desired=10, window=self.window)


URGENCY = [Reason.EMERGENCY, Reason.MANUAL, Reason.WEDDING_FLOOR, Reason.FORECAST]


@pytest.mark.parametrize(("more", "less"), list(itertools.combinations(URGENCY, 2)))
@pytest.mark.parametrize("caller_is_urgent", [True, False])
def test_the_more_urgent_one_is_served_first(
    more: Reason, less: Reason, caller_is_urgent: bool
) -> None:
    wants = {"urgent": Want(more), "other": Want(less)}
    first, second = ("urgent", "other") if caller_is_urgent else ("other", "urgent")
    services = (
        wants[first].seen(first, (Call(second, 0.0),)),
        wants[second].seen(second, ()),
    )
    outlook = outlook_of(
        {name: wants[name].soon for name in (first, second)},
        {name: wants[name].later for name in (first, second)},
    )
    floors = (*wants["urgent"].floors("urgent"), *wants["other"].floors("other"))
    free = Autoscaler(SETTINGS).step(observe(*services, outlook=outlook, floors=floors))
    alone = {a.service: a.to_instances for a in free.actions}
    assert {a.service: a.reason for a in free.actions} == {"urgent": more, "other": less}
    # Enough for the urgent one alone, and for one instance more.
    quota = 20 + (alone["urgent"] - 10) + 1
    plan = Autoscaler(SETTINGS).step(
        observe(*services, outlook=outlook, floors=floors, budget=Budget(instances=quota))
    )
    got = {a.service: a.to_instances for a in plan.actions}
    assert got == {"urgent": alone["urgent"], "other": 11}
    why = [d.why for d in plan.declined if d.recommendation.service == "other"]
    assert any("the budget or the account's quota is used up" in text for text in why)


@pytest.mark.parametrize("order", [("front", "batch"), ("batch", "front")])
def test_of_two_as_urgent_ones_that_goes_first_which_users_wait_for(order: tuple[str, str]) -> None:
    services = tuple(
        make_service(make_spec(name, user_facing=name == "front"), desired=10) for name in order
    )
    plan = Autoscaler(SETTINGS).step(
        observe(
            *services,
            outlook=outlook_of(dict.fromkeys(order, 1100.0), {}),
            budget=Budget(usd_per_hour=2.0 + 0.1 * 2),  # two instances more at 0.1 USD/h
        )
    )
    assert {a.service: a.to_instances for a in plan.actions} == {"front": 12}


def test_what_waits_for_a_person_takes_nothing_from_what_need_not_wait() -> None:
    settings = SETTINGS.model_copy(update={"approval": ApprovalSettings(max_instances=3)})
    services = (make_service(make_spec("large"), desired=10), make_service(make_spec("small")))
    outlook = outlook_of({"large": 1400.0, "small": 1000.0}, {})
    plan = Autoscaler(settings).step(
        observe(*services, outlook=outlook, budget=Budget(instances=22))
    )
    assert [a.service for a in plan.actions] == ["small"]


@pytest.mark.parametrize("override", [True, False])
def test_what_overrides_budget_and_quota_is_had_and_paid_for_by_the_others(override: bool) -> None:
    wanted = ManualScale("m-1", "wanted", 40, NOW_S + 600.0, "ida", "guests wait", 10, override)
    services = tuple(make_service(make_spec(name), desired=10) for name in ("wanted", "other"))
    plan = Autoscaler(SETTINGS).step(
        observe(
            *services,
            outlook=outlook_of({"wanted": 500.0, "other": 1100.0}, {}),
            budget=Budget(usd_per_hour=2.5, instances=26),  # five and six more
            scales=(wanted,),
        )
    )
    got = {a.service: (a.to_instances, a.scale_id) for a in plan.actions}
    assert got == ({"wanted": (40, "m-1")} if override else {"wanted": (15, "m-1")})
    why = "; ".join(a.explanation for a in plan.actions if a.service == "wanted")
    assert ("past steps, rests, budget and quota" in why) == override


def test_a_fall_costs_nothing_and_pays_for_nothing_in_the_same_step() -> None:
    down = make_service(
        make_spec("down"), desired=10, window=make_window(cpu=0.1, memory=0.3, rate=100.0)
    )
    up = make_service(make_spec("up"), desired=10)
    outlook = outlook_of({"down": 100.0, "up": 1150.0}, {})
    plan = Autoscaler(SETTINGS).step(
        observe(down, up, outlook=outlook, budget=Budget(instances=20))
    )
    assert {a.service: a.to_instances for a in plan.actions} == {"down": 7}
