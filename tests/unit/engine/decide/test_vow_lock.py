"""What a step in leaves of the instances that carry a ceremony: every row worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.decide.rails.scale_in import ScaleIn
from engine.decide.rails.vow_lock import LOCKED, frees_s, unlocked
from engine.decide.restraints import restrain
from engine.decide.wishes import Wish
from engine.memory import ServiceMemory
from engine.model import Reason, VowLocks
from engine.settings import EngineSettings, VowLockSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window
from tests.unit.engine.decide.conftest import ahead_of, seen_of, wish_of

LIMIT_S = 2700.0
FOR_EVER = math.inf
COLD = make_window(cpu=0.2, memory=0.3, p95_s=0.1)
SPEC = make_spec(min_instances=2, max_instances=100)


def locks(*spans: tuple[float, float], waits: bool = False) -> VowLocks:
    """Each instance carries ceremonies since and until so many seconds from now."""
    since_s, until_s = zip(*spans, strict=True) if spans else ((), ())
    return VowLocks(NOW_S + np.array(since_s, float), NOW_S + np.array(until_s, float), waits)


@pytest.mark.parametrize(
    ("carried", "frees"),
    [
        (locks(), []),
        # Its end, or the limit after its beginning, whatever is first; the first one first.
        (locks((-600.0, 1200.0)), [1200.0]),
        (locks((-2000.0, 1200.0)), [700.0]),
        (locks((-600.0, 1200.0), (-100.0, 300.0)), [300.0, 1200.0]),
        (locks((0.0, FOR_EVER)), [2700.0]),
        # For the limit and no longer.
        (locks((-2699.0, FOR_EVER)), [1.0]),
        (locks((-2700.0, FOR_EVER)), []),
        (locks((-9000.0, 60.0)), []),
        # What is overdue is not over: it may be at any moment.
        (locks((-1800.0, -30.0)), [0.0]),
        # What drains waits for the end: only what takes longer than that stays, until it does not.
        (locks((-600.0, 1200.0), waits=True), []),
        (locks((-600.0, 2700.0), waits=True), []),
        (locks((-600.0, 2701.0), waits=True), [1.0]),
        (locks((-600.0, 4000.0), (-60.0, 3000.0), waits=True), [300.0, 1300.0]),
        (locks((-600.0, FOR_EVER), waits=True), [2100.0]),
        (locks((-2700.0, FOR_EVER), waits=True), []),
        (locks((-600.0, -30.0), waits=True), []),
    ],
)
def test_when_each_instance_that_stays_may_go(carried: VowLocks, frees: list[float]) -> None:
    assert frees_s(carried, NOW_S, LIMIT_S) - NOW_S == pytest.approx(frees)


def test_without_a_limit_none_stays() -> None:
    assert len(frees_s(locks((-1.0, 1200.0)), NOW_S, 0.0)) == 0
    assert len(frees_s(locks((-1.0, 1200.0), waits=True), NOW_S, 0.0)) == 0


def going(carried: VowLocks | None, target: int, desired: int = 10) -> ScaleIn:
    service = replace(make_service(SPEC, desired=desired, window=COLD), locks=carried)
    step = ScaleIn(target, wish_of(target, Reason.COST))
    return unlocked(seen_of(service), step, NOW_S, VowLockSettings())


def test_a_step_in_takes_what_is_free() -> None:
    three = locks(*[(-60.0, 600.0)] * 3)
    for target in (3, 4, 9):
        step = going(three, target)
        assert (step.target, step.why, LOCKED in step.recommendation.evidence) == (
            target,
            "",
            False,
        )


def test_a_step_in_leaves_what_carries_a_ceremony_and_says_until_when() -> None:
    step = going(locks((-60.0, 600.0), (-60.0, 480.0), (-60.0, 900.0)), 2)
    assert step.target == 3
    assert step.why == "vow lock: 3 instances carry a ceremony, the first for another 480 s at most"
    assert step.recommendation.evidence == {"cpu": 0.9, LOCKED: 3.0}
    assert step.recommendation.target == 2  # what was wanted is not forgotten


def test_where_all_carry_one_all_stay() -> None:
    assert going(locks(*[(-60.0, 600.0)] * 10), 4).target == 10
    # Some more are ready than are desired: they are on their way out already.
    assert going(locks(*[(-60.0, 600.0)] * 12), 4).target == 10


def test_where_nobody_can_tell_nothing_changes() -> None:
    assert going(None, 2) == ScaleIn(2, wish_of(2, Reason.COST))


def test_what_is_no_step_in_is_left_as_it_is() -> None:
    every = locks(*[(-60.0, 600.0)] * 10)
    assert going(every, 10) == ScaleIn(10, wish_of(10, Reason.COST))
    assert going(every, 11).target == 11


# --- among the other restraints


def allowed(  # type: ignore[no-untyped-def]
    chosen, *, carried: VowLocks, memory=None, settings=None, window=COLD, protected: int = 0
):
    service = replace(make_service(SPEC, desired=20, window=window), locks=carried)
    (one,) = restrain(
        [seen_of(service, memory=memory)], [ahead_of(4.0, protected=protected)],
        [Wish(chosen, (), "", -math.inf)],
        pauses=(), now_s=NOW_S, settings=settings or EngineSettings(),
    )  # fmt: skip
    return one


ALL = locks(*[(-60.0, 600.0)] * 20)


@pytest.mark.parametrize(
    ("count", "went_to"),
    [
        (0, 14),  # 30 % a step
        (14, 14),
        (15, 15),
        (19, 19),  # one of twenty is 5 %, which is a step
        (20, 20),
    ],
)
def test_the_engines_own_step_in_is_held_back(count: int, went_to: int) -> None:
    carried = locks(*[(-60.0, 600.0)] * count)
    one = allowed(wish_of(10, Reason.FORECAST), carried=carried)
    assert one.target == went_to
    held = any("vow lock" in declined.why for declined in one.declined)
    assert held is (count > 10)


def test_a_step_that_did_harm_and_a_persons_order_are_not_held_back() -> None:
    assert allowed(wish_of(15, Reason.ROLLBACK), carried=ALL).target == 15
    assert allowed(wish_of(15, Reason.MANUAL, scale_id="scale-1"), carried=ALL).target == 15


def test_what_boots_more_is_never_held_back() -> None:
    for reason in (Reason.CPU, Reason.EMERGENCY, Reason.FORECAST, Reason.WEDDING_FLOOR):
        assert allowed(wish_of(25, reason), carried=ALL).target == 25


def test_a_step_that_is_taken_back_leaves_ceremonies_too() -> None:
    at_s = NOW_S - 400.0
    rose = ServiceMemory(before_rise=15, rise_s=at_s, last_out_s=at_s)
    calm = make_window(cpu=0.55, memory=0.3, p95_s=0.1)
    # Back to 15, but for the 16 that keep the figures of now below their upper thresholds.
    for carried, went_to in ((locks(), 16), (ALL, 20)):
        one = allowed(
            wish_of(10, Reason.FORECAST), carried=carried, memory=rose, window=calm, protected=20
        )
        assert (one.target, one.chosen.reason) == (went_to, Reason.ROLLBACK)


def test_the_rule_can_be_turned_off() -> None:
    off = EngineSettings(vow_lock=VowLockSettings(limit_s=0.0))
    assert allowed(wish_of(10, Reason.FORECAST), carried=ALL, settings=off).target == 14
