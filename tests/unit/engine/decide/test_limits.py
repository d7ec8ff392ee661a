"""How far a service may move now: every row worked out by hand.

A step out is at most half as much again, one in at most 30 %, both at least one instance; 300 s
between steps in one direction and before a step in after one out.  Bounds: 2 … 1000.
"""

from __future__ import annotations

from functools import partial

import pytest

from engine.decide.rails.limits import limit, spent_on_little, stabilised, step_bounds
from engine.memory import ServiceMemory
from engine.model import Reason
from engine.settings import LimitSettings
from tests.unit.engine.conftest import NOW_S, make_spec

LIMITS = LimitSettings()
BOUNDS = "limited to 2 … 1000 instances"


@pytest.mark.parametrize(
    ("current", "lowest", "highest"),
    [
        (0, 0, 1),
        (1, 0, 2),
        (2, 1, 3),  # 2 x 0.7 = 1.4 → 2, but one may always go
        (3, 2, 4),
        (4, 3, 6),
        (7, 5, 10),  # 4.9 → 5; 10.5 → 10
        (10, 7, 15),  # whole numbers are not rounded away
        (100, 70, 150),
        (110, 77, 165),
    ],
)
def test_one_step_either_way(current: int, lowest: int, highest: int) -> None:
    assert step_bounds(current, LIMITS) == (lowest, highest)


@pytest.mark.parametrize(
    ("current", "target", "reason", "allowed", "why"),
    [
        (10, 15, Reason.CPU, 15, ""),
        (10, 16, Reason.CPU, 15, "one step is at most +50%"),
        (10, 7, Reason.COST, 7, ""),
        (10, 6, Reason.COST, 7, "one step is at most -30%"),
        # An emergency passes the step limit, a rollback and a person do not.
        (10, 16, Reason.EMERGENCY, 16, ""),
        (10, 16, Reason.ROLLBACK, 15, "one step is at most +50%"),
        (10, 16, Reason.MANUAL, 15, "one step is at most +50%"),
        (10, 6, Reason.ROLLBACK, 7, "one step is at most -30%"),
        # The bounds hold for all.
        (900, 1001, Reason.EMERGENCY, 1000, BOUNDS),
        (900, 1000, Reason.EMERGENCY, 1000, ""),
        (900, 1001, Reason.CPU, 1000, BOUNDS),
        (3, 1, Reason.COST, 2, BOUNDS),
        (1000, 2000, Reason.CPU, 1000, BOUNDS),
        (2, 1, Reason.COST, 2, BOUNDS),
        # What is outside them comes back at once, and no further in the same step.
        (1, 2, Reason.BOUNDS, 2, ""),
        (0, 0, Reason.COST, 2, BOUNDS),
        (1, 9, Reason.CPU, 3, "one step is at most +50%"),
        (1, 3, Reason.CPU, 3, ""),
        (1200, 1000, Reason.BOUNDS, 1000, ""),
        (1200, 1300, Reason.CPU, 1000, BOUNDS),
        (1200, 500, Reason.COST, 1000, "first back to its maximum"),
        (1001, 999, Reason.COST, 1000, "first back to its maximum"),
        # Nothing to do.
        (10, 10, Reason.CPU, 10, ""),
    ],
)
def test_steps_and_bounds(current, target, reason, allowed, *, why) -> None:  # type: ignore[no-untyped-def]
    memory = ServiceMemory()
    limited = limit(
        make_spec(), current, target, reason, memory=memory, now_s=NOW_S, settings=LIMITS
    )
    assert limited == (allowed, why)


HARM = "a step in below that did harm"


def rested(seconds: float) -> str:
    return f"cooldown for another {seconds:.0f} s"


