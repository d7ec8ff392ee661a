"""`Autoscaler.step`, one observation at a time.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine import Autoscaler, EngineSettings
from engine.model import (
    ActionResult,
    Approval,
    Budget,
    Category,
    Direction,
    ManualFloor,
    ManualScale,
    Pause,
    Plan,
    Reason,
    Status,
)
from engine.settings import (
    ApprovalSettings,
    CapacitySettings,
    FallbackSettings,
    WeddingSettings,
)
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)

LEAN = EngineSettings(
    capacity=CapacitySettings(
        max_utilisation=0.9, max_utilisation_deferred=0.9, survive_zone_loss="none"
    )
)


def only(plan: Plan):  # type: ignore[no-untyped-def]
    """The plan's single action."""
    assert len(plan.actions) == 1, plan
    return plan.actions[0]


def whys(plan: Plan) -> str:
    return " | ".join(declined.why for declined in plan.declined)


def hot(**changes: float) -> np.ndarray:
    """Samples of a service that is drowning."""
    figures = {"cpu": 1.0, "rate": 2000.0, "p95_s": 3.0, "error_rate": 0.1, "queue": 500.0}
    return make_window(**(figures | changes))


def cool(rate: float = 100.0) -> np.ndarray:
    return make_window(cpu=rate / 1000.0, rate=rate, memory=0.3, p95_s=0.15)


def test_a_steady_service_is_left_alone() -> None:
    # 500/s, the sd of a new forecaster and 90 % utilisation ask for a little more than 6 of 10
    plan = Autoscaler(LEAN).step(observe(make_service(desired=7)))
    assert plan.actions == ()


@pytest.mark.parametrize(
    ("reason", "window"),
    [
        (Reason.CPU, make_window(cpu=0.9)),
        (Reason.MEMORY, make_window(memory=0.95)),
        (Reason.REQUEST_RATE, make_window(rate=940.0, cpu=0.7)),
        (Reason.RESPONSE_TIME, make_window(cpu=0.85, p95_s=0.48)),
        (Reason.QUEUE_DEPTH, make_window(queue=45.0)),
    ],
)
def test_each_signal_above_its_threshold_scales_out_and_says_so(reason, window) -> None:  # type: ignore[no-untyped-def]
    spec = make_spec()
    thresholds = replace(spec.thresholds, queue_depth_up=0.4, request_rate_up=0.85)
    service = make_service(replace(spec, thresholds=thresholds), desired=10, window=window)
    plan = Autoscaler(LEAN).step(observe(service, outlook=make_outlook(300.0)))
    wanted = [r.reason for r in plan.taken] + [d.recommendation.reason for d in plan.declined]
    assert reason in wanted
    assert only(plan).to_instances > 10


def test_a_slow_response_without_busy_slots_is_somebody_elses_fault() -> None:
    service = make_service(desired=10, window=make_window(cpu=0.3, rate=300.0, p95_s=2.0))
    plan = Autoscaler(LEAN).step(observe(service, outlook=make_outlook(300.0)))
    assert plan.actions == ()


def test_one_sample_a_thousand_times_too_high_moves_nothing() -> None:
    window = make_window()
    window[-1]["request_rate"] *= 1000.0
    window[-1]["queue_depth"] = 1e6
    plan = Autoscaler(LEAN).step(observe(make_service(desired=7, window=window)))
    assert plan.actions == ()


@pytest.mark.parametrize(
    "window",
    [
        make_window(cpu=0.05, rate=50.0, age_s=120.0),
        make_window(cpu=0.05, rate=50.0)[:0],
        make_window(cpu=math.nan, rate=math.nan, memory=math.nan, p95_s=math.nan),
    ],
    ids=["stale", "empty", "NaN"],
)
def test_missing_data_never_scales_in(window: np.ndarray) -> None:
    engine = Autoscaler(LEAN)
    for cycle in range(60):
        now_s = NOW_S + 15.0 * cycle
        moved = window.copy()
        moved["time_s"] += 15.0 * cycle
        service = make_service(desired=100, window=moved)
        plan = engine.step(observe(service, now_s=now_s, outlook=make_outlook(50.0)))
        assert plan.actions == ()


