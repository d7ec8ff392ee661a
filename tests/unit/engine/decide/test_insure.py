"""How many are held warm, and why: every row worked out by hand.

An instance serves 100 requests a second, boots for 1,000 s cold and 100 s warm, and costs 0.05
USD/h held: 1.2 USD a day.  At 0.001 USD a missed request it saves 90 USD in a surge that needs it.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine import Autoscaler, EngineSettings
from engine.decide.allocate import Granted, Purse, purse
from engine.decide.assess_weddings import Ahead
from engine.decide.explain import explain
from engine.decide.insure import insure, share_at_moments, worth_of
from engine.decide.wishes import Wish
from engine.memory import ServiceMemory
from engine.model import (
    Action,
    BootTime,
    Budget,
    Category,
    Direction,
    Outlook,
    Pause,
    Quantity,
    Reason,
    ServiceSpec,
    WarmOffer,
    WeddingContext,
)
from engine.settings import ApprovalSettings, SurgeSettings
from tests.unit.engine.conftest import NOW_S, make_outlook, make_service, make_spec, observe
from tests.unit.engine.decide.conftest import ahead_of, seen_of

OFFER = WarmOffer(price_share=0.125, boot_share=0.1, most=500)
SURGE = SurgeSettings(
    per_day=0.12, tail=2.0, most=8.0, usd_per_missed_request=0.001, moment_factor=5.0,
    bill_share=1.0,
)  # fmt: skip
ENDLESS = Purse(math.inf, math.inf)


def spec_of(offer: WarmOffer | None = OFFER, **changes: object) -> ServiceSpec:
    figures: dict[str, object] = {
        "boot": BootTime(1000.0, 1000.0), "price_per_hour": 0.4, "warm": offer,
    }  # fmt: skip
    return make_spec(**(figures | changes))  # type: ignore[arg-type]


def held(
    spec: ServiceSpec | None = None,
    *,
    desired: int = 15,
    warm_desired: int = 0,
    ahead: Ahead | None = None,
    rest: Purse = ENDLESS,
    calm_from_s: float = -math.inf,
    granted: int | None = None,
    surge: SurgeSettings = SURGE,
    **others: object,
) -> tuple[Action, ...]:
    """What is done about a service that needs 15 for 1,200 requests/s, unless that is changed."""
    service = make_service(spec or spec_of(), desired=desired, warm_desired=warm_desired)
    approval = others.pop("approval", ApprovalSettings())
    slowdown = others.pop("slowdown", 1.0)
    assert isinstance(slowdown, float)
    return insure(
        [seen_of(service, slowdown=slowdown)],
        [ahead_of(15.0) if ahead is None else ahead],
        [Wish(None, (), "", calm_from_s)],
        [Granted(desired if granted is None else granted, "", None)],
        rest=rest,
        observation=observe(service, **others),
        settings=EngineSettings(surge=surge, approval=approval),
    )


def count(actions: tuple[Action, ...]) -> int | None:
    return actions[0].to_instances if actions else None


@pytest.mark.parametrize(
    ("changes", "moment", "offer", "factor", "surges_per_day"),
    [
        # 0.12 surges a day of twice the load save 10.8 USD, 9 times what it costs: 2 * sqrt(9).
        ({}, 0.0, OFFER, 6.0, 0.12 / 9.0),
        # Half of the events at their vows: (1 + 4 / 2) = 3 times as much, 2 * sqrt(27).
        ({"most": 100.0}, 0.5, OFFER, 2.0 * math.sqrt(27.0), 0.12 / 27.0),
        ({}, 0.5, OFFER, 8.0, 0.12 / 16.0),
        # With a tail of 1, 2 * 9; only every hundredth surge is beyond 8 times in that of 1.
        ({"tail": 1.0, "most": 100.0}, 0.0, OFFER, 18.0, 0.12 / 9.0),
        # Just worth one that doubles the load, and just not.
        ({"per_day": 1.21 / 90.0}, 0.0, OFFER, 2.0 * math.sqrt(1.21 / 1.2), 1.2 / 90.0),
        ({"per_day": 1.19 / 90.0}, 0.0, OFFER, 0.0, 1.19 / 90.0),
        ({"per_day": 0.0}, 0.0, OFFER, 0.0, 0.0),
        ({"usd_per_missed_request": 0.0}, 0.0, OFFER, 0.0, 0.12),
        # For nothing as much as is ever insured; no sooner than cold, nothing.
        ({}, 0.0, replace(OFFER, price_share=0.0), 8.0, 0.12 / 16.0),
        ({"per_day": 0.001}, 0.0, replace(OFFER, price_share=0.0), 8.0, 0.001 / 16.0),
        ({}, 0.0, replace(OFFER, price_share=0.09375), 2.0 * math.sqrt(12.0), 0.01),
        ({}, 0.0, replace(OFFER, boot_share=1.0), 0.0, 0.12),
        ({}, 0.0, replace(OFFER, price_share=0.0, boot_share=1.0), 0.0, 0.12),
    ],
)
def test_the_greatest_surge_that_pays(
    changes: dict[str, float],
    moment: float,
    offer: WarmOffer,
    factor: float,
    *,
    surges_per_day: float,
) -> None:
    seen = seen_of(make_service(spec_of(offer)))
    worth = worth_of(seen, offer, moment, SURGE.model_copy(update=changes))
    assert worth.factor == pytest.approx(factor)
    assert worth.surges_per_day == pytest.approx(surges_per_day)
    assert worth.hold_usd_per_day == pytest.approx(24.0 * 0.4 * offer.price_share)


def test_an_instance_saves_what_it_serves_until_a_cold_one_is_there() -> None:
    # The boot's mean counts: 1,000 s * exp(sigma^2 / 2), of which nine tenths are saved.
    boot = BootTime(1000.0, 2000.0)
    seen = seen_of(make_service(spec_of(boot=boot)))
    mean_s = 1000.0 * math.exp(0.5 * (math.log(2.0) / 1.6448536) ** 2)
    worth = worth_of(seen, OFFER, 0.0, SURGE)
    assert worth.saved_usd == pytest.approx(100.0 * 0.9 * mean_s * 0.001)


def test_nothing_is_worth_it_at_a_service_that_nobody_waits_for() -> None:
    seen = seen_of(make_service(spec_of()), waited_for=False)
    worth = worth_of(seen, OFFER, 0.0, SURGE)
    assert (worth.factor, worth.saved_usd) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("changes", "warm"),
    [
        # 6 * 1,200 requests/s at 80 % take 90, of which 15 stand ready.
        ({}, 75),
        ({"slowdown": 2.0, "desired": 60}, 165),  # twice as long, twice as many: 180
        ({"ahead": ahead_of(0.0)}, None),  # nothing comes
        ({"spec": spec_of(min_instances=40)}, 50),  # forty stand whatever is needed
        ({"spec": spec_of(max_instances=60)}, 45),  # no more than 60 can be launched
        ({"spec": spec_of(replace(OFFER, most=7))}, 7),
        ({"spec": spec_of(replace(OFFER, most=0))}, None),
        ({"surge": SURGE.model_copy(update={"per_day": 0.0})}, None),
        # A tenth more is worth a command, a bit less is not; nor is a fall of less than a fifth.
        ({"warm_desired": 68}, 75),
        ({"warm_desired": 69}, None),
        ({"warm_desired": 93}, None),
        ({"warm_desired": 94}, 75),
        ({"spec": spec_of(replace(OFFER, most=4)), "warm_desired": 5}, None),  # just a fifth less
        ({"spec": spec_of(replace(OFFER, most=3)), "warm_desired": 5}, 3),
        # The money: 15 desired cost 6 USD/h, and a warm one 0.05.
        ({"surge": SURGE.model_copy(update={"bill_share": 0.25})}, 30),
        ({"surge": SURGE.model_copy(update={"bill_share": 0.25}), "warm_desired": 30}, None),
        ({"surge": SURGE.model_copy(update={"bill_share": 0.0}), "warm_desired": 30}, 0),
        ({"surge": SURGE.model_copy(update={"bill_share": 0.05})}, 6),
        (
            {
                "surge": SURGE.model_copy(update={"bill_share": 0.05}),
                "spec": spec_of(replace(OFFER, most=10)),
            },
            6,
        ),
        # The budget has a dollar left, besides the 10 that are held: 20 + 10.
        ({"rest": Purse(1.0, math.inf)}, 20),
        ({"rest": Purse(1.0, math.inf), "warm_desired": 10}, 30),
        ({"rest": Purse(1.0, math.inf), "granted": 16}, 12),  # of which 0.4 go to one more
        ({"rest": Purse(-1.0, math.inf), "warm_desired": 10}, 0),
        ({"rest": Purse(math.inf, 9.0)}, 9),
        ({"rest": Purse(math.inf, 9.0), "granted": 20}, 4),
        # What would take approval is not held: 5 instances, 1 USD/h.
        ({"approval": ApprovalSettings(max_instances=5)}, 5),
        ({"approval": ApprovalSettings(max_cost_per_hour=1.0)}, 20),
    ],
)
def test_how_many_are_held_warm(changes: dict[str, object], warm: int | None) -> None:
    assert count(held(**changes)) == warm  # type: ignore[arg-type]


def test_what_is_let_go_goes_by_the_bill_of_now_as_well() -> None:
    # Five times 30 are wanted later, 15 now: a fifth of 6 USD/h pays for 24, and 80 are held.
    ahead = ahead_of([3.0] * 10 + [30.0] * 140)
    fifth = SURGE.model_copy(update={"bill_share": 0.2})
    assert count(held(ahead=ahead, surge=fifth, warm_desired=80)) == 24
    assert count(held(ahead=ahead, surge=fifth, warm_desired=24)) is None
    assert count(held(ahead=ahead, surge=fifth)) == 15


def test_what_costs_nothing_is_held_whatever_the_bill() -> None:
    free = spec_of(replace(OFFER, price_share=0.0))  # 8 times: 120
    assert count(held(free, surge=SURGE.model_copy(update={"bill_share": 0.0}))) == 105


@pytest.mark.parametrize(
    ("need", "warm_desired", "warm"),
    [
        # Lead time 140 s: four bins, and an hour more to let go.  Of n needed 5 n are held.
        ([15.0] * 4 + [30.0] * 146, 0, 75),
        ([15.0] * 3 + [30.0] * 147, 0, 150),
        ([15.0] * 3 + [30.0] * 147, 150, None),
        ([30.0] * 3 + [15.0] * 147, 150, None),
        ([15.0] * 63 + [30.0] * 87, 150, None),
        ([15.0] * 64 + [30.0] * 86, 150, 75),
    ],
)
def test_it_rises_in_time_and_lets_go_of_what_is_not_wanted_again(
    need: list[float], warm_desired: int, warm: int | None
) -> None:
    assert count(held(ahead=ahead_of(need), desired=60, warm_desired=warm_desired)) == warm


def test_the_day_s_level_counts_and_a_surge_that_is_there_does_not() -> None:
    ahead = ahead_of(15.0)
    busier = ahead.response._replace(level=math.log(1.5))
    assert count(held(ahead=ahead._replace(response=busier))) == 135 - 15
    surging = ahead.response._replace(level=math.log(4.0), surge=2.0)
    assert count(held(ahead=ahead._replace(response=surging), desired=60)) == 180 - 15
    # Without a calendar the curve is what is observed already.
    curve = ahead.curve._replace(correction=np.full(150, math.log(2.0)))
    beside = ahead._replace(curve=curve, response=busier, unbooked="no calendar")
    assert count(held(ahead=beside, desired=60)) == 180 - 15


@pytest.mark.parametrize(
    ("changes", "warm"),
    [
        ({"calm_from_s": NOW_S + 1.0}, None),
        ({"calm_from_s": NOW_S}, 75),
        ({"ahead": ahead_of(15.0, blind=True)}, None),
        ({"pauses": (Pause(),)}, None),
        ({"pauses": (Pause("api"),)}, None),
        ({"pauses": (Pause("database"),)}, 75),
        ({"pauses": (Pause(direction=Direction.OUT),)}, None),
        ({"pauses": (Pause(direction=Direction.IN),)}, 75),
        ({"pauses": (Pause(expires_s=NOW_S),)}, 75),
        ({"pauses": (Pause(direction=Direction.IN),), "warm_desired": 200}, None),
        ({"pauses": (Pause(direction=Direction.OUT),), "warm_desired": 200}, 75),
    ],
)
def test_it_stays_as_it_is_in_an_emergency_when_blind_and_paused(
    changes: dict[str, object], warm: int | None
) -> None:
    assert count(held(**changes)) == warm  # type: ignore[arg-type]


def test_two_services_share_the_bill_by_what_each_wants() -> None:
    specs = spec_of(), spec_of(name="database")
    services = [make_service(spec, desired=15) for spec in specs]
    actions = insure(
        [seen_of(service) for service in services],
        [ahead_of(15.0), ahead_of(30.0)],
        [Wish(None, (), "", -math.inf)] * 2,
        [Granted(15, "", None)] * 2,
        rest=ENDLESS,
        observation=observe(*services),
        settings=EngineSettings(surge=SURGE.model_copy(update={"bill_share": 0.1})),
    )
    # They want 75 and 150 at 0.05 USD/h: 11.25; a tenth of 12 USD/h is 1.2, which is 10.7 %.
    assert [(a.service, a.to_instances) for a in actions] == [("api", 8), ("database", 16)]
    # What the second, in an emergency, holds at 0.5 USD/h, is not there for the first.
    frozen = [services[0], make_service(specs[1], desired=15, warm_desired=10)]
    actions = insure(
        [seen_of(service) for service in frozen],
        [ahead_of(15.0), ahead_of(30.0)],
        [Wish(None, (), "", -math.inf), Wish(None, (), "", math.inf)],
        [Granted(15, "", None)] * 2,
        rest=ENDLESS,
        observation=observe(*frozen),
        settings=EngineSettings(surge=SURGE.model_copy(update={"bill_share": 0.1})),
    )
    assert [(a.service, a.to_instances) for a in actions] == [("api", 14)]


def test_where_only_the_emergency_path_looks_or_nothing_is_offered_nothing_is_asked_for() -> None:
    service = make_service(spec_of())
    looked = insure(
        [seen_of(service)], [None], [Wish(None, (), "", -math.inf)], [Granted(10, "", None)],
        rest=ENDLESS, observation=observe(service), settings=EngineSettings(surge=SURGE),
    )  # fmt: skip
    assert looked == ()
    assert held(spec_of(None)) == ()


def test_a_service_that_offers_none_does_not_keep_another_from_it() -> None:
    services = [make_service(spec_of(None)), make_service(spec_of(name="database"), desired=15)]
    actions = insure(
        [seen_of(service) for service in services],
        [ahead_of(15.0)] * 2,
        [Wish(None, (), "", -math.inf)] * 2,
        [Granted(service.desired, "", None) for service in services],
        rest=ENDLESS,
        observation=observe(*services),
        settings=EngineSettings(surge=SURGE),
    )
    assert [(a.service, a.to_instances) for a in actions] == [("database", 75)]


def test_the_confidence_is_that_of_the_forecast_for_now() -> None:
    ahead = ahead_of(15.0)
    curve = ahead.curve._replace(sd=np.linspace(0.5, 3.0, 150))
    (action,) = held(ahead=ahead._replace(curve=curve))
    assert action.confidence == 1.0 / (1.0 + 3.0 * 0.5)


def test_one_event_at_its_moment_is_named() -> None:
    one = replace(
        make_outlook(), events=np.ones(600), phases=("ceremony",), in_phases=np.ones((1, 600))
    )
    assert "; 100% of 1 weddings are at moments" in held(outlook=one)[0].explanation


def test_the_reason_is_said_like_any_other() -> None:
    evidence = {"factor": 6.0, "surges_per_day": 0.01, "hold_usd_per_day": 1.2}
    said = explain(
        "api", 1, 2, Reason.SURGE, evidence=evidence, weddings=WeddingContext(), notes=""
    )
    assert "because they carry a surge of up to 6.0 times its load; a greater one" in said


def test_the_action_says_what_it_is_for() -> None:
    phases = replace(
        make_outlook(), phases=("ceremony", "party"), in_phases=np.tile([[1.0], [3.0]], (1, 600))
    )
    (action,) = held(outlook=phases, warm_desired=10)
    assert action.quantity is Quantity.WARM
    assert action.reason is Reason.SURGE
    assert action.category is Category.AUTOMATIC
    # A quarter of the events: twice as much, 2 * sqrt(18) is beyond 8: 120 - 15.
    assert (action.from_instances, action.to_instances) == (10, 105)
    assert action.rollback.target == 10
    assert action.confidence == 1.0
    assert action.cost_per_hour == pytest.approx(95 * 0.05)
    assert (action.trigger_s, action.decided_s) == (NOW_S, NOW_S)
    assert action.weddings.events == 1200.0
    assert action.evidence == {
        "factor": 8.0, "surges_per_day": pytest.approx(0.0075), "saved_usd": pytest.approx(180.0),
        "hold_usd_per_day": pytest.approx(1.2), "at_moments": 0.25,
    }  # fmt: skip
    assert action.explanation == (
        "api: hold 10 → 105 warm because they carry a surge of up to 8.0 times its load; a greater "
        "one comes once in 133 days, and to hold more takes 1.20 USD a day for each; 25% of 1,200 "
        "weddings are at moments that do not come again."
    )


def test_a_fall_to_nothing_says_so_and_events_without_a_moment_are_not_named() -> None:
    rare = SURGE.model_copy(update={"per_day": 0.001})
    (action,) = held(surge=rare, warm_desired=10)
    assert action.to_instances == 0
    assert action.explanation == (
        "api: hold 10 → 0 warm because no surge that doubles its load is frequent enough to be "
        "worth 1.20 USD a day for each."
    )


def test_the_same_decision_has_the_same_id_and_another_has_another() -> None:
    (first,), (again,), (other,) = held(), held(), held(warm_desired=5)
    assert first.decision_id == again.decision_id != other.decision_id
    assert first.decision_id.startswith("api-")


@pytest.mark.parametrize(
    ("at_s", "moments", "share"),
    [
        (0.0, ("ceremony",), 0.2),
        (59.0, ("ceremony",), 0.2),
        (60.0, ("ceremony",), 0.5),
        (60.0, ("ceremony", "dinner"), 1.0),
        (60.0, ("toast",), 0.0),
        (120.0, ("ceremony",), 0.0),  # nobody is in progress
        (180.0, ("ceremony",), 0.0),  # nothing is booked from then on
        (-1.0, ("ceremony",), 0.0),
    ],
)
def test_the_share_of_the_events_that_are_at_a_moment(
    at_s: float, moments: tuple[str, ...], share: float
) -> None:
    outlook: Outlook = replace(
        make_outlook(start_s=NOW_S, bins=3),
        phases=("ceremony", "dinner"),
        in_phases=np.array([[2.0, 5.0, 0.0], [8.0, 5.0, 0.0]]),
    )
    assert share_at_moments(outlook, NOW_S + at_s, moments) == share
    # A calendar may hold fewer bins of phases than of load, more names than rows, parts of events.
    if at_s == 60.0:
        begun = replace(outlook, in_phases=outlook.in_phases[:, :2])
        assert share_at_moments(begun, NOW_S + 120.0, ("ceremony",)) == 0.5
        assert share_at_moments(outlook, NOW_S + at_s, ("ceremony",) * 3) == 1.0
        named = replace(outlook, phases=("ceremony", "dinner", "party"))
        assert share_at_moments(named, NOW_S + at_s, ("ceremony",)) == 0.5
        parts = replace(outlook, in_phases=outlook.in_phases / 20.0)
        assert share_at_moments(parts, NOW_S + at_s, ("ceremony",)) == 0.5
    empty = replace(outlook, phases=(), in_phases=np.zeros((0, 0)))
    assert share_at_moments(empty, NOW_S + at_s, moments) == 0.0


def test_what_is_held_warm_is_paid_out_of_the_budget() -> None:
    service = make_service(spec_of(), desired=10, warm_desired=20)
    rest = purse([service], Budget(usd_per_hour=10.0, instances=100), {}, NOW_S)
    assert rest == (pytest.approx(10.0 - 4.0 - 1.0), 90.0)


@pytest.mark.parametrize("mode", ["act", "recommend_only"])
def test_the_engine_asks_for_it_beside_its_steps(mode: str) -> None:
    spec = spec_of(user_facing=True)
    service = make_service(spec, desired=10, ready=10)
    settings = EngineSettings(mode=mode, surge=SURGE)  # type: ignore[arg-type]
    engine = Autoscaler(settings)
    plan = engine.step(observe(service))
    warm = [a for a in (*plan.actions, *plan.dry) if a.quantity is Quantity.WARM]
    assert len(warm) == 1
    assert (warm[0] in plan.actions) == (mode == "act")
    # The engine's memory knows nothing of it: no step was made, and none is watched.
    memory = engine.memory.services["api"]
    plain = Autoscaler(settings)
    plain.step(observe(make_service(replace(spec, warm=None), desired=10, ready=10)))
    assert isinstance(memory, ServiceMemory)
    assert memory == plain.memory.services["api"]