@pytest.mark.parametrize(
    ("target", "reason", "memory", "allowed", "why"),
    [
        (12, Reason.CPU, {"last_out_s": NOW_S - 300.0}, 12, ""),
        (12, Reason.CPU, {"last_out_s": NOW_S - 290.0}, 10, rested(10.0)),
        (12, Reason.CPU, {"last_in_s": NOW_S}, 12, ""),  # growing waits for no step in
        (8, Reason.COST, {"last_in_s": NOW_S - 300.0}, 8, ""),
        (8, Reason.COST, {"last_in_s": NOW_S - 290.0}, 10, rested(10.0)),
        (8, Reason.COST, {"last_out_s": NOW_S - 300.0}, 8, ""),
        (8, Reason.COST, {"last_out_s": NOW_S - 280.0}, 10, rested(20.0)),
        # Of several rests the longest counts.
        (8, Reason.COST, {"last_out_s": NOW_S - 200.0, "last_in_s": NOW_S - 250.0}, 10,
         rested(100.0)),
        (8, Reason.COST, {"last_out_s": NOW_S - 250.0, "last_in_s": NOW_S - 200.0}, 10,
         rested(100.0)),
        # After a rollback its direction rests, the other one does not.
        (12, Reason.CPU, {"hold_out_until_s": NOW_S + 40.0}, 10, rested(40.0)),
        (12, Reason.CPU, {"hold_in_until_s": NOW_S + 40.0}, 12, ""),
        # … where it would go below what did harm, or nobody knows what that was.
        (8, Reason.COST, {"hold_in_until_s": NOW_S + 40.0, "held_at": 10}, 10, rested(40.0)),
        (8, Reason.COST, {"hold_in_until_s": NOW_S + 40.0, "held_at": 12}, 10, rested(40.0)),
        (8, Reason.COST, {"hold_in_until_s": NOW_S + 40.0, "held_at": 9}, 9, HARM),
        (8, Reason.COST, {"hold_in_until_s": NOW_S + 40.0, "held_at": 8}, 8, ""),
        (8, Reason.COST, {"hold_in_until_s": NOW_S, "held_at": 10}, 8, ""),
        (8, Reason.COST, {"hold_in_until_s": NOW_S + 40.0, "desired": 10}, 10, rested(40.0)),
        (8, Reason.COST,
         {"hold_in_until_s": NOW_S + 40.0, "held_at": 9, "last_in_s": NOW_S - 290.0}, 10,
         rested(10.0)),
        (8, Reason.COST,
         {"hold_in_until_s": NOW_S + 40.0, "held_at": 10, "last_in_s": NOW_S - 250.0}, 10,
         rested(50.0)),
        (12, Reason.CPU, {"hold_in_until_s": NOW_S + 40.0, "held_at": 14}, 12, ""),
        (8, Reason.COST, {"hold_out_until_s": NOW_S + 40.0}, 8, ""),
        (12, Reason.CPU, {"hold_out_until_s": NOW_S + 40.0, "last_out_s": NOW_S - 100.0}, 10,
         rested(200.0)),
        # Neither an emergency nor a rollback rests; a person does.
        (12, Reason.EMERGENCY, {"last_out_s": NOW_S, "hold_out_until_s": NOW_S + 9.0}, 12, ""),
        (12, Reason.ROLLBACK, {"last_out_s": NOW_S}, 12, ""),
        (12, Reason.MANUAL, {"last_out_s": NOW_S}, 10, rested(300.0)),
    ],
)  # fmt: skip
def test_rests(target, reason, memory, allowed, *, why) -> None:  # type: ignore[no-untyped-def]
    limited = limit(
        make_spec(),
        10,
        target,
        reason,
        memory=ServiceMemory(**memory),
        now_s=NOW_S,
        settings=LIMITS,
    )
    assert limited == (allowed, why)


def test_what_is_held_keeps_nobody_from_a_step_out_of_one_or_a_step_in_to_none() -> None:
    held = ServiceMemory(hold_in_until_s=NOW_S + 40.0, held_at=1)
    spec = make_spec(min_instances=0)
    assert limit(spec, 1, 2, Reason.CPU, memory=held, now_s=NOW_S, settings=LIMITS) == (2, "")
    none = ServiceMemory(hold_in_until_s=NOW_S + 40.0, held_at=0, desired=5)
    assert limit(spec, 2, 1, Reason.COST, memory=none, now_s=NOW_S, settings=LIMITS) == (1, "")