def test_stale_metrics_are_said_to_be_stale_and_the_booked_outlook_carries_on() -> None:
    service = make_service(desired=10, window=make_window(age_s=300.0))
    plan = Autoscaler(LEAN).step(observe(service, outlook=make_outlook(1000.0)))
    action = only(plan)
    assert action.reason is Reason.FORECAST
    assert "stale" in action.explanation
    assert action.to_instances <= 15


@pytest.mark.parametrize(
    ("fallback", "expected"),
    [
        (FallbackSettings(mode="hold"), None),
        (FallbackSettings(mode="static", instances=14), 14),
        # 900/s x exp(1.2816 x 0.05) = 960/s: 9.6 busy and room for 0.267, less than 9.6 / 0.9
        (FallbackSettings(mode="outlook"), 11),
    ],
)
def test_the_fallback_is_chosen_for_each_service(fallback, expected) -> None:  # type: ignore[no-untyped-def]
    settings = LEAN.model_copy(update={"fallback_by_service": {"api": fallback}})
    service = make_service(desired=10, window=make_window(age_s=300.0))
    plan = Autoscaler(settings).step(observe(service, outlook=make_outlook(900.0)))
    assert [action.to_instances for action in plan.actions] == ([expected] if expected else [])


def test_a_step_out_is_at_most_half_and_then_rests_for_the_cooldown() -> None:
    engine = Autoscaler(LEAN)
    outlook, busy = make_outlook(5000.0), {"rate": 5000.0, "cpu": 0.7}
    service = make_service(desired=20, window=make_window(**busy))
    assert only(engine.step(observe(service, outlook=outlook))).to_instances == 30
    for after_s in (15.0, 150.0, 285.0):
        service = make_service(desired=30, window=make_window(NOW_S + after_s, **busy))
        plan = engine.step(observe(service, now_s=NOW_S + after_s, outlook=outlook))
        assert plan.actions == ()
        assert "cooldown" in whys(plan)
    service = make_service(desired=30, window=make_window(NOW_S + 300.0, **busy))
    plan = engine.step(observe(service, now_s=NOW_S + 300.0, outlook=outlook))
    assert only(plan).to_instances == 45


def test_a_step_in_is_at_most_thirty_percent_off_peak() -> None:
    service = make_service(desired=100, window=cool())
    action = only(Autoscaler(LEAN).step(observe(service, outlook=make_outlook(100.0))))
    assert (action.to_instances, action.reason) == (70, Reason.COST)
    assert action.cost_per_hour == pytest.approx(-3.0)


def test_before_a_peak_nothing_is_trimmed() -> None:
    def peak(ahead_s: np.ndarray) -> np.ndarray:
        return np.where(ahead_s > 5400.0, 9000.0, 100.0)

    service = make_service(desired=100, window=cool())
    plan = Autoscaler(LEAN).step(observe(service, outlook=make_outlook(peak)))
    assert plan.actions == ()
    assert "wedding protection" in whys(plan)


def test_a_dip_shorter_than_booting_costs_is_held() -> None:
    settings = LEAN.model_copy(update={"weddings": WeddingSettings(protection_s=0.0, lead_s=0.0)})

    def dip(ahead_s: np.ndarray) -> np.ndarray:
        return np.where(ahead_s > 300.0, 8000.0, 4500.0)

    window = make_window(cpu=0.45, rate=4500.0)
    service = make_service(desired=100, window=window)
    held = Autoscaler(settings).step(observe(service, outlook=make_outlook(dip)))
    flat = Autoscaler(settings).step(observe(service, outlook=make_outlook(4500.0)))
    kept = held.actions[0].to_instances if held.actions else 100
    assert kept > only(flat).to_instances


