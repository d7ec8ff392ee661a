"""When a service whose minimum is 0 may sleep, and what wakes it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine import Autoscaler, EngineSettings
from engine.decide.assess_weddings import _worth_waking
from engine.decide.sleep import ASLEEP, asked_for, last_asked_s, wake, wakes
from engine.memory import NEVER
from engine.model import (
    Action,
    Call,
    Category,
    ManualFloor,
    Outlook,
    Pause,
    Plan,
    Reason,
    ServiceObservation,
)
from engine.settings import CapacitySettings, EmergencySettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)
from tests.unit.engine.decide.conftest import SIMPLE, ahead_of, alone, viewed

NAN = math.nan
SPEC = make_spec(min_instances=0)
CALLER = make_spec("web", min_instances=1, calls=(Call("api", 2.0),))
IDLE = {"cpu": 0.0, "memory": 0.3, "rate": 0.0, "p95_s": NAN, "error_rate": NAN}
GONE = {"cpu": NAN, "memory": NAN, "rate": 0.0, "p95_s": NAN, "error_rate": NAN}
"""Figures of a service without instances: 0/0, but for what its load balancer counts."""
SETTINGS = EngineSettings(capacity=CapacitySettings(survive_zone_loss="none"))
EMERGENCY = EmergencySettings()


@pytest.mark.parametrize(
    ("rate", "queue", "asked"),
    [
        (0.0, 0.0, False), (0.2, 0.0, True), (0.0, 1.0, True), (NAN, 0.0, False),
        (NAN, 2.0, True), (0.5, NAN, True), (NAN, NAN, False), (-1.0, 0.0, False),
        (math.inf, 0.0, False), (0.0, math.inf, False),
    ],
)  # fmt: skip
def test_a_request_that_came_or_waits_asks_for_a_service(
    rate: float, queue: float, asked: bool
) -> None:
    (row,) = viewed(make_window(rate=rate, queue=queue, samples=1)).rows
    assert asked_for(row) is asked
    assert wakes(make_service(SPEC, desired=0), (row,)) is asked
    assert not wakes(make_service(SPEC, desired=1), (row,))


def test_when_it_was_last_asked_for() -> None:
    silent = make_window(**IDLE)
    assert last_asked_s(NEVER, viewed(silent), NOW_S) == NOW_S  # nobody knows of before
    assert last_asked_s(NOW_S - 500.0, viewed(silent), NOW_S) == NOW_S - 500.0
    once = silent.copy()
    once["request_rate"][-3] = 0.2  # one of three: their median is still nothing
    assert last_asked_s(NOW_S - 500.0, viewed(once), NOW_S) == once["time_s"][-3]
    waits = silent.copy()
    waits["queue_depth"][-2] = 1.0
    assert last_asked_s(NOW_S - 500.0, viewed(waits), NOW_S) == waits["time_s"][-2]
    waits["request_rate"][-3] = 0.2
    assert last_asked_s(NOW_S - 500.0, viewed(waits), NOW_S) == waits["time_s"][-2]  # the later
    failing = make_window(**(IDLE | {"error_rate": 0.5}))
    assert last_asked_s(NOW_S - 500.0, viewed(failing), NOW_S) == NOW_S - 500.0
    holed = silent.copy()
    holed["request_rate"][-1] = NAN
    assert last_asked_s(NOW_S - 500.0, viewed(holed), NOW_S) == NOW_S - 500.0


@pytest.mark.parametrize("window", [make_window(age_s=99.0), make_window(rate=NAN)])
def test_what_nothing_tells_of_counts_as_asked_for_now(window: np.ndarray) -> None:
    assert last_asked_s(NOW_S - 500.0, viewed(window), NOW_S) == NOW_S


@pytest.mark.parametrize(
    ("rate", "queue", "passed_on", "target"),
    [
        (0.0, 1.0, 0.0, 1),
        (0.0, 0.0, 0.0, 1),
        (280.0, 0.0, 0.0, 4),
        (0.0, 60.0 * 280.0, 0.0, 4),
        (140.0, 0.0, 140.0, 4),
        (NAN, NAN, 0.0, 1),
        (1e9, 1e9, 0.0, 8),  # whatever a sample says
    ],
)
def test_what_is_woken_gets_what_arrives_and_waits_takes(
    rate: float, queue: float, passed_on: float, target: int
) -> None:
    looked = viewed(make_window(**(GONE | {"rate": rate, "queue": queue})))
    service = make_service(SPEC, desired=0)
    one = wake(
        service, looked, SIMPLE, 1.0, passed_on_rate=passed_on, trigger_s=7.0, settings=EMERGENCY
    )
    assert (one.target, one.reason, one.trigger_s) == (target, Reason.EMERGENCY, 7.0)
    assert one.evidence[ASLEEP] == 1.0
    assert all(math.isfinite(figure) for figure in one.evidence.values())
    twice = wake(
        service, looked, SIMPLE, 2.0, passed_on_rate=passed_on, trigger_s=7.0, settings=EMERGENCY
    )
    assert twice.target == {1: 1, 4: 8, 8: 8}[target]


@pytest.mark.parametrize(
    ("rate", "queue", "shown"), [(0.5, 0.5, (0.5, 0.5)), (NAN, NAN, (0.0, 0.0)), (0.0, 3.0, (0, 3))]
)
def test_a_wake_up_says_what_it_goes_by(
    rate: float, queue: float, shown: tuple[float, float]
) -> None:
    looked = viewed(make_window(**(GONE | {"rate": rate, "queue": queue})))
    one = wake(
        make_service(SPEC, desired=0),
        looked,
        SIMPLE,
        1.0,
        passed_on_rate=0.0,
        trigger_s=7.0,
        settings=EMERGENCY,
    )
    assert (one.evidence["request_rate"], one.evidence["queue_depth"]) == shown
    assert one.confidence == 0.8


def test_a_wake_up_brings_no_more_whole_instances_than_an_emergency_may() -> None:
    looked = viewed(make_window(**(GONE | {"rate": 1e6})))
    few = EmergencySettings(most_at_once=2.5)
    assert (
        wake(
            make_service(SPEC, desired=0),
            looked,
            SIMPLE,
            1.0,
            passed_on_rate=0.0,
            trigger_s=7.0,
            settings=few,
        ).target
        == 2
    )


def test_load_of_fewer_than_one_request_in_its_idle_time_keeps_nobody_awake() -> None:
    curve = ahead_of([1.0, 2.0, 3.0], sd=0.5).curve
    rates = curve.rate(0.0)  # by the median, whatever could come as well
    several = alone(curve)._replace(booked=np.array([curve.booked, curve.booked]))
    worth = _worth_waking(several, np.array([[1.0 / float(rates[1])], [math.nan]]))
    assert [kept > 0.0 for kept in worth.booked[0].tolist()] == [False, True, True]
    assert worth.booked[1].tolist() == curve.booked.tolist()  # who never sleeps is left as it is


# --- step by step


def api(seconds: float, figures: dict[str, float], **counts: int) -> ServiceObservation:
    window = make_window(NOW_S + seconds, **figures)
    return make_service(SPEC, window=window, **counts)


def run(  # type: ignore[no-untyped-def]
    until_s: float, *, engine=None, outlook=None, figures=IDLE, others=(), every_s: float = 15.0,
    begin_s: float = 0.0, desired: int = 1, **standing: object
) -> tuple[Autoscaler, list[tuple[float, Action]], list[Plan]]:  # fmt: skip
    """Cycles in which each action is carried out at once."""
    engine = engine or Autoscaler(SETTINGS)
    actions, plans = [], []
    now_s = begin_s
    while now_s <= until_s:
        services = (*[other(now_s) for other in others], api(now_s, figures, desired=desired))
        plan = engine.step(
            observe(*services, now_s=NOW_S + now_s, outlook=outlook or nothing(), **standing)
        )
        plans.append(plan)
        for action in plan.actions:
            if action.service == "api":
                actions.append((now_s, action))
                desired = action.to_instances
        now_s += every_s
    return engine, actions, plans


def nothing() -> Outlook:
    return make_outlook(0.0, services=("web", "api"))


def test_it_sleeps_once_nobody_asked_for_it_for_long_enough() -> None:
    _, ((at_s, action),), _ = run(900.0)
    assert at_s == 300.0
    assert (action.from_instances, action.to_instances) == (1, 0)
    assert action.category is Category.AUTOMATIC
    assert "nobody has asked for it for 300 s and nothing is booked" in action.explanation


def test_how_long_is_settable() -> None:
    limits = SETTINGS.limits.model_copy(update={"idle_s": 600.0})
    engine = Autoscaler(SETTINGS.model_copy(update={"limits": limits}))
    _, ((at_s, _),), plans = run(900.0, engine=engine)
    assert at_s == 600.0
    declined = {one.why for plan in plans[:-1] for one in plan.declined}
    assert "no sleep until nobody asked for it for 600 s" in declined


def test_it_goes_down_step_by_step_and_to_one_while_it_is_still_asked_for() -> None:
    _, actions, _ = run(3600.0, desired=3)
    assert [action.to_instances for _, action in actions] == [2, 1, 0]
    busy = IDLE | {"rate": 0.2, "error_rate": 0.0, "p95_s": 0.1}
    _, actions, _ = run(3600.0, desired=3, figures=busy)
    assert [action.to_instances for _, action in actions] == [2, 1]


def later(ahead_s: float, rate: float = 50.0) -> Outlook:
    return make_outlook(lambda s: np.where(s > ahead_s, rate, 0.0), services=("web", "api"))


def web(figures: dict[str, float]):  # type: ignore[no-untyped-def]
    return lambda now_s: make_service(
        CALLER, desired=1, window=make_window(NOW_S + now_s, **figures)
    )


@pytest.mark.parametrize(
    "against",
    [
        {"outlook": later(7300.0)},
        {"outlook": make_outlook(1.0, services=("web", "api"))},
        {"floors": (ManualFloor("api", 1, math.inf),)},
        {"pauses": (Pause("api", pinned=1),)},
        {"pauses": (Pause(),)},
        {"figures": IDLE | {"rate": NAN}},
        {"figures": IDLE | {"age_s": 99.0}},
        {"figures": IDLE | {"queue": 0.5}},
        {"others": (web(IDLE | {"rate": 3.0, "error_rate": 0.0, "p95_s": 0.1}),)},
        {"others": (web(IDLE | {"age_s": 99.0}),)},
    ],
)
def test_it_does_not_sleep_while_anybody_may_want_it(against: dict[str, object]) -> None:
    _, actions, _ = run(900.0, **against)  # type: ignore[arg-type]
    assert [action.to_instances for _, action in actions if action.to_instances == 0] == []


@pytest.mark.parametrize(
    "for_it",
    [
        {"outlook": later(12_000.0)},
        {"outlook": make_outlook(0.9 / 300.0, services=("web", "api"))},
        {"others": (web(IDLE),)},
        {"floors": (ManualFloor("api", 1, NOW_S),)},
    ],
)
def test_it_sleeps_where_nobody_does(for_it: dict[str, object]) -> None:
    _, actions, _ = run(900.0, **for_it)  # type: ignore[arg-type]
    assert [action.to_instances for _, action in actions] == [0]


def test_no_service_sleeps_whose_minimum_is_not_zero() -> None:
    engine = Autoscaler(SETTINGS)
    for k in range(200):
        window = make_window(NOW_S + 15.0 * k, **IDLE)
        service = make_service(make_spec(min_instances=1), desired=1, window=window)
        assert not engine.step(
            observe(service, now_s=NOW_S + 15.0 * k, outlook=make_outlook(0.0))
        ).actions
    assert engine.memory.services["api"].asked_s == NEVER  # nobody needs to know


def asleep(figures: dict[str, float] = GONE, **more: object) -> tuple[Autoscaler, float]:
    """An engine whose service has slept for a while, and the time since `NOW_S`."""
    engine, _, _ = run(450.0, **more)  # type: ignore[arg-type]
    engine, actions, _ = run(
        900.0, engine=engine, figures=figures, begin_s=465.0, desired=0, **more
    )  # type: ignore[arg-type]
    assert not actions
    return engine, 900.0


def test_no_figures_of_what_has_no_instances_are_no_blackout() -> None:
    engine, _ = asleep()
    assert engine.memory.services["api"].desired == 0


@pytest.mark.parametrize("wanted", [{"rate": 0.2}, {"queue": 1.0}])
def test_the_first_request_wakes_it_at_the_next_look(wanted: dict[str, float]) -> None:
    engine, now_s = asleep()
    window = make_window(NOW_S + now_s + 5.0, **GONE)
    for name, figure in {"rate": "request_rate", "queue": "queue_depth"}.items():
        if name in wanted:
            window[figure][-1] = wanted[name]
    service = make_service(SPEC, desired=0, window=window)
    plan = engine.step(observe(service, now_s=NOW_S + now_s + 5.0, outlook=nothing()))
    assert not plan.cycle
    (action,) = plan.actions
    assert (action.from_instances, action.to_instances) == (0, 1)
    assert action.category is Category.EMERGENCY
    assert "it sleeps and is wanted" in action.explanation
    assert engine.memory.services["api"].watch is None
    # It is not asked for twice while the command is on its way.
    later_on = replace(service, window=make_window(NOW_S + now_s + 10.0, **(GONE | wanted)))
    assert not engine.step(observe(later_on, now_s=NOW_S + now_s + 10.0, outlook=nothing())).actions


def test_it_passes_cooldown_and_sleeps_again_when_idle_again_not_after_an_emergencys_calm() -> None:
    engine, now_s = asleep()
    wanted = make_service(
        SPEC, desired=0, window=make_window(NOW_S + now_s + 5.0, **(GONE | {"queue": 3.0}))
    )
    engine.step(observe(wanted, now_s=NOW_S + now_s + 5.0, outlook=nothing()))
    _, actions, _ = run(1800.0, engine=engine, begin_s=now_s + 15.0)
    (at_s, action), *rest = actions
    assert not rest
    assert action.to_instances == 0
    assert 300.0 <= at_s - now_s <= 330.0


def test_who_is_called_by_what_wakes_is_woken_with_it() -> None:
    caller = make_spec("web", min_instances=0, calls=(Call("api", 2.0),))

    def sleeping_web(now_s: float) -> ServiceObservation:
        return make_service(caller, desired=0, window=make_window(NOW_S + now_s, **GONE))

    engine, now_s = asleep(others=(sleeping_web,))
    at_s = NOW_S + now_s + 5.0
    front = make_service(
        caller, desired=0, window=make_window(at_s, **(GONE | {"rate": 70.0, "queue": 200.0}))
    )
    behind = make_service(SPEC, desired=0, window=make_window(at_s, **GONE))
    plan = engine.step(observe(front, behind, now_s=at_s, outlook=nothing()))
    assert {action.service for action in plan.actions} == {"web", "api"}
    assert min(action.to_instances for action in plan.actions) >= 1
    assert "callers will pass on 140 requests/s" in plan.actions[-1].explanation


def test_a_booking_wakes_it_before_the_first_request() -> None:
    engine, now_s = asleep()
    _, actions, _ = run(
        now_s + 60.0, engine=engine, begin_s=now_s + 15.0, desired=0, figures=GONE,
        outlook=later(8000.0),
    )  # fmt: skip
    assert [action.to_instances for _, action in actions] == [1]
    assert actions[0][1].reason is Reason.FORECAST


def test_what_drowns_while_its_first_instance_boots_gets_more() -> None:
    engine = Autoscaler(SETTINGS)
    queue = make_window(**(GONE | {"rate": 400.0, "queue": 3000.0}))
    waking = make_service(SPEC, desired=1, ready=0, booting=1, window=queue)
    plan = engine.step(observe(waking, outlook=nothing()))
    (action,) = plan.actions
    assert action.reason is Reason.EMERGENCY
    assert 1 < action.to_instances <= 8


def test_a_memory_keeps_when_it_was_last_asked_for() -> None:
    engine, _, _ = run(150.0)
    restored = Autoscaler(SETTINGS)
    restored.restore(engine.snapshot())
    assert restored.memory.services["api"].asked_s == NOW_S
    _, ((at_s, _),), _ = run(900.0, engine=restored, begin_s=165.0)
    assert at_s == 300.0
