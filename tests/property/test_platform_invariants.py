"""What must hold for several services that share a budget, with people who say what they want.

A front calls an API, which calls a database; metrics come and go, commands fail, counts are changed
by somebody else, people pause, pin, ask for floors, and approve or refuse what they are asked.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field, replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Autoscaler, EngineSettings
from engine.decide.allocate import EXHAUSTED
from engine.model import (
    Action,
    ActionResult,
    Approval,
    Budget,
    Call,
    Category,
    Direction,
    ManualFloor,
    Observation,
    Pause,
    Plan,
    Reason,
    ServiceSpec,
    Status,
)
from engine.settings import ApprovalSettings, FallbackSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
)

SPECS = (
    make_spec("front", min_instances=2, max_instances=90, user_facing=True,
              calls=(Call("api", 2.0),)),
    make_spec("api", min_instances=3, max_instances=60, calls=(Call("database", 1.5),)),
    make_spec("database", min_instances=1, max_instances=40),
)  # fmt: skip
NAMES = tuple(spec.name for spec in SPECS)
BY_NAME = {spec.name: spec for spec in SPECS}
PRICE = SPECS[0].price_per_hour
STEP_S = 5.0

share = st.floats(0.0, 1.0)
metrics = st.fixed_dictionaries(
    {
        "cpu": st.one_of(share, st.sampled_from([0.2, 1.0, math.nan])),
        "memory": st.sampled_from([0.3, 0.7, 0.9]),
        "rate": st.one_of(st.floats(0.0, 9000.0), st.sampled_from([0.0, math.nan])),
        "p95_s": st.sampled_from([0.1, 0.45, 3.0, math.nan]),
        "error_rate": st.sampled_from([0.0, 0.015, 0.3]),
        "queue": st.sampled_from([0.0, 0.0, 30.0, 900.0]),
        "age_s": st.sampled_from([1.0, 1.0, 1.0, 30.0, 300.0]),
    }
)
people = st.fixed_dictionaries(
    {
        "paused": st.sampled_from(["", "", "", "all", "in", "out"]),
        "paused_service": st.sampled_from(["", *NAMES]),
        "pinned": st.one_of(st.none(), st.none(), st.integers(0, 100)),
        "pinned_service": st.sampled_from(NAMES),
        "floor": st.one_of(st.none(), st.integers(1, 80)),
        "floor_service": st.sampled_from(NAMES),
        "answer": st.sampled_from(["none", "yes", "no", "both"]),
    }
)
moment = st.fixed_dictionaries(
    {
        "metrics": st.tuples(metrics, metrics, metrics),
        "people": people,
        "booked": st.floats(0.0, 6000.0),
        "major": share,
        "ready": share,
        "fails": st.booleans(),
        "elsewhere": st.sampled_from([None, None, None, None, None, 0, 5, 95]),
        "skip_s": st.sampled_from([0.0, 0.0, 10.0, 100.0, 400.0, -30.0]),
    }
)
moments = st.lists(moment, min_size=1, max_size=12)
budgets = st.builds(
    Budget,
    usd_per_hour=st.one_of(st.just(math.inf), st.floats(1.0, 15.0)),
    instances=st.one_of(st.just(math.inf), st.integers(10, 120).map(float)),
)
engine_settings = st.builds(
    EngineSettings,
    approval=st.builds(ApprovalSettings, max_instances=st.sampled_from([2, 10_000])),
    fallback=st.builds(
        FallbackSettings, mode=st.sampled_from(["outlook", "hold", "static"]),
        instances=st.integers(0, 30),
    ),
)  # fmt: skip


@dataclass
class Play:
    """An infrastructure that obeys unless a command fails, and people who answer."""

    budget: Budget
    now_s: float = NOW_S
    desired: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 10))
    results: list[ActionResult] = field(default_factory=list)
    questions: list[Action] = field(default_factory=list)
    refused: set[str] = field(default_factory=set)

    def observation(self, m: dict) -> Observation:  # type: ignore[type-arg]
        said = m["people"]
        pauses = []
        if said["paused"]:
            pauses.append(Pause(said["paused_service"], Direction(said["paused"]), math.inf))
        if said["pinned"] is not None:
            pauses.append(Pause(said["pinned_service"], pinned=said["pinned"]))
        floors = ()
        if said["floor"] is not None:
            floors = (ManualFloor(said["floor_service"], said["floor"], self.now_s + 60.0),)
        if m["elsewhere"] is not None:
            self.desired["api"] = m["elsewhere"]
        services = []
        for spec, figures in zip(SPECS, m["metrics"], strict=True):
            desired = self.desired[spec.name]
            ready = round(m["ready"] * desired)
            services.append(
                make_service(
                    spec, desired=desired, ready=ready, booting=desired - ready,
                    window=make_window(self.now_s, **figures),
                )
            )  # fmt: skip
        approvals = []
        if self.questions and said["answer"] != "none":
            asked = self.questions[-1].decision_id
            for approved in {"yes": [True], "no": [False], "both": [True, False]}[said["answer"]]:
                approvals.append(Approval(asked, approved, self.now_s, "somebody"))
                if not approved:
                    self.refused.add(asked)
        outlook = make_outlook(
            m["booked"], services=NAMES, major=m["major"], start_s=NOW_S - 3600.0, bins=900
        )
        results, self.results = tuple(self.results), []
        return Observation(
            self.now_s, tuple(services), outlook, results=results, approvals=tuple(approvals),
            floors=floors, pauses=tuple(pauses), budget=self.budget,
        )  # fmt: skip

    def carry_out(self, plan: Plan, m: dict) -> None:  # type: ignore[type-arg]
        for action in plan.actions:
            status = Status.FAILED if m["fails"] else Status.ACCEPTED
            self.results.append(ActionResult(action.decision_id, status, self.now_s))
            if not m["fails"]:
                self.desired[action.service] = action.to_instances
        self.questions += plan.awaiting
        self.now_s += STEP_S + m["skip_s"]


def played(  # type: ignore[no-untyped-def]
    story: list[dict],
    settings: EngineSettings,
    budget: Budget,  # type: ignore[type-arg]
):
    """Each observation with the plan for it, and the play."""
    engine, play = Autoscaler(settings), Play(budget)
    for m in story:
        observation = play.observation(m)
        plan = engine.step(observation)
        yield observation, plan, play
        play.carry_out(plan, m)


def text_of(plan: Plan) -> str:
    """The plan as text, in which NaN equals NaN and the order of figures does not matter."""
    return json.dumps(asdict(plan), sort_keys=True)


def pin_of(observation: Observation, spec: ServiceSpec) -> int | None:
    pins = [p.pinned for p in observation.pauses
            if p.pinned is not None and p.service in ("", spec.name)]  # fmt: skip
    return max(pins) if pins else None


@given(moments, engine_settings, budgets)
def test_pins_minimum_and_maximum_hold_whatever_else_is_wanted(story, settings, budget) -> None:  # type: ignore[no-untyped-def]
    for observation, plan, _ in played(story, settings, budget):
        assert len({action.service for action in plan.actions}) == len(plan.actions)
        for action in plan.actions:
            spec = BY_NAME[action.service]
            low, high, current = spec.min_instances, spec.max_instances, action.from_instances
            assert action.to_instances <= high
            # A rise that cannot be paid in full may end below the minimum.
            assert action.to_instances >= min(low, current + 1)
            pin = pin_of(observation, spec)
            if pin is not None:
                goal = min(max(pin, low), high)
                assert min(current, goal) <= action.to_instances <= max(current, goal)


@given(moments, engine_settings)
def test_in_a_full_cycle_what_is_out_of_bounds_or_off_its_pin_moves(story, settings) -> None:  # type: ignore[no-untyped-def]
    for observation, plan, _ in played(story, settings, Budget()):
        if not plan.cycle:
            continue
        moved = {action.service for action in plan.actions}
        for service in observation.services:
            spec = service.spec
            outside = not spec.min_instances <= service.desired <= spec.max_instances
            paused = any(p.pinned is None and p.service in ("", spec.name)
                         for p in observation.pauses)  # fmt: skip
            if outside and not paused:
                assert spec.name in moved


@given(moments, engine_settings, budgets)
def test_rises_never_exceed_budget_and_quota(story, settings, budget) -> None:  # type: ignore[no-untyped-def]
    for observation, plan, _ in played(story, settings, budget):
        added = sum(max(a.to_instances - a.from_instances, 0) for a in plan.actions)
        if added:
            there = sum(service.desired for service in observation.services)
            assert there + added <= budget.instances
            assert (there + added) * PRICE <= budget.usd_per_hour + 1e-6


@given(moments, engine_settings, budgets)
def test_no_emergency_goes_short_while_anything_less_urgent_grows(story, settings, budget) -> None:  # type: ignore[no-untyped-def]
    for _, plan, _ in played(story, settings, budget):
        short = [d for d in plan.declined
                 if EXHAUSTED in d.why and d.recommendation.reason is Reason.EMERGENCY]  # fmt: skip
        if short:
            rises = [a for a in plan.actions if a.to_instances > a.from_instances]
            assert all(a.category is Category.EMERGENCY for a in rises)


@given(moments, engine_settings, budgets)
def test_nothing_moves_in_a_paused_direction_but_to_a_pin(story, settings, budget) -> None:  # type: ignore[no-untyped-def]
    for observation, plan, _ in played(story, settings, budget):
        for action in plan.actions:
            spec = BY_NAME[action.service]
            if pin_of(observation, spec) is not None:
                continue
            way = Direction.OUT if action.to_instances > action.from_instances else Direction.IN
            for pause in observation.pauses:
                if pause.pinned is None and pause.service in ("", action.service):
                    assert pause.direction not in (Direction.ALL, way)


@given(moments, budgets)
def test_a_refusal_is_final(story, budget) -> None:  # type: ignore[no-untyped-def]
    settings = EngineSettings(approval=ApprovalSettings(max_instances=2))
    for _, plan, play in played(story, settings, budget):
        assert not {action.decision_id for action in plan.actions} & play.refused
        for action in plan.actions:
            if action.category is Category.NEEDS_APPROVAL:
                assert action.decision_id in {asked.decision_id for asked in play.questions}


@given(moments, engine_settings, budgets)
def test_restored_from_its_snapshot_it_makes_the_same_plan(story, settings, budget) -> None:  # type: ignore[no-untyped-def]
    engine, play = Autoscaler(settings), Play(budget)
    for m in story:
        text = engine.snapshot()
        json.loads(text, parse_constant=pytest.fail)
        restored = Autoscaler(settings)
        restored.restore(text)
        assert restored.snapshot() == text
        observation = play.observation(m)
        plan = engine.step(observation)
        assert text_of(restored.step(observation)) == text_of(plan)
        play.carry_out(plan, m)


@given(moments, engine_settings, budgets)
def test_a_step_that_raises_has_changed_nothing(story, settings, budget) -> None:  # type: ignore[no-untyped-def]
    engine, play = Autoscaler(settings), Play(budget)
    for m in story:
        observation = play.observation(m)
        memory, text = engine.memory, engine.snapshot()
        # Raises where the first decision is explained, after everything else.
        broken = replace(observation.outlook, events=np.zeros(0))
        with_broken = replace(observation, outlook=broken)
        try:
            Autoscaler(settings).step(with_broken)
            engine.step(with_broken)
        except IndexError:
            assert engine.memory is memory
            assert engine.snapshot() == text
        else:
            engine.restore(text)
        play.carry_out(engine.step(observation), m)


@pytest.mark.parametrize("answers", [False, True])
@pytest.mark.parametrize("age_s", [3.0, 1e9])
def test_memory_does_not_grow_over_the_hours(answers: bool, age_s: float) -> None:
    """Twelve hours of a step a minute, with samples or without, questions answered or not."""
    settings = EngineSettings(approval=ApprovalSettings(max_instances=1))
    engine, sizes = Autoscaler(settings), []
    for minute in range(12 * 60):
        now_s = NOW_S + 60.0 * minute
        busy = 1.0 + 0.9 * math.sin(minute / 30.0)
        services = tuple(
            make_service(spec, desired=20, window=make_window(now_s, rate=1000.0 * busy,
                                                              age_s=age_s, samples=3))
            for spec in SPECS
        )  # fmt: skip
        outlook = make_outlook(2000.0 * busy, services=NAMES, start_s=now_s - 60.0, bins=200)
        plan = engine.step(Observation(now_s, services, outlook))
        if answers and plan.awaiting:
            no = tuple(Approval(a.decision_id, False, now_s, "ann") for a in plan.awaiting)
            engine.step(Observation(now_s + 5.0, services, outlook, approvals=no))
        if minute % 10 == 9:
            sizes.append(len(engine.snapshot()))
    # Four hours fill all that waits for at most two hours and ten minutes; a command that went
    # wrong, of which there is one a service at most, comes and goes.
    assert max(sizes[24:]) < 1.02 * max(sizes[:24]) + 60 * len(SPECS)
    assert max(sizes) < 100_000