def test_the_wedding_floor_rises_two_hours_before_a_major_event() -> None:
    def later(ahead_s: np.ndarray) -> np.ndarray:
        return np.where((ahead_s > 6600.0) & (ahead_s < 20_000.0), 3000.0, 300.0)

    early = make_outlook(later, major=0.0)
    major = replace(early, major_load=np.where(early.load > 1000.0, 2700.0, 0.0))
    service = make_service(desired=10, window=make_window(cpu=0.3, rate=300.0))
    assert Autoscaler(LEAN).step(observe(service, outlook=early)).actions == ()
    plan = Autoscaler(LEAN).step(observe(service, outlook=major))
    assert only(plan).reason is Reason.WEDDING_FLOOR
    assert plan.floors["api"] > 30
    assert "major" in only(plan).explanation


def test_capacity_stands_ready_when_a_steep_ramp_arrives() -> None:
    """Steps, cooldown and boot time are planned backwards from the need."""
    ramp_s = 3600.0

    def ramp(ahead_s: np.ndarray) -> np.ndarray:
        return np.where(ahead_s > ramp_s, 9000.0, 1000.0)

    engine, outlook, desired = Autoscaler(LEAN), make_outlook(ramp), 14
    asked: list[tuple[float, int]] = []
    for after_s in np.arange(0.0, ramp_s, 15.0):
        now_s = NOW_S + after_s
        service = make_service(
            desired=desired, window=make_window(now_s, rate=1000.0, cpu=1000 / (100 * desired))
        )
        for action in engine.step(observe(service, now_s=now_s, outlook=outlook)).actions:
            desired = action.to_instances
            asked.append((after_s, desired))
    assert desired >= 100
    lead_s = 120.0 + 10.0
    last_growth_s = max(at_s for at_s, _ in asked)
    assert last_growth_s + lead_s <= ramp_s
    assert min(at_s for at_s, _ in asked) > 600.0  # and not hours too early


def test_an_emergency_passes_cooldown_and_step_limit_between_cycles() -> None:
    engine = Autoscaler(LEAN)
    engine.step(observe(make_service(desired=8, window=make_window(cpu=0.6))))
    window = hot()
    window["time_s"] += 5.0
    service = make_service(desired=8, window=window)
    action = only(engine.step(observe(service, now_s=NOW_S + 5.0)))
    assert action.category is Category.EMERGENCY
    assert action.to_instances > 12
    assert action.trigger_s <= NOW_S + 5.0
    assert "drowning" in action.explanation


def test_an_emergency_never_passes_max_quota_or_budget() -> None:
    spec = make_spec(max_instances=15)
    plan = Autoscaler(LEAN).step(observe(make_service(spec, desired=8, window=hot())))
    assert only(plan).to_instances == 15
    for budget in (Budget(instances=11), Budget(usd_per_hour=1.1)):
        plan = Autoscaler(LEAN).step(observe(make_service(desired=8, window=hot()), budget=budget))
        assert only(plan).to_instances == 11


def test_an_emergency_is_not_believed_from_one_sample() -> None:
    window = make_window(cpu=0.6)
    window[-1] = hot()[-1]
    plan = Autoscaler(LEAN).step(observe(make_service(desired=8, window=window)))
    assert not any(action.category is Category.EMERGENCY for action in plan.actions)


def test_an_emergency_latches_against_scale_in_until_calm() -> None:
    engine = Autoscaler(LEAN)
    engine.step(observe(make_service(desired=8, window=hot())))
    quiet = make_outlook(100.0)
    first_in = None
    for cycle in range(1, 120):
        now_s = NOW_S + 15.0 * cycle
        window = cool()
        window["time_s"] += 15.0 * cycle
        plan = engine.step(
            observe(make_service(desired=100, window=window), now_s=now_s, outlook=quiet)
        )
        if plan.actions:
            first_in = 15.0 * cycle
            break
    assert first_in is not None
    assert first_in >= LEAN.emergency.calm_s


