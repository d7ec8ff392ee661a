"""Reading windows, judging them, limits, cost and stabilisation, each alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.approvals import category
from engine.decide.assess import assess, learned_slowdown
from engine.decide.callgraph import call_order, critical_services
from engine.decide.rails.cost import cheapest
from engine.decide.rails.limits import limit, stabilised, step_bounds
from engine.decide.view import view
from engine.memory import ServiceMemory
from engine.model import BootTime, Call, Reason
from engine.settings import ApprovalSettings, CostSettings, LimitSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window

LIMITS = LimitSettings()


def read(window: np.ndarray):  # type: ignore[no-untyped-def]
    return view(make_service(window=window), NOW_S, 45.0)


def test_the_median_of_three_ignores_one_wild_or_missing_figure() -> None:
    window = make_window(cpu=0.5)
    for wild in (math.nan, 500.0, -1.0, math.inf):
        window[-1]["cpu"] = wild
        assert read(window).cpu == pytest.approx(0.5)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0], [0, 2, 1]])
def test_the_order_of_arrival_does_not_matter(order: list[int]) -> None:
    window = make_window(samples=3)
    window["cpu"] = [0.1, 0.2, 0.9]
    seen = read(window[order])
    assert seen.cpu == pytest.approx(0.2)
    assert seen.newest_s == NOW_S - 3.0
    assert [row[0] for row in seen.rows] == sorted((row[0] for row in seen.rows), reverse=True)


def test_a_sample_that_came_twice_counts_once() -> None:
    window = make_window(samples=4)
    window["cpu"] = [0.1, 0.2, 0.9, 0.9]
    window[3]["time_s"] = window[2]["time_s"]
    assert read(window).cpu == pytest.approx(0.2)


def test_samples_from_the_future_or_without_a_time_are_left_out() -> None:
    window = make_window(samples=3, cpu=0.4)
    window[2]["time_s"], window[2]["cpu"] = NOW_S + 60.0, 1.0
    window[1]["time_s"], window[1]["cpu"] = math.nan, 1.0
    seen = read(window)
    assert len(seen.rows) == 1
    assert seen.cpu == pytest.approx(0.4)


@pytest.mark.parametrize(("age_s", "stale"), [(0.0, False), (45.0, False), (46.0, True)])
def test_old_samples_are_stale(age_s: float, stale: bool) -> None:
    seen = read(make_window(age_s=age_s))
    assert seen.stale is stale
    assert seen.age_s == pytest.approx(age_s)


def test_nothing_at_all_is_stale_for_ever() -> None:
    seen = read(make_window()[:0])
    assert (seen.stale, seen.age_s) == (True, math.inf)


@pytest.mark.parametrize(
    ("window", "cold", "breach"),
    [
        (make_window(cpu=0.2, rate=200.0, memory=0.3), True, False),
        (make_window(cpu=0.55, memory=0.3), False, False),
        (make_window(cpu=0.2, memory=0.9), False, False),
        (make_window(cpu=0.2, memory=0.3, p95_s=0.6), False, True),
        (make_window(cpu=0.2, memory=0.3, error_rate=0.02), False, True),
        (make_window(cpu=0.2, memory=0.3, queue=60.0), False, False),
        (make_window(cpu=math.nan, memory=0.3), False, False),
        (make_window(age_s=99.0), False, False),
    ],
)
def test_cold_and_breach(window: np.ndarray, cold: bool, breach: bool) -> None:
    service = make_service(window=window)
    assessment = assess(service, view(service, NOW_S, 45.0))
    assert (assessment.cold, assessment.breach) == (cold, breach)


def learn(window: np.ndarray, spec=None, cycles: int = 30) -> float:  # type: ignore[no-untyped-def]
    service, slowdown = make_service(spec, window=window), 1.0
    for _ in range(cycles):
        slowdown = learned_slowdown(slowdown, service.spec, view(service, NOW_S, 45.0))
    return slowdown


def test_a_service_three_times_as_slow_is_found_out() -> None:
    assert learn(make_window(cpu=0.9, rate=300.0, p95_s=1.0)) == pytest.approx(3.0, rel=0.01)
    assert learn(make_window(cpu=0.3, rate=300.0)) == 1.0


def test_what_was_shed_held_no_slot() -> None:
    window = make_window(cpu=1.0, rate=1000.0, error_rate=0.5, p95_s=1.0)
    assert learn(window) == pytest.approx(2.0, rel=0.01)


def test_failed_calls_do_not_pass_for_slowness() -> None:
    window = make_window(cpu=0.5, rate=500.0, error_rate=0.5)
    assert learn(window, make_spec(calls=(Call("database", 1.0),))) == 1.0


@pytest.mark.parametrize(
    ("current", "lowest", "highest"),
    [(1, 0, 2), (2, 1, 3), (3, 2, 4), (10, 7, 15), (100, 70, 150), (7, 5, 10), (0, 0, 1)],
)
def test_step_bounds(current: int, lowest: int, highest: int) -> None:
    assert step_bounds(current, LIMITS) == (lowest, highest)


@pytest.mark.parametrize(
    ("current", "target", "reason", "memory", "expected"),
    [
        (10, 12, Reason.CPU, {}, 12),
        (10, 40, Reason.CPU, {}, 15),
        (10, 40, Reason.EMERGENCY, {}, 40),
        (10, 4000, Reason.EMERGENCY, {}, 1000),
        (10, 12, Reason.CPU, {"last_out_s": NOW_S - 299.0}, 10),
        (10, 12, Reason.CPU, {"last_out_s": NOW_S - 300.0}, 12),
        (10, 12, Reason.CPU, {"last_in_s": NOW_S - 1.0}, 12),
        (10, 12, Reason.EMERGENCY, {"last_out_s": NOW_S}, 12),
        (10, 8, Reason.COST, {}, 8),
        (10, 1, Reason.COST, {}, 7),
        (10, 8, Reason.COST, {"last_in_s": NOW_S - 10.0}, 10),
        (10, 8, Reason.COST, {"last_out_s": NOW_S - 10.0}, 10),
        (10, 14, Reason.ROLLBACK, {"last_in_s": NOW_S - 60.0}, 14),
        (10, 40, Reason.ROLLBACK, {}, 15),
        (10, 12, Reason.CPU, {"hold_out_until_s": NOW_S + 1.0}, 10),
        (3, 0, Reason.COST, {}, 2),
        (1, 0, Reason.COST, {}, 2),
        (1, 9, Reason.CPU, {}, 3),
        (1200, 900, Reason.COST, {"last_in_s": NOW_S}, 1000),
    ],
)
def test_limits(current, target, reason, memory, *, expected) -> None:  # type: ignore[no-untyped-def]
    limited = limit(
        make_spec(),
        current,
        target,
        reason,
        memory=ServiceMemory(**memory),
        now_s=NOW_S,
        settings=LIMITS,
    )
    assert limited.target == expected
    assert bool(limited.why) is (expected != target)


def test_a_scale_in_goes_no_lower_than_the_highest_target_of_the_window() -> None:
    wanted = [10, 30, 20, 25, 5, 5, 5, 5]
    kept: tuple[tuple[float, int], ...] = ()
    highest = []
    for k, target in enumerate(wanted):
        kept = stabilised(kept, target, 100.0 * k, 300.0)
        highest.append(kept[0][1])
    assert highest == [max(wanted[max(0, k - 3) : k + 1]) for k in range(len(wanted))]


AHEAD = 60.0 * (np.arange(150) - 1.0)


def trim(need: np.ndarray, current: int = 100, needed: int = 40) -> int:
    return cheapest(
        make_spec(), current, needed, AHEAD, need=need, lead_s=130.0, settings=CostSettings()
    )


def test_off_peak_it_trims_to_the_need() -> None:
    assert trim(np.full(150, 40.0)) == 40


def test_before_a_peak_it_holds() -> None:
    assert trim(np.where(AHEAD > 200.0, 100.0, 40.0)) == 100


def test_between_the_two_it_weighs_the_time_until_the_instances_are_needed_again() -> None:
    held = [trim(np.where(at_s < AHEAD, 100.0, 40.0)) for at_s in (200.0, 600.0, 3000.0, 7000.0)]
    assert held == sorted(held, reverse=True)
    assert held[-1] < held[0]


def test_nothing_is_weighed_on_the_way_up() -> None:
    assert trim(np.full(150, 40.0), current=30, needed=40) == 40


@pytest.mark.parametrize(
    ("reason", "added", "cost", "confidence", "expected"),
    [
        (Reason.CPU, 5, 1.0, 0.9, "automatic"),
        (Reason.CPU, 11, 1.0, 0.9, "needs_approval"),
        (Reason.COST, -11, -1.0, 0.9, "needs_approval"),
        (Reason.FORECAST, 5, 60.0, 0.9, "needs_approval"),
        (Reason.FORECAST, 5, 1.0, 0.1, "needs_approval"),
        (Reason.EMERGENCY, 500, 600.0, 0.1, "emergency"),
        (Reason.ROLLBACK, 500, 600.0, 0.1, "automatic"),
        (Reason.MANUAL, 500, 600.0, 1.0, "automatic"),
    ],
)
def test_categories(reason, added, cost, confidence, *, expected) -> None:  # type: ignore[no-untyped-def]
    settings = ApprovalSettings(max_instances=10, max_cost_per_hour=50.0, min_confidence=0.2)
    assert category(reason, added, cost, confidence, settings=settings) == expected


def test_boot_time_quantiles_meet_the_table() -> None:
    boot = BootTime(60.0, 120.0)
    assert boot.quantile_s(0.0) == pytest.approx(60.0)
    assert boot.quantile_s(1.6448536) == pytest.approx(120.0)


def test_critical_are_those_that_users_wait_for() -> None:
    specs = (
        make_spec("api", user_facing=True, calls=(Call("database", 1.6),)),
        make_spec("files", user_facing=True, calls=(Call("ai", 0.3, asynchronous=True),)),
        make_spec("database"),
        make_spec("ai"),
    )
    assert critical_services(specs) == {"api", "files", "database"}
    order = call_order(specs)
    assert order.index(0) < order.index(2)
    assert order.index(1) < order.index(3)


def test_callers_come_before_the_services_they_call() -> None:
    database = make_spec("database")
    api = make_spec(calls=(Call("database", 1.0),))
    front = make_spec("front", calls=(Call("api", 1.0), Call("database", 1.0)))
    assert call_order([database, api, front]) == (2, 1, 0)
    circle = [make_spec("a", calls=(Call("b", 1.0),)), make_spec("b", calls=(Call("a", 1.0),))]
    with pytest.raises(ValueError, match="a, b form a cycle"):
        call_order(circle)
    with pytest.raises(ValueError, match="api calls nowhere, which is not a service"):
        call_order([make_spec(calls=(Call("nowhere", 1.0),))])