def test_who_overrides_steps_and_rests_is_kept_within_the_bounds_alone() -> None:
    memory = ServiceMemory(last_out_s=NOW_S, hold_out_until_s=NOW_S + 9.0)
    spec = make_spec(max_instances=100)
    by_hand = partial(
        limit,
        spec,
        reason=Reason.MANUAL,
        memory=memory,
        now_s=NOW_S,
        settings=LIMITS,
        override=True,
    )
    assert by_hand(10, 90) == (90, "")
    why = "limited to 2 … 100 instances"
    assert by_hand(10, 900) == (100, why)


def test_below_its_minimum_a_service_goes_there_even_while_it_rests() -> None:
    memory = ServiceMemory(last_out_s=NOW_S)
    assert limit(make_spec(), 1, 3, Reason.CPU, memory=memory, now_s=NOW_S, settings=LIMITS) == (
        2,
        rested(300.0),
    )


def test_the_rest_before_turning_round_is_a_setting_of_its_own() -> None:
    settings = LimitSettings(cooldown_out_s=100.0, cooldown_in_s=100.0, flip_hold_s=600.0)
    memory = ServiceMemory(last_out_s=NOW_S - 500.0, last_in_s=NOW_S - 500.0)
    assert (
        limit(make_spec(), 10, 8, Reason.COST, memory=memory, now_s=NOW_S, settings=settings).target
        == 10
    )
    assert (
        limit(make_spec(), 10, 12, Reason.CPU, memory=memory, now_s=NOW_S, settings=settings).target
        == 12
    )


@pytest.mark.parametrize(
    ("out_s", "in_s", "moved_out", "moved_in"),
    [(60.0, 900.0, True, False), (900.0, 60.0, False, True), (60.0, 61.0, True, True)],
)
def test_each_direction_rests_for_a_time_of_its_own(
    out_s: float, in_s: float, moved_out: bool, moved_in: bool
) -> None:
    settings = LimitSettings(cooldown_out_s=out_s, cooldown_in_s=in_s, flip_hold_s=0.0)
    memory = ServiceMemory(last_out_s=NOW_S - 500.0, last_in_s=NOW_S - 500.0)
    out = limit(make_spec(), 10, 12, Reason.CPU, memory=memory, now_s=NOW_S, settings=settings)
    down = limit(make_spec(), 10, 8, Reason.COST, memory=memory, now_s=NOW_S, settings=settings)
    assert (out.target, out.why) == ((12, "") if moved_out else (10, rested(400.0)))
    assert (down.target, down.why) == ((8, "") if moved_in else (10, rested(400.0)))


@pytest.mark.parametrize(
    ("targets", "target", "kept"),
    [
        ((), 5, ((1000.0, 5),)),
        # Higher ones of the last 300 s stay, the oldest first.
        (((800.0, 9), (900.0, 7)), 5, ((800.0, 9), (900.0, 7), (1000.0, 5))),
        # What an equal or higher later one covers goes.
        (((800.0, 9), (900.0, 7)), 7, ((800.0, 9), (1000.0, 7))),
        (((800.0, 9), (900.0, 7)), 9, ((1000.0, 9),)),
        (((800.0, 9), (900.0, 7)), 12, ((1000.0, 12),)),
        # The window is 300 s, its beginning included.
        (((700.0, 9), (900.0, 7)), 5, ((700.0, 9), (900.0, 7), (1000.0, 5))),
        (((699.0, 9), (900.0, 7)), 5, ((900.0, 7), (1000.0, 5))),
    ],
)
def test_the_targets_of_the_window(targets, target, kept) -> None:  # type: ignore[no-untyped-def]
    assert stabilised(targets, target, 1000.0, 300.0) == kept


@pytest.mark.parametrize(("target", "waits"), [(9, True), (8, False)])
def test_a_window_shorter_than_the_wait_holds_nothing_but_what_is_wanted_now(
    target: int, waits: bool
) -> None:
    targets = ((NOW_S - 20.0, target), (NOW_S, 4))
    short = LimitSettings(stabilisation_s=30.0)
    assert spent_on_little(10, target, 0, targets, now_s=NOW_S, settings=short) is waits