def test_a_drowning_caller_has_its_callees_sized_at_once(caller_and_callee) -> None:  # type: ignore[no-untyped-def]
    api, database = caller_and_callee
    services = (
        make_service(database, desired=25, window=make_window(cpu=0.64, rate=1600.0)),
        make_service(api, desired=8, window=hot(rate=4000.0)),
    )
    outlook = make_outlook(800.0, services=("database", "api"))
    plan = Autoscaler(LEAN).step(observe(*services, outlook=outlook))
    emergencies = {a.service for a in plan.actions if a.category is Category.EMERGENCY}
    assert emergencies == {"api", "database"}


def test_recommend_only_works_everything_out_and_changes_nothing() -> None:
    settings = LEAN.model_copy(update={"mode": "recommend_only"})
    plan = Autoscaler(settings).step(observe(make_service(desired=8, window=hot())))
    assert plan.actions == ()
    assert plan.dry[0].to_instances > 8


@pytest.mark.parametrize(
    ("direction", "window", "load", "moves"),
    [
        (Direction.OUT, make_window(cpu=0.9), 900.0, False),
        (Direction.IN, make_window(cpu=0.9), 900.0, True),
        (Direction.ALL, make_window(cpu=0.9), 900.0, False),
        (Direction.IN, cool(), 100.0, False),
        (Direction.OUT, cool(), 100.0, True),
    ],
)
@pytest.mark.parametrize("service", ["", "api"])
def test_a_pause_holds_its_direction_only(direction, window, load, moves, *, service) -> None:  # type: ignore[no-untyped-def]
    pause = Pause(service, direction)
    plan = Autoscaler(LEAN).step(
        observe(
            make_service(desired=10, window=window), outlook=make_outlook(load), pauses=(pause,)
        )
    )
    assert bool(plan.actions) is moves
    assert moves or "paused" in whys(plan)


def test_a_pause_of_another_service_or_an_expired_one_does_nothing() -> None:
    busy = make_service(desired=10, window=make_window(cpu=0.9))
    for pause in (Pause("database"), Pause("api", expires_s=NOW_S)):
        assert Autoscaler(LEAN).step(observe(busy, pauses=(pause,))).actions


def test_a_pinned_service_goes_to_its_count_step_by_step() -> None:
    pause = Pause("api", pinned=20)
    plan = Autoscaler(LEAN).step(observe(make_service(desired=10), pauses=(pause,)))
    assert (only(plan).to_instances, only(plan).reason) == (15, Reason.MANUAL)


def test_a_manual_floor_holds_until_it_expires() -> None:
    floor = ManualFloor("api", 12, NOW_S + 100.0, "anna")
    service = make_service(desired=10)
    assert only(Autoscaler(LEAN).step(observe(service, floors=(floor,)))).to_instances == 12
    late = make_service(desired=10, window=make_window(NOW_S + 100.0))
    plan = Autoscaler(LEAN).step(observe(late, now_s=NOW_S + 100.0, floors=(floor,)))
    assert not any(action.to_instances > 10 for action in plan.actions)


def test_a_persons_count_is_reached_step_by_step_and_known_by_its_id() -> None:
    scale = ManualScale("scale-7", "api", 20, NOW_S + 900.0, "ada")
    action = only(Autoscaler(LEAN).step(observe(make_service(desired=10), scales=(scale,))))
    assert (action.to_instances, action.reason, action.scale_id) == (15, Reason.MANUAL, "scale-7")
    assert "10 → 15 because somebody asked for 20; " in action.explanation
    assert action.explanation.endswith("; one step is at most +50%.")
    late = make_service(desired=10, window=make_window(NOW_S + 900.0))
    plan = Autoscaler(LEAN).step(observe(late, now_s=NOW_S + 900.0, scales=(scale,)))
    assert not any(action.scale_id for action in plan.actions)


ASK = LEAN.model_copy(update={"approval": ApprovalSettings(max_instances=3)})


