"""The controllers that the engine is compared with, step by step on small observations."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from engine import EngineSettings
from engine.controllers.clairvoyant import Clairvoyant, Foresight
from engine.controllers.hpa import Hpa
from engine.controllers.kpa import Kpa
from engine.controllers.mpc import Mpc
from engine.controllers.predictive_hpa import PredictiveHpa
from engine.controllers.scheduled import ScheduledHpa
from engine.controllers.stateless import Stateless
from engine.controllers.static import Static
from engine.controllers.target_tracking import History, TargetTracking
from engine.controllers.upstream import kpa as knative
from engine.model import Controller, Observation, Outlook, Plan, Reason, ServiceObservation
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

SETTINGS = EngineSettings()


def history(rate: float = 500.0) -> History:
    return History(NOW_S - 3600.0, {"api": np.full((2, 24), rate)})


def foresight(needed: np.ndarray, boots_s: float = 100.0) -> Foresight:
    return Foresight(
        NOW_S, 60.0, {"api": needed}, {"api": lambda n: np.full(n, boots_s)},
        {"api": lambda: np.zeros(0)}, 30.0,
    )  # fmt: skip


MAKERS: dict[str, Callable[[], Controller]] = {
    "static": lambda: Static(SETTINGS),
    "stateless": lambda: Booked(SETTINGS),
    "hpa": lambda: Hpa(SETTINGS),
    "kpa": lambda: Kpa(SETTINGS),
    "scheduled": lambda: ScheduledHpa(SETTINGS),
    "mpc": lambda: Mpc(SETTINGS),
    "predictive_hpa": lambda: PredictiveHpa(SETTINGS, every_syncs=1, seasonal_periods=2),
    "target_tracking": lambda: TargetTracking(SETTINGS, history()),
    "clairvoyant": lambda: Clairvoyant(SETTINGS, foresight(np.full(200, 12))),
}


def target_of(plan: Plan) -> int | None:
    return plan.actions[0].to_instances if plan.actions else None


def drive(controller: Controller, steps: int, cpu: float = 0.9, start: int = 0) -> list[str]:
    """Step every 15 s; ready follows desired at once."""
    plans, desired = [], 10
    for k in range(start, start + steps):
        now_s = NOW_S + 15.0 * k
        window = make_window(now_s, cpu=cpu, rate=100.0 * desired * cpu)
        plan = controller.step(observe(make_service(desired=desired, window=window), now_s=now_s))
        plans.append(repr(plan))
        if plan.actions:
            desired = plan.actions[0].to_instances
    return plans


@pytest.mark.parametrize("name", MAKERS)
def test_a_restored_controller_goes_on_as_the_old_one(name: str) -> None:
    one = MAKERS[name]()
    drive(one, 30)
    other = MAKERS[name]()
    other.restore(one.snapshot())
    assert other.snapshot() == one.snapshot()
    assert drive(other, 10, cpu=0.3, start=30) == drive(one, 10, cpu=0.3, start=30)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "static"])
@pytest.mark.parametrize("text", ["[]", "{}x", '"a"', '{"api": 3}', "null"])
def test_no_snapshot_is_said_to_be_none(name: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"snapshot|JSON|data"):
        MAKERS[name]().restore(text)


def test_hpa_scales_by_the_ratio_and_waits_for_its_sync() -> None:
    hpa = Hpa(SETTINGS, target_cpu=50)
    busy = make_service(desired=10, window=make_window(cpu=0.9))
    plan = hpa.step(observe(busy))
    assert target_of(plan) == 18  # 90 / 50
    assert "CPU at 90 %" in plan.actions[0].explanation
    assert hpa.step(observe(busy, now_s=NOW_S + 5.0)).actions == ()
    assert not hpa.step(observe(busy, now_s=NOW_S + 5.0)).cycle


def test_hpa_takes_five_minutes_to_go_down() -> None:
    hpa = Hpa(SETTINGS)
    for k in range(21):
        now_s = NOW_S + 15.0 * k
        idle = make_service(desired=10, window=make_window(now_s, cpu=0.3))
        plan = hpa.step(observe(idle, now_s=now_s))
        assert (target_of(plan) == 5) is (15.0 * k > 300.0) or plan.actions == ()
    later = make_service(desired=10, window=make_window(NOW_S + 315.0, cpu=0.3))
    assert target_of(hpa.step(observe(later, now_s=NOW_S + 315.0))) == 5


def test_hpa_without_samples_does_nothing() -> None:
    late = make_service(desired=10, window=make_window(NOW_S - 120.0, cpu=0.9))
    assert target_of(Hpa(SETTINGS).step(observe(late))) == 15  # late is not gone
    gone = make_service(desired=10, window=make_window(NOW_S - 320.0, cpu=0.9))
    assert Hpa(SETTINGS).step(observe(gone)).actions == ()
    empty = replace(gone, window=gone.window[:0])
    assert Hpa(SETTINGS).step(observe(empty)).actions == ()


def test_hpa_counts_what_boots_as_idle_on_the_way_up() -> None:
    hpa = Hpa(SETTINGS)
    window = make_window(cpu=0.9)
    # ten at 90 % and ten that boot: 45 % of 60 % is against the direction
    booting = make_service(desired=20, ready=10, booting=10, window=window)
    assert hpa.step(observe(booting)).actions == ()


def test_hpa_leaves_out_the_first_samples_of_young_pods() -> None:
    hpa = Hpa(SETTINGS)
    hpa.step(observe(make_service(desired=10, window=make_window(cpu=0.6))))
    now_s = NOW_S + 15.0
    # ten more became ready just now; their sample is of the time before: unready, so taken as 0 %
    grown = make_service(desired=20, window=make_window(now_s, cpu=0.9))
    assert hpa.step(observe(grown, now_s=now_s)).actions == ()
    later_s = NOW_S + 60.0
    settled = make_service(desired=20, window=make_window(later_s, cpu=0.9))
    assert target_of(hpa.step(observe(settled, now_s=later_s))) == 30


def test_behavior_is_spelled_as_in_kubernetes() -> None:
    slow = {"scaleUp": {"policies": [{"type": "Pods", "value": 2, "periodSeconds": 60}]}}
    hpa = Hpa(SETTINGS, target_cpu=50, behavior=slow)
    busy = make_service(desired=10, window=make_window(cpu=0.9))
    assert target_of(hpa.step(observe(busy))) == 12


@pytest.mark.parametrize(
    ("module", "name", "options", "said"),
    [
        ("hpa", "Hpa", {"target_cpu": 0}, "controller.options.target_cpu"),
        ("hpa", "Hpa", {"target": 60}, "controller.options.target"),
        ("hpa", "Hpa", {"behavior": {"scaleUp": {"selectPolicy": "Most"}}},
         "controller.options.behavior.scaleUp.selectPolicy"),
        ("kpa", "Kpa", {"panic_threshold": 1.0}, "controller.options.panic_threshold"),
        ("scheduled", "ScheduledHpa", {"lead_s": -1}, "controller.options.lead_s"),
        ("predictive_hpa", "PredictiveHpa", {"alpha": 2}, "controller.options.alpha"),
        ("mpc", "Mpc", {"usd_per_missed_request": 0}, "controller.options.usd_per_missed_request"),
        ("mpc", "Mpc", {"horizon_s": math.nan}, "controller.options.horizon_s"),
        ("mpc", "Mpc", {"sync_s": -1.0}, "controller.options.sync_s"),
        ("static", "Static", {"margin": -1}, "controller.options.margin"),
    ],
)  # fmt: skip
def test_wrong_options_are_named(
    module: str, name: str, options: dict[str, Any], said: str
) -> None:
    kind = getattr(importlib.import_module(f"engine.controllers.{module}"), name)
    with pytest.raises(ValueError, match=said):
        kind(SETTINGS, **options)


class Booked(Stateless):
    """Follows the booked load of the next ten minutes."""

    def target(self, service: ServiceObservation, observation: Observation) -> int:
        now_s = observation.now_s
        return int(observation.outlook.peak(service.spec.name, now_s, now_s + 600.0) / 100.0)


def test_a_stateless_controller_asks_for_what_it_wants_and_once() -> None:
    outlook = make_outlook(lambda ahead_s: np.where(ahead_s < 1200.0, 1500.0, 2500.0))

    def plan(desired: int, now_s: float = NOW_S) -> Plan:
        service = make_service(desired=desired, window=make_window(now_s))
        return Booked(SETTINGS).step(observe(service, now_s=now_s, outlook=outlook))

    assert target_of(plan(10)) == 15
    assert plan(10).actions[0].reason is Reason.FORECAST
    assert plan(15).actions == ()
    assert target_of(plan(15, NOW_S + 1200.0)) == 25
    Booked(SETTINGS).restore(Booked(SETTINGS).snapshot())


@pytest.mark.parametrize(
    ("from_s", "to_s", "peak"),
    [
        (0.0, 120.0, 2.0),
        (0.0, 119.0, 1.0),  # the second bin is not whole
        (59.0, 180.0, 2.0),  # two bins, from the one that has begun on
        (60.0, 180.0, 3.0),
        (-60.0, 120.0, 2.0),  # what is covered of it counts
        (120.0, 600.0, 3.0),
        (-600.0, 0.0, math.nan),  # before the calendar begins
        (180.0, 600.0, math.nan),  # behind its end
        (60.0, 60.0, math.nan),
    ],
)
def test_the_highest_booked_load_of_a_time(from_s: float, to_s: float, peak: float) -> None:
    load = np.array([[9.0, 9.0, 9.0], [1.0, 2.0, 3.0]])
    outlook = Outlook(
        issued_s=0.0, start_s=0.0, bin_s=60.0, services={"database": 0, "api": 1}, load=load,
        major_load=load, events=load[1], major_events=load[1], sigma=0.1,
    )  # fmt: skip
    assert outlook.peak("api", from_s, to_s) == pytest.approx(peak, nan_ok=True)


@pytest.mark.parametrize("now_s", [NOW_S + 40_000.0, NOW_S - 40_000.0])
def test_where_the_calendar_ends_no_controller_takes_it_for_an_empty_one(now_s: float) -> None:
    outlook = make_outlook(5000.0)
    service = make_service(desired=40, window=make_window(now_s, cpu=0.6))
    seen = observe(service, now_s=now_s, outlook=outlook)
    static = Static(SETTINGS)
    assert static.step(seen).actions == ()
    assert target_of(ScheduledHpa(SETTINGS).step(seen)) == target_of(Hpa(SETTINGS).step(seen))
    # With a calendar again, the fixed fleet is sized by it.
    again = observe(service, now_s=now_s, outlook=make_outlook(5000.0, start_s=now_s - 3600.0))
    assert (target_of(static.step(again)) or 0) > 60


def test_scheduled_raises_the_floor_before_the_hour() -> None:
    def later(ahead_s: np.ndarray) -> np.ndarray:
        hour_s = (np.floor(NOW_S / 3600.0) + 1.0) * 3600.0 - NOW_S
        return np.where(ahead_s >= hour_s, 3000.0, 300.0)

    hour_s = (np.floor(NOW_S / 3600.0) + 1.0) * 3600.0
    outlook = make_outlook(later)

    def at(now_s: float) -> int | None:
        window = make_window(now_s, cpu=0.6)
        service = make_service(desired=10, window=window)
        return target_of(ScheduledHpa(SETTINGS, margin=0.0, lead_s=600.0).step(
            observe(service, now_s=now_s, outlook=outlook)
        ))  # fmt: skip

    assert at(hour_s - 900.0) is None
    assert at(hour_s - 500.0) == 50  # 3000 / (100 × 0.6)


def test_predictive_hpa_runs_ahead_of_a_ramp_and_never_below_hpa() -> None:
    options = {"every_syncs": 1, "seasonal_periods": 2, "alpha": 0.9, "beta": 0.5, "gamma": 0.1}
    predictive = PredictiveHpa(SETTINGS, **options)
    hpa = Hpa(SETTINGS)
    wanted: dict[str, list[int]] = {"hpa": [], "predictive": []}
    for k in range(30):
        now_s = NOW_S + 15.0 * k
        rate = 600.0 + 60.0 * k
        for name, controller in (("hpa", hpa), ("predictive", predictive)):
            desired = wanted[name][-1] if wanted[name] else 10
            cpu = min(rate / (100.0 * desired), 1.0)
            service = make_service(desired=desired, window=make_window(now_s, cpu=cpu))
            plan = controller.step(observe(service, now_s=now_s))
            wanted[name].append(target_of(plan) or desired)
    assert wanted["predictive"][-1] > wanted["hpa"][-1]
    assert all(p >= h for p, h in zip(wanted["predictive"], wanted["hpa"], strict=True))


def test_target_tracking_wants_three_minutes_of_evidence() -> None:
    tracking = TargetTracking(SETTINGS, history(0.0))
    targets = []
    for k in range(60):
        now_s = NOW_S + 5.0 * k
        service = make_service(desired=10, window=make_window(now_s, cpu=0.9))
        targets.append(target_of(tracking.step(observe(service, now_s=now_s))))
    first = next(k for k, target in enumerate(targets) if target is not None)
    assert targets[first] == 15  # 90 / 60
    assert first == 16  # whole minutes end 40 s before the first step, 20 s and 80 s after it


def test_target_tracking_keeps_the_floor_of_the_weeks_before() -> None:
    tracking = TargetTracking(SETTINGS, history(1500.0), margin=0.0)
    service = make_service(desired=10, window=make_window(cpu=0.5))
    assert target_of(tracking.step(observe(service))) == 25  # 1500 / (100 × 0.6)


@pytest.mark.parametrize(
    ("ready", "stable", "panic", "expected"),
    [
        (5, 50.0, 50.0, 5),  # 10 each
        (5, 71.0, 50.0, 8),
        (5, 10.0, 10.0, 2),  # at most halved: 2.5 is cut
        (5, 50.0, 100.0, 10),  # panic: twice what is ready
        (5, 50.0, 99.0, 10),  # 9.9 counts as 10
        (5, 50.0, 89.0, 5),
        (0, 0.0, 0.0, 0),
    ],
)
def test_knative_by_hand(ready: int, stable: float, panic: float, expected: int) -> None:
    memory = knative.KpaMemory()
    settings = knative.KpaSettings(target=10.0)
    assert knative.scale(ready, stable, panic, memory, settings=settings, now_s=NOW_S) == expected


def test_knative_does_not_shrink_in_panic() -> None:
    memory, settings = knative.KpaMemory(), knative.KpaSettings(target=10.0)
    assert knative.scale(2, 40.0, 90.0, memory, settings=settings, now_s=NOW_S) == 9
    for after_s in (10.0, 60.0):
        assert knative.scale(9, 10.0, 10.0, memory, settings=settings, now_s=NOW_S + after_s) == 9
    assert knative.scale(9, 10.0, 10.0, memory, settings=settings, now_s=NOW_S + 61.0) == 4


def test_kpa_counts_what_waits() -> None:
    spec = make_spec(slots=10)
    calm = make_service(spec, desired=10, window=make_window(cpu=0.7, queue=0.0))
    kpa = Kpa(SETTINGS)
    assert kpa.step(observe(calm)).actions == ()
    kpa = Kpa(SETTINGS)
    queued = make_service(spec, desired=10, window=make_window(cpu=1.0, queue=60.0))
    assert target_of(kpa.step(observe(queued))) == 23  # (100 + 60) / 7


def busy_window(samples: list[tuple[float, float]]) -> np.ndarray:
    """Samples of a time (s from now) and a CPU, without a queue."""
    window = make_window(samples=len(samples))
    window["time_s"] = [NOW_S + after_s for after_s, _ in samples]
    window["cpu"] = [cpu for _, cpu in samples]
    return window


@pytest.mark.parametrize("late_s", [0.0, 5.0, 20.0])
@pytest.mark.parametrize(("before", "after"), [(10, 20), (20, 10), (12, 60)])
def test_a_concurrency_that_stays_the_same_reads_the_same_whatever_the_pods_do(
    before: int, after: int, late_s: float
) -> None:
    kpa, samples = Kpa(SETTINGS), []
    for after_s in np.arange(0.0, 240.0, 5.0):
        ready = before if after_s < 120.0 else after
        samples.append((after_s, 63.0 / (10.0 * ready)))  # 63 slots are busy, all the time
        seen = [sample for sample in samples if sample[0] <= after_s - late_s] or samples[:1]
        service = make_service(desired=9, ready=ready, window=busy_window(seen))
        if after_s == 150.0:
            again = Kpa(SETTINGS)  # a restart forgets nothing
            again.restore(kpa.snapshot())
            assert again.snapshot() == kpa.snapshot()
            kpa = again
        plan = kpa.step(observe(service, now_s=NOW_S + after_s))
        if after_s > 70.0:  # the panic that it begins in is over
            # 63 slots busy, 7 to each pod: 9, unless 60 pods may no more than halve
            wanted = max(9, ready // 2)
            assert (target_of(plan) or 9) == wanted


def test_the_clairvoyant_orders_just_in_time_and_gives_back() -> None:
    needed = np.concatenate((np.full(5, 10), np.full(60, 20), np.full(200, 5)))
    clairvoyant = Clairvoyant(SETTINGS, foresight(needed))

    def at(after_s: float, ready: int) -> int | None:
        service = make_service(desired=ready, window=make_window(NOW_S + after_s))
        return target_of(clairvoyant.step(observe(service, now_s=NOW_S + after_s)))

    assert at(0.0, 10) is None
    assert at(195.0, 10) is None  # at the next step it is still in time
    assert at(200.0, 10) == 20
    assert at(1000.0, 20) is None
    assert at(3900.0, 20) == 5


def test_the_clairvoyant_keeps_what_it_would_have_to_boot_again() -> None:
    needed = np.concatenate((np.full(5, 20), np.full(2, 10), np.full(60, 20)))
    service = make_service(desired=20, window=make_window(NOW_S + 300.0))
    short = Clairvoyant(SETTINGS, foresight(needed, boots_s=100.0))
    assert short.step(observe(service, now_s=NOW_S + 300.0)).actions == ()
    quick = Clairvoyant(SETTINGS, foresight(needed, boots_s=10.0))
    assert target_of(quick.step(observe(service, now_s=NOW_S + 300.0))) == 10
