"""What must hold for any sequence of observations that the engine may be shown."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from engine import Autoscaler, EngineSettings
from engine.decide.recommend.forecast import forecast, needed, step_discount
from engine.decide.sizing import Sizings, sizing
from engine.forecast import schedule
from engine.memory import ResponseMemory
from engine.memory_json import from_json, to_json
from engine.model import Budget, Category, Observation, Plan, Reason, ServiceSpec
from engine.settings import ApprovalSettings, CapacitySettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
)
from tests.unit.engine.decide.conftest import alone

SPEC = make_spec(min_instances=3, max_instances=120)
SETTINGS = EngineSettings(approval=ApprovalSettings(max_instances=10_000))

UNLIMITED = Budget()

figure = st.one_of(st.floats(0.0, 3.0), st.just(math.nan))
moment = st.fixed_dictionaries(
    {
        "cpu": st.one_of(st.floats(0.0, 1.0), st.just(math.nan)),
        "memory": st.floats(0.0, 1.0),
        "rate": st.one_of(st.floats(0.0, 50_000.0), st.just(math.nan)),
        "p95_s": figure,
        "error_rate": st.floats(0.0, 1.0),
        "queue": st.floats(0.0, 5_000.0),
        "age_s": st.sampled_from([0.0, 3.0, 20.0, 44.0, 46.0, 600.0]),
        "samples": st.sampled_from([0, 1, 2, 12]),
        "booked": st.floats(0.0, 20_000.0),
        "ready_share": st.floats(0.0, 1.0),
        "at_once": st.booleans(),
    }
)


def seen(spec: ServiceSpec, desired: int, now_s: float, m: dict, *, budget: Budget) -> Observation:
    ready = round(desired * m["ready_share"])
    window = make_window(
        now_s,
        **{k: m[k] for k in ("cpu", "memory", "rate", "p95_s", "error_rate", "queue", "age_s")},
        samples=m["samples"],
    )
    service = make_service(
        spec, desired=desired, ready=ready, booting=desired - ready, window=window
    )
    return Observation(
        now_s, (service,), make_outlook(m["booked"], major=0.3), budget=budget,
        at_once=m["at_once"],
    )  # fmt: skip


def replay(moments: list[dict], budget: Budget = UNLIMITED) -> list[tuple[Observation, Plan]]:
    """Show the engine these moments, 5 s apart, with an infrastructure that obeys at once."""
    engine, desired, played = Autoscaler(SETTINGS), 20, []
    for k, m in enumerate(moments):
        observation = seen(SPEC, desired, NOW_S + 5.0 * k, m, budget=budget)
        plan = engine.step(observation)
        played.append((observation, plan))
        for action in plan.actions:
            desired = action.to_instances
    return played


@given(st.lists(moment, min_size=1, max_size=60))
def test_bounds_steps_and_cooldown_hold_unless_it_is_an_emergency(moments: list[dict]) -> None:
    last: dict[bool, float] = {True: -math.inf, False: -math.inf}
    for observation, plan in replay(moments):
        assert len(plan.actions) <= 1
        for action in plan.actions:
            current, target = action.from_instances, action.to_instances
            assert current == observation.services[0].desired
            assert SPEC.min_instances <= target <= SPEC.max_instances
            out = target > current
            if action.category is not Category.EMERGENCY:
                assert target <= max(current + 1, math.floor(1.5 * current + 1e-9))
                assert target >= min(current - 1, math.ceil(0.7 * current - 1e-9))
                if action.reason is not Reason.ROLLBACK:
                    limits = SETTINGS.limits
                    rest_s = limits.cooldown_out_s if out else limits.cooldown_in_s
                    assert observation.now_s - last[out] >= rest_s
            last[out] = observation.now_s


@given(st.lists(moment, min_size=1, max_size=40), st.integers(20, 60), st.floats(2.0, 6.0))
def test_budget_and_quota_are_never_exceeded(
    moments: list[dict], instances: int, usd: float
) -> None:
    budget = Budget(usd_per_hour=usd, instances=instances)
    for _, plan in replay(moments, budget):
        for action in plan.actions:
            if action.to_instances > action.from_instances:
                assert action.to_instances <= instances
                assert action.to_instances * SPEC.price_per_hour <= usd + 1e-9


@given(st.lists(moment, min_size=1, max_size=60))
def test_no_scale_in_while_data_are_missing_or_the_slo_is_missed(moments: list[dict]) -> None:
    for observation, plan in replay(moments):
        window = observation.services[0].window
        fresh = window[window["time_s"] >= observation.now_s - SETTINGS.stale_after_s]
        for action in plan.actions:
            if action.to_instances < action.from_instances and action.reason is not Reason.ROLLBACK:
                assert len(fresh)
                assert np.nanmedian(fresh["p95_s"][-3:]) <= SPEC.slo_p95_s
                assert np.nanmedian(fresh["error_rate"][-3:]) <= 0.01


@given(st.lists(moment, min_size=1, max_size=60))
def test_nothing_is_taken_away_below_the_wedding_floor(moments: list[dict]) -> None:
    for _, plan in replay(moments):
        for action in plan.actions:
            if action.to_instances < action.from_instances:
                floor = min(plan.floors["api"], SPEC.max_instances)
                assert action.to_instances >= min(floor, action.from_instances)


@given(st.lists(moment, min_size=2, max_size=40), st.integers(1, 39))
def test_killed_and_restored_it_makes_the_same_next_plans(moments: list[dict], at: int) -> None:
    at = min(at, len(moments) - 1)
    original, desired = Autoscaler(SETTINGS), 20
    restored: Autoscaler | None = None
    for k, m in enumerate(moments):
        if k == at:
            text = original.snapshot()
            assert to_json(from_json(text)) == text
            restored = Autoscaler(SETTINGS)
            restored.restore(text)
        observation = seen(SPEC, desired, NOW_S + 5.0 * k, m, budget=Budget())
        plan = original.step(observation)
        if restored is not None:
            assert repr(restored.step(observation)) == repr(plan)
            assert restored.snapshot() == original.snapshot()
        for action in plan.actions:
            desired = action.to_instances


@given(
    rate=st.floats(0.0, 1e6), factor=st.floats(1.0, 3.0), utilisation=st.floats(0.3, 0.99),
    slots=st.integers(1, 128), spare=st.booleans(),
)  # fmt: skip
def test_more_load_never_needs_fewer_instances(
    rate: float, factor: float, utilisation: float, slots: int, *, spare: bool
) -> None:
    size = sizing(
        make_spec(slots=slots), CapacitySettings(max_utilisation=utilisation), critical=spare
    )
    count = size.instances(rate, utilisation)
    assert size.instances(rate * factor, utilisation) >= count
    assert count == size.instances_along(np.array([rate]), utilisation)[0]
    assert (count + 1e-6) * slots * utilisation >= rate * 0.1 * (1.0 - 1e-6)
    safe = size.with_zone_to_spare(count)
    if spare and count:
        assert safe - math.ceil(safe / 3) >= count
        assert (safe - 1) - math.ceil((safe - 1) / 3) < count  # and no more than that


@given(st.lists(st.floats(0.0, 5e4), min_size=20, max_size=20), st.floats(1.0, 2.0))
def test_a_higher_booked_load_never_lowers_the_forecasts_target(
    levels: list[float], factor: float
) -> None:
    def target(scale: float) -> int:
        def load(ahead_s: np.ndarray) -> np.ndarray:
            return scale * np.interp(ahead_s, 600.0 * np.arange(20), levels)

        size = sizing(SPEC, SETTINGS.capacity, critical=True)
        seen = schedule.curve(
            ResponseMemory(),
            make_outlook(load),
            0,
            NOW_S,
            reach_s=9000.0,
            settings=SETTINGS.forecast,
        )
        one = np.ones((1, 1))
        need = needed(alone(seen), Sizings.of((size,)), one, 2.0 * one)[0]
        discount = step_discount(len(need), 60.0, 130.0, 300.0, step_out=0.5)
        return forecast(SPEC, seen, need, discount, confidence=0.9, now_s=NOW_S).target

    assert target(factor) >= target(1.0)