def growing(now_s: float = NOW_S):  # type: ignore[no-untyped-def]
    """Twenty instances that are too few for the 2,500 requests/s that are booked and arrive."""
    return make_service(desired=20, window=make_window(now_s, rate=2500.0, cpu=0.7))


def test_a_large_step_waits_for_approval_and_is_asked_for_once() -> None:
    engine = Autoscaler(ASK)
    outlook = make_outlook(2500.0)
    plan = engine.step(observe(growing(), outlook=outlook))
    assert plan.actions == ()
    (asked,) = plan.awaiting
    assert asked.category is Category.NEEDS_APPROVAL
    again = growing(NOW_S + 15.0)
    plan = engine.step(observe(again, now_s=NOW_S + 15.0, outlook=outlook))
    assert (plan.actions, plan.awaiting) == ((), ())
    yes = Approval(asked.decision_id, True, NOW_S + 20.0, "anna")
    plan = engine.step(observe(again, now_s=NOW_S + 20.0, outlook=outlook, approvals=(yes,)))
    assert only(plan).decision_id == asked.decision_id


def test_an_unanswered_question_is_put_anew_when_it_has_expired() -> None:
    engine = Autoscaler(ASK)
    asked = []
    for cycle in range(70):
        now_s = NOW_S + 15.0 * cycle
        service = growing(now_s)
        plan = engine.step(observe(service, now_s=now_s, outlook=make_outlook(2500.0)))
        assert plan.actions == ()
        asked += [now_s - NOW_S] * len(plan.awaiting)
    assert asked == [0.0, 900.0]


def test_an_emergency_needs_no_approval() -> None:
    plan = Autoscaler(ASK).step(observe(make_service(desired=8, window=hot())))
    assert only(plan).category is Category.EMERGENCY


def scaled_in() -> tuple[Autoscaler, int]:
    """An engine that has just taken a healthy service from 100 to 70."""
    engine = Autoscaler(LEAN)
    service = make_service(desired=100, window=make_window(cpu=0.2, memory=0.3, rate=2000.0))
    action = only(engine.step(observe(service, outlook=make_outlook(2000.0))))
    assert action.rollback.target == 100
    return engine, action.to_instances


def test_a_step_in_that_made_things_worse_is_rolled_back() -> None:
    engine, count = scaled_in()
    for after_s in (15.0, 30.0, 45.0, 60.0, 75.0):
        window = make_window(NOW_S + after_s, cpu=0.5, rate=2000.0, error_rate=0.03)
        service = make_service(desired=count, window=window)
        now_s = NOW_S + after_s
        plan = engine.step(observe(service, now_s=now_s, outlook=make_outlook(2000.0)))
        if any(action.reason is Reason.ROLLBACK for action in plan.actions):
            assert only(plan).to_instances == 100
            assert after_s >= LEAN.verify.settle_s
            return
    pytest.fail("no rollback")


@pytest.mark.parametrize(("booked", "back_to"), [(500.0, [20]), (1890.0, [22]), (9000.0, [])])
def test_a_step_out_that_brought_errors_is_undone_but_not_below_what_is_booked(
    booked: float, back_to: list[int]
) -> None:
    engine = Autoscaler(LEAN)
    window = make_window(cpu=0.4, rate=500.0, memory=0.95)
    first = only(engine.step(observe(make_service(desired=20, window=window))))
    assert first.to_instances == 23
    undone: list[int] = []
    for after_s in np.arange(15.0, 120.0, 15.0):
        window = make_window(NOW_S + after_s, cpu=0.2, rate=500.0, error_rate=0.05)
        service = make_service(desired=23, window=window)
        outlook = make_outlook(lambda ahead_s: np.where(ahead_s > 4000.0, booked, 500.0))
        plan = engine.step(observe(service, now_s=NOW_S + after_s, outlook=outlook))
        undone += [a.to_instances for a in plan.actions if a.reason is Reason.ROLLBACK]
    assert undone == back_to


