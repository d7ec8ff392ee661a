"""How far a fault of the metrics may take the counts from those of the run without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from tests.unit.engine.conftest import make_spec
from twin.hunt.apart import NO_DOUBLE, NO_FALL, RECOVERED, Apart, compare
from twin.hunt.metrics import MetricsFault

SAMPLES = 400
FAULT = MetricsFault(way="dark", at=400.0, duration_s=100.0)
"""Over at 500 s: all has to be as without it from 1100 s on, and is looked at up to 1700 s."""


def course(begin: int, changes: Mapping[float, int]) -> np.ndarray:
    """Counts each 5 s, `begin` and then what they are changed to at a time (s)."""
    counts = np.full((1, SAMPLES), begin, np.int32)
    for at_s, count in changes.items():
        counts[0, int(at_s / 5.0) - 1 :] = count
    return counts


def judged(
    with_fault: Mapping[float, int],
    *without: Mapping[float, int],
    begin: int = 10,
    asked: Sequence[Mapping[float, int]] = (),
) -> tuple[set[str], Apart]:
    """What is found, where the rules ask for what is there, or for `asked` in each run."""
    counts, others = course(begin, with_fault), [course(begin, one) for one in without]
    rules = [course(begin, one) for one in asked] or others
    violations, apart = compare(
        (make_spec(),), counts, np.stack(others), (FAULT,), asked=np.stack(rules), step_s=5.0
    )
    return {violation.invariant for violation in violations}, apart


def test_two_runs_that_are_the_same_are_not_apart() -> None:
    assert judged({700.0: 20}, {700.0: 20}) == (set(), Apart(1.0, 1.0, 0.0))


def test_an_order_of_twice_as_many_and_two_is_allowed_and_one_more_is_not() -> None:
    assert judged({410.0: 22, 700.0: 10}, {})[0] == set()
    broken, apart = judged({410.0: 23, 700.0: 10}, {})
    assert broken == {NO_DOUBLE}
    assert apart == Apart(2.3, 1.0, 195.0)


def test_what_another_run_without_the_fault_does_is_not_the_faults() -> None:
    assert judged({410.0: 7, 700.0: 10}, {}, {500.0: 8})[0] == set()
    assert judged({410.0: 30, 700.0: 10}, {}, {300.0: 14})[0] == set()
    assert judged({410.0: 30, 700.0: 10}, {}, {300.0: 13})[0] == {NO_DOUBLE}
    assert judged({800.0: 14}, {}, {900.0: 13, 1300.0: 10})[0] == {RECOVERED}
    assert judged({800.0: 14}, {}, {900.0: 13})[0] == set()


def test_what_was_ordered_before_and_is_kept_is_no_order() -> None:
    assert judged({}, {420.0: 4, 900.0: 10})[0] == set()


def test_a_fall_below_what_is_there_without_the_fault_is_found() -> None:
    broken, apart = judged({410.0: 7, 700.0: 10}, {})
    assert broken == {NO_FALL}
    assert apart == Apart(1.0, 0.7, 195.0)
    assert judged({410.0: 8, 700.0: 10}, {})[0] == set()


def test_a_count_that_only_stays_low_has_not_fallen() -> None:
    assert judged({900.0: 30}, {420.0: 30})[0] == set()


@pytest.mark.parametrize("early_s", [-295.0, 295.0])
def test_a_step_that_is_made_a_rest_earlier_or_later_is_the_same_step(early_s: float) -> None:
    assert judged({1300.0 - early_s: 40}, {1300.0: 40})[0] == set()
    assert judged({1300.0 - early_s: 4}, {1300.0: 4})[0] == set()


def test_a_step_that_is_made_much_earlier_or_later_is_another() -> None:
    assert NO_DOUBLE in judged({900.0: 40}, {1300.0: 40})[0]
    assert NO_FALL in judged({900.0: 4}, {1300.0: 4})[0]


@pytest.mark.parametrize(("count", "broken"), [(11, set()), (12, {RECOVERED})])
def test_ten_minutes_later_one_more_of_ten_may_be_left(count: int, broken: set[str]) -> None:
    assert judged({410.0: 15, 1095.0: count}, {})[0] == broken


def test_of_many_a_tenth_may_be_left_either_way() -> None:
    for count in (90, 110):
        assert judged({410.0: 100, 1095.0: count}, {}, begin=100)[0] == set()
    for count in (89, 111):
        assert RECOVERED in judged({410.0: 100, 1095.0: count}, {}, begin=100)[0]


def test_the_worse_of_two_is_the_worse_of_each_figure() -> None:
    assert Apart(2.0, 0.9, 5.0).or_further(Apart(1.5, 0.5, 10.0)) == Apart(2.0, 0.5, 10.0)


@pytest.mark.parametrize(
    ("course", "broken"),
    [
        # What 30 % each 300 s make of the 100 of before, from half a minute after the fault on.
        ({530.0: 70, 830.0: 49, 1130.0: 35, 1430.0: 25}, set()),
        ({530.0: 70, 830.0: 49, 1135.0: 35, 1430.0: 25}, {RECOVERED}),
        ({530.0: 70, 830.0: 50, 1130.0: 35, 1430.0: 25}, {RECOVERED}),
        ({}, {RECOVERED}),
        # What the fault itself has ordered is no excuse.
        ({410.0: 105, 530.0: 74, 830.0: 52, 1130.0: 37, 1430.0: 26}, {RECOVERED}),
    ],
)
def test_who_was_kept_from_steps_in_may_be_as_far_behind_as_steps_are_apart(
    course: Mapping[float, int], broken: set[str]
) -> None:
    assert judged(course, {405.0: 25}, begin=100)[0] == broken


def test_few_instances_are_stepped_down_to_one() -> None:
    assert judged({530.0: 3, 830.0: 2, 1130.0: 1}, {405.0: 0}, begin=4)[0] == set()


@pytest.mark.parametrize(
    ("count", "broken"), [(60, set()), (59, {NO_FALL}), (30, {NO_FALL, RECOVERED})]
)
def test_who_comes_down_to_what_the_rules_ask_for_has_lost_nothing(
    count: int, broken: set[str]
) -> None:
    """The other run keeps a hundred, between its thresholds, and 60 would do."""
    sixty = [{5.0: 60}]
    course = {410.0: count} if RECOVERED in broken else {410.0: count, 1000.0: 60}
    assert judged(course, {}, begin=100, asked=sixty)[0] == broken


def test_who_has_what_is_asked_for_in_any_run_at_that_time_has_lost_nothing() -> None:
    """What noise alone makes the rules ask for less, or more, is not the fault's."""
    seventy = {5.0: 60, 405.0: 70, 500.0: 60}
    course = {410.0: 69, 600.0: 60}
    assert judged(course, {}, begin=100, asked=[seventy])[0] == {NO_FALL}
    assert judged(course, {}, {}, begin=100, asked=[seventy, seventy])[0] == {NO_FALL}
    assert judged(course, {}, {}, begin=100, asked=[seventy, {5.0: 60}])[0] == set()
    later = {410.0: 60, 1200.0: 59, 1250.0: 60}
    assert judged(later, {}, begin=100, asked=[{5.0: 60}])[0] == {NO_FALL, RECOVERED}
    assert judged(later, {}, {}, begin=100, asked=[{5.0: 60}, {5.0: 59}])[0] == set()


@pytest.mark.parametrize(("until_s", "broken"), [(1275.0, set()), (1280.0, {RECOVERED})])
def test_a_count_may_follow_what_is_asked_for_down_a_minute_and_a_cycle_later(
    until_s: float, broken: set[str]
) -> None:
    course = {410.0: 66, until_s + 5.0: 40}
    assert judged(course, {}, begin=40, asked=[{5.0: 60, 1205.0: 40}])[0] == broken


@pytest.mark.parametrize(("count", "broken"), [(66, set()), (67, {RECOVERED})])
def test_what_the_rules_ask_for_to_a_tenth_is_not_left_over(count: int, broken: set[str]) -> None:
    """The other run has 40, and 60 would keep its figures a tenth below the thresholds."""
    assert judged({410.0: count}, {}, begin=40, asked=[{5.0: 60}])[0] == broken
    assert judged({410.0: 44}, {}, begin=40, asked=[{5.0: 20}])[0] == set()


def test_what_the_rules_ask_for_excuses_no_order_of_twice_as_many() -> None:
    assert NO_DOUBLE in judged({410.0: 83, 1095.0: 40}, {}, begin=40, asked=[{5.0: 100}])[0]