def test_load_that_has_grown_is_not_the_steps_fault() -> None:
    engine, count = scaled_in()
    window = make_window(NOW_S + 60.0, cpu=0.5, rate=5000.0, error_rate=0.03)
    plan = engine.step(
        observe(
            make_service(desired=count, window=window),
            now_s=NOW_S + 60.0,
            outlook=make_outlook(2000.0),
        )
    )
    assert not any(action.reason is Reason.ROLLBACK for action in plan.actions)


def test_a_failed_action_is_asked_for_again_in_the_next_cycle() -> None:
    engine = Autoscaler(LEAN)
    outlook = make_outlook(2000.0)
    busy = {"rate": 2000.0, "cpu": 0.7}
    service = make_service(desired=10, window=make_window(**busy))
    first = only(engine.step(observe(service, outlook=outlook)))
    failed = ActionResult(first.decision_id, Status.FAILED, NOW_S + 2.0, "quota")
    service = make_service(desired=10, window=make_window(NOW_S + 15.0, **busy))
    plan = engine.step(observe(service, now_s=NOW_S + 15.0, outlook=outlook, results=(failed,)))
    assert only(plan).to_instances == first.to_instances


def test_every_action_carries_what_explains_it() -> None:
    def ramp(ahead_s: np.ndarray) -> np.ndarray:
        return np.where(ahead_s > 300.0, 2500.0, 1500.0)

    service = make_service(desired=20, window=make_window(rate=1500.0, cpu=0.7))
    action = only(Autoscaler(LEAN).step(observe(service, outlook=make_outlook(ramp))))
    assert action.reason is Reason.FORECAST
    assert action.rollback.target == 20
    assert action.cost_per_hour == pytest.approx(0.1 * (action.to_instances - 20))
    assert 0.0 < action.confidence <= 1.0
    assert action.weddings.events == pytest.approx(1200.0)
    assert "1,200 weddings" in action.explanation
    assert action.evidence["need"] >= action.to_instances


def test_the_same_observation_gives_the_same_plan_and_id() -> None:
    seen = observe(make_service(desired=10), outlook=make_outlook(2000.0))
    assert Autoscaler(LEAN).step(seen) == Autoscaler(LEAN).step(seen)


def test_a_service_outside_its_bounds_is_put_right_at_once() -> None:
    service = make_service(make_spec(max_instances=8), desired=12, window=make_window(cpu=0.7))
    assert only(Autoscaler(LEAN).step(observe(service))).to_instances == 8


def test_one_zone_to_spare_for_what_users_wait_for() -> None:
    settings = EngineSettings(capacity=CapacitySettings(max_utilisation=0.9, zones=3))
    facing = make_spec(user_facing=True)
    outlook = make_outlook(2000.0, sigma=0.01)
    targets = []
    for spec in (facing, make_spec()):
        service = make_service(spec, desired=28, window=make_window(rate=2000.0, cpu=0.7))
        plan = Autoscaler(settings).step(observe(service, outlook=outlook))
        targets.append(plan.actions[0].to_instances if plan.actions else 28)
    with_spare, without = targets
    assert with_spare - math.ceil(with_spare / 3) >= 2000.0 / 0.9 / 100.0
    assert without < with_spare


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"version": 99, "state": {}}', "null"])
def test_a_foreign_snapshot_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"engine memory|Expecting"):
        Autoscaler().restore(text)


def test_what_no_user_waits_for_may_run_hotter() -> None:
    def asked(**changes: object) -> int:
        engine = Autoscaler(EngineSettings(capacity=CapacitySettings(survive_zone_loss="none")))
        window = make_window(cpu=0.5, rate=40_000.0)
        service = make_service(make_spec(**changes), desired=600, window=window)
        plan = engine.step(observe(service, outlook=make_outlook(40_000.0)))
        wanted = [*plan.taken, *(declined.recommendation for declined in plan.declined)]
        return next(r.target for r in wanted if r.reason is Reason.FORECAST)

    assert asked(user_facing=False) < asked(user_facing=True)
