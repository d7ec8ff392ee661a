"""What figures alone may ask for, and what counts as that."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.decide.rails.rise import before_rise, bounded, by_figures, enough
from engine.memory import ResponseMemory, ServiceMemory
from engine.model import Reason
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window
from tests.unit.engine.decide.conftest import seen_of, wish_of

NAN = math.nan
QUIET = {"cpu": 0.99, "rate": 500.0, "p95_s": 3.0}
"""Full and slow, and nothing else says so."""
ROSE = ServiceMemory(before_rise=6, rise_s=NOW_S)


def seen(*, memory: ServiceMemory | None = None, spec: Any = None, **figures: float) -> Any:
    window = make_window(**(QUIET | figures))
    return seen_of(make_service(spec, window=window), memory=memory)


@pytest.mark.parametrize(
    ("reason", "slowdown", "surge", "is_so"),
    [
        (Reason.CPU, 1.0, 0.0, True),
        (Reason.MEMORY, 1.0, 0.0, True),
        (Reason.REQUEST_RATE, 1.0, 0.0, True),
        (Reason.RESPONSE_TIME, 1.0, 0.0, True),
        (Reason.QUEUE_DEPTH, 1.0, 0.0, True),
        (Reason.EMERGENCY, 1.0, 0.0, True),
        (Reason.FORECAST, 1.0, 0.2, False),
        (Reason.FORECAST, 1.0, 0.201, True),
        (Reason.FORECAST, 1.1, 0.0, True),
        (Reason.WEDDING_FLOOR, 2.0, 1.0, False),
        (Reason.MANUAL, 2.0, 1.0, False),
        (Reason.ROLLBACK, 2.0, 1.0, False),
    ],
)
def test_which_recommendations_go_by_figures(
    reason: Reason, slowdown: float, surge: float, is_so: bool
) -> None:
    one = seen()._replace(slowdown=slowdown, response=ResponseMemory(surge=surge))
    assert by_figures(one, wish_of(12, reason)) is is_so


@pytest.mark.parametrize(
    ("memory", "count"),
    [
        (ServiceMemory(), 10),
        (ROSE, 6),
        (ROSE._replace(before_rise=0), 0),
        (ROSE._replace(before_rise=10), 10),
        (ROSE._replace(before_rise=12), 10),
        (ROSE._replace(rise_s=NOW_S - 1800.0), 6),
        (ROSE._replace(rise_s=NOW_S - 1801.0), 10),
    ],
)
def test_what_there_was_before_figures_asked_for_more(memory: ServiceMemory, count: int) -> None:
    one = seen(memory=memory, cpu=0.72)
    assert before_rise(one, NOW_S) == count
    assert enough(one, NOW_S) == (10 if count < 10 else 0)


@pytest.mark.parametrize(
    ("figures", "lost", "count"),
    [
        # 0.36 of 0.72: five of ten keep the cpu below its threshold.
        ({"cpu": 0.36, "rate": 300.0}, (), 5),
        # Without the cpu arrivals say so, and without both nothing does: all of it is asked for.
        ({"cpu": NAN, "rate": 360.0}, ("cpu",), 5),
        ({"cpu": NAN, "rate": NAN}, ("cpu", "request_rate"), 10),
        ({"cpu": NAN, "rate": NAN}, ("cpu",), 10),
        ({"cpu": NAN, "rate": 0.0}, ("cpu",), 0),
        ({"cpu": NAN, "rate": 0.5}, ("cpu",), 1),
        ({"cpu": 0.36, "rate": NAN}, ("request_rate",), 5),
        ({"cpu": NAN, "rate": NAN}, (), 0),  # nobody measures them
        ({"cpu": 0.36, "age_s": 99.0}, (), 10),
    ],
)
def test_what_cannot_be_seen_may_still_be_needed(
    figures: Any, lost: tuple[str, ...], count: int
) -> None:
    one = seen(memory=ROSE, **figures)
    one = one._replace(figures=one.figures._replace(lost=lost))
    assert enough(one, NOW_S) == count
    assert enough(one._replace(memory=ServiceMemory()), NOW_S) == 0


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, 20),
        ({"memory": ROSE}, 12),
        ({"memory": ROSE._replace(before_rise=4)}, 10),  # never fewer than there are
        ({"memory": ROSE._replace(before_rise=1), "spec": make_spec(min_instances=8)}, 16),
        ({"memory": ROSE._replace(before_rise=0), "spec": make_spec(min_instances=0)}, 10),
        # Requests wait: one to twenty slots.
        ({"queue": 5.0}, 40),
        ({"queue": 4.99}, 20),
        ({"error_rate": 0.011}, 40),
        ({"error_rate": 0.01}, 20),
        # Seven tenths of the 1000 requests/s that ten serve arrive.
        ({"rate": 700.0}, 40),
        ({"rate": 699.0}, 20),
        # … but not half more than they serve where nobody waits for it.
        ({"rate": 1499.0}, 40),
        ({"rate": 1500.0}, 20),
        ({"rate": 1e9}, 20),
        ({"rate": 1500.0, "queue": 5.0}, 40),
        ({"rate": 1500.0, "queue": NAN}, 40),
        ({"rate": 1500.0, "error_rate": NAN}, 20),
        ({"rate": 1500.0, "error_rate": 0.011}, 40),
        # Neither is measured: nothing speaks against it.
        ({"rate": NAN, "queue": NAN}, 40),
        ({"rate": NAN}, 20),
        ({"rate": 0.0, "queue": NAN}, 20),
        ({"queue": NAN}, 20),
    ],
)
def test_figures_that_nothing_bears_out_at_most_double(changes: Any, target: int) -> None:
    assert bounded(seen(**changes), wish_of(40, Reason.EMERGENCY), NOW_S) == target


BESIDE_FREE_SLOTS = {"cpu": 0.5, "p95_s": 0.4}
"""Half of the slots in use in each sample, and answered within the SLO's 0.5 s."""
BY_RATE_ALONE = {"cpu": NAN, "queue": NAN, "p95_s": NAN}


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        # Arrivals of half more than what is in use are a service that is faster than specified …
        ({"rate": 750.0}, 40),
        ({"rate": 751.0}, 20),
        # … more than that a wrong rate, and a queue of a few is no witness for it; failures are.
        ({"rate": 5000.0, "queue": 90.0}, 20),
        ({"rate": 5000.0, "queue": 90.0, "p95_s": 5.0}, 20),
        ({"rate": 5000.0, "queue": 90.0, "error_rate": 0.011}, 40),
        # It holds up to 95 % in use: 1.5 times 0.94 are 1410/s.
        ({"cpu": 0.94, "rate": 1411.0, "queue": 90.0}, 20),
        ({"cpu": 0.95, "rate": 5000.0, "queue": 90.0}, 40),
        # A queue alone: nobody waits beside a quarter of free slots, and in time.
        ({"rate": 500.0, "queue": 1e5}, 20),
        ({"rate": NAN, "queue": 1e5}, 20),
        ({"rate": NAN, "queue": 1e5, "p95_s": 0.5}, 20),
        ({"rate": NAN, "queue": 1e5, "p95_s": NAN}, 20),
        ({"rate": NAN, "queue": 1e5, "p95_s": 0.51}, 40),
        ({"rate": NAN, "queue": 1e5, "cpu": 0.74}, 20),
        ({"rate": NAN, "queue": 1e5, "cpu": 0.75}, 40),
        # Where no queue is measured, half more than is served has to fail or to be late.
        (BY_RATE_ALONE | {"rate": 1499.0}, 40),
        (BY_RATE_ALONE | {"rate": 1500.0}, 20),
        (BY_RATE_ALONE | {"rate": 1500.0, "error_rate": 0.011}, 40),
        (BY_RATE_ALONE | {"rate": 1500.0, "error_rate": NAN}, 40),
        (BY_RATE_ALONE | {"rate": 1500.0, "p95_s": 0.5}, 20),
        (BY_RATE_ALONE | {"rate": 1500.0, "p95_s": 0.51}, 40),
        ({"cpu": 0.0, "rate": NAN, "queue": 1e5}, 20),
        ({"cpu": NAN, "rate": NAN, "queue": 1e5, "p95_s": 0.0}, 20),
        # Where no cpu is, nobody waits while all are answered within half of the SLO.
        ({"cpu": NAN, "rate": NAN, "queue": 1e5, "p95_s": 0.249}, 20),
        ({"cpu": NAN, "rate": NAN, "queue": 1e5, "p95_s": 0.25}, 40),
        ({"cpu": NAN, "rate": NAN, "queue": 1e5, "p95_s": NAN}, 40),
        ({"cpu": NAN, "rate": 5000.0, "queue": 1e5, "p95_s": 0.249}, 20),
        ({"cpu": NAN, "rate": 5000.0, "queue": 1e5, "p95_s": 0.249, "error_rate": 0.011}, 40),
        ({"cpu": NAN, "rate": 1499.0, "queue": 1e5, "p95_s": 0.249}, 40),
    ],
)
def test_what_free_slots_and_answers_in_time_speak_against_at_most_doubles(
    changes: Any, target: int
) -> None:
    one = seen(**(BESIDE_FREE_SLOTS | changes))
    assert bounded(one, wish_of(40, Reason.EMERGENCY), NOW_S) == target


@pytest.mark.parametrize("cpu", [0.95, NAN, math.inf])
@pytest.mark.parametrize("place", [1, 2, 3])
def test_one_sample_of_the_newest_three_with_full_slots_may_be_a_surge(
    cpu: float, place: int
) -> None:
    window = make_window(rate=5000.0, queue=90.0, **BESIDE_FREE_SLOTS)
    window["cpu"][-place] = cpu
    one = seen_of(make_service(window=window))
    assert bounded(one, wish_of(40, Reason.EMERGENCY), NOW_S) == 40
    window["cpu"][-3:], window["cpu"][-4] = 0.5, cpu
    before = seen_of(make_service(window=window))
    assert bounded(before, wish_of(40, Reason.EMERGENCY), NOW_S) == 20


@pytest.mark.parametrize(("place", "target"), [(1, 40), (2, 40), (3, 40), (4, 20)])
@pytest.mark.parametrize("p95_s", [0.25, NAN])
def test_one_sample_of_the_newest_three_in_which_some_may_have_waited_may_be_a_surge(
    place: int, target: int, p95_s: float
) -> None:
    window = make_window(cpu=NAN, rate=NAN, queue=1e5, p95_s=0.1)
    window["p95_s"][-place] = p95_s
    one = seen_of(make_service(window=window))
    assert bounded(one, wish_of(40, Reason.EMERGENCY), NOW_S) == target


def test_who_goes_by_more_than_figures_is_not_bounded() -> None:
    one = seen()
    assert bounded(one, wish_of(40, Reason.FORECAST), NOW_S) == 40
    assert bounded(one, wish_of(40, Reason.MANUAL), NOW_S) == 40
    assert bounded(one, wish_of(4, Reason.CPU), NOW_S) == 4
    assert bounded(one, wish_of(19, Reason.CPU), NOW_S) == 19


@pytest.mark.parametrize(
    ("present", "extra", "target"),
    [
        # Of 40 for 1000 and 1000 requests/s, 20 are for those that no figure shows yet.
        (1000.0, 1000.0, 40),
        (3000.0, 1000.0, 30),
        (3000.0, 10.0, 21),
        (3000.0, 1.0, 21),
        (3000.0, 0.0, 20),
        (0.0, 10.0, 40),
    ],
)
def test_what_callers_pass_on_is_not_bounded_by_figures(
    present: float, extra: float, target: int
) -> None:
    evidence = {"passed_on_rate": extra, "request_rate": present}
    passed_on = wish_of(40, Reason.EMERGENCY, evidence=evidence)
    assert bounded(seen(), passed_on, NOW_S) == target
    assert bounded(seen(queue=5.0), passed_on, NOW_S) == 40


@pytest.mark.parametrize(
    ("figures", "target"),
    [
        # Who fails beside free slots that nobody waits for is failed by somebody else.
        ({"cpu": 0.2, "rate": 2000.0}, 20),
        ({"cpu": 0.2, "rate": 301.0}, 20),
        ({"cpu": 0.2, "rate": 300.0}, 40),  # what the slots do not speak against
        ({"cpu": 0.2, "rate": NAN}, 40),
        ({"cpu": 0.749, "rate": 2000.0}, 20),
        ({"cpu": 0.75, "rate": 2000.0}, 40),
        ({"cpu": 0.2, "rate": 2000.0, "queue": 4.99}, 20),
        ({"cpu": 0.2, "rate": 2000.0, "queue": 5.0}, 40),
        ({"cpu": 0.2, "rate": 2000.0, "error_rate": 0.011}, 20),
        # Where no slots or no queue are measured, failures tell.
        ({"cpu": NAN, "rate": 2000.0}, 40),
        ({"cpu": 0.2, "rate": 2000.0, "queue": NAN}, 40),
    ],
)
def test_failures_beside_free_slots_bear_out_no_rate_that_these_deny(
    figures: Any, target: int
) -> None:
    one = seen(**({"p95_s": 0.4, "error_rate": 0.9} | figures))
    assert bounded(one, wish_of(40, Reason.EMERGENCY), NOW_S) == target


WRONG = {"cpu": 0.99, "rate": 1500.0, "p95_s": 0.4}
"""Half more than ten can serve, and nobody waits."""


def after_a_rise(
    wrong: int = 3,
    rate: float = 1500.0,
    *,
    rate_before: float = 1500.0,
    ready_before: int = 10,
    **before: float,
) -> Any:
    """Twenty are ready now, and `wrong` samples of the window are of when there were ten."""
    window = make_window(cpu=0.75, p95_s=0.4, rate=rate)
    older = make_window(**(WRONG | {"rate": rate_before} | before))
    for name in ("cpu", "request_rate", "error_rate", "queue_depth"):
        window[name][:wrong] = older[name][:wrong]
        window[name][wrong:-3] = NAN
    counts = ((0.0, ready_before), (float(window["time_s"][wrong]) - 1.0, 20))
    memory = ServiceMemory(before_rise=10, rise_s=NOW_S - 100.0, counts=counts)
    return seen_of(make_service(desired=20, ready=20, window=window), memory=memory)


@pytest.mark.parametrize(
    ("changes", "target"),
    [
        ({}, 20),
        ({"wrong": 2}, 40),  # one may be a count that was noted late, and two
        ({"rate": 1499.0}, 20),
        ({"rate": 749.0}, 20),  # less than twenty serve well
        # What was there before could have been served.
        ({"rate_before": 1499.0}, 40),
        ({"queue": 5.0}, 40),
        ({"queue": 4.99}, 20),
        ({"queue": NAN}, 40),
        ({"error_rate": 0.011}, 40),
        ({"error_rate": 0.01}, 20),
        ({"error_rate": NAN}, 20),
        # It has fallen to less than half since, and is another; more is as wrong as before.
        ({"rate_before": 2800.0, "rate": 1400.0}, 20),
        ({"rate_before": 2810.0, "rate": 1400.0}, 40),
        ({"rate": 2900.0}, 20),
        # One instance is the measure of none.
        ({"ready_before": 1, "rate_before": 149.0}, 40),
        ({"ready_before": 1, "rate_before": 150.0}, 20),
        ({"ready_before": 0, "rate_before": 149.0}, 40),
        ({"ready_before": 0, "rate_before": 150.0}, 20),
    ],
)
def test_a_rate_that_nobody_waited_for_is_as_wrong_with_more_instances(
    changes: Any, target: int
) -> None:
    assert bounded(after_a_rise(**changes), wish_of(40, Reason.EMERGENCY), NOW_S) == target


def test_it_has_fallen_where_it_is_less_than_half_of_the_lowest_of_them() -> None:
    one = after_a_rise(rate=1450.0)
    one.service.window["request_rate"][0] = 3000.0
    assert bounded(one, wish_of(40), NOW_S) == 20


def test_far_more_than_a_single_one_serves_comes_with_a_queue() -> None:
    for rate, target in ((149.0, 40), (150.0, 4)):
        window = make_window(samples=2, **(QUIET | {"rate": rate}))
        one = seen_of(make_service(desired=1, ready=1, window=window))
        assert bounded(one, wish_of(40), NOW_S) == target


def test_a_rate_that_nobody_waited_for_goes_by_what_was_ready_then() -> None:
    """All samples are of when ten were ready, and fifteen are now."""
    memory = ServiceMemory(before_rise=10, rise_s=NOW_S, counts=((0.0, 10), (NOW_S - 1.0, 15)))
    service = make_service(desired=15, ready=15, window=make_window(**WRONG))
    assert bounded(seen_of(service, memory=memory), wish_of(40), NOW_S) == 20
    full = make_service(desired=15, ready=15, window=make_window(**(WRONG | {"rate": 1499.0})))
    assert bounded(seen_of(full, memory=memory), wish_of(40), NOW_S) == 40


def test_what_began_with_none_may_be_two() -> None:
    service = make_service(
        make_spec(min_instances=0),
        desired=1,
        ready=1,
        window=make_window(**(QUIET | {"rate": 5.0})),
    )
    memory = ServiceMemory(before_rise=0, rise_s=NOW_S)
    assert bounded(seen_of(service, memory=memory), wish_of(9), NOW_S) == 2


def test_of_none_ready_one_is_the_measure_of_what_is_short() -> None:
    service = make_service(desired=10, ready=0, window=make_window(**(QUIET | {"rate": 70.0})))
    assert bounded(seen_of(service), wish_of(40), NOW_S) == 40
    service = make_service(
        desired=10, ready=0, window=make_window(**(QUIET | {"rate": 1.0, "queue": 0.5}))
    )
    assert bounded(seen_of(service), wish_of(40), NOW_S) == 40


def test_a_service_without_an_instance_is_short_only_of_what_one_would_be_short_of() -> None:
    """Nothing waits, nothing fails and nothing comes: the figures ask for nobody."""
    window = make_window(**(QUIET | {"rate": 0.0, "queue": 0.0}))
    nobody = seen_of(make_service(desired=1, ready=0, window=window))
    assert bounded(nobody, wish_of(50), NOW_S) == 4  # twice the minimum
    waiting = make_window(**(QUIET | {"rate": 0.0, "queue": 0.5}))
    wanted = seen_of(make_service(desired=1, ready=0, window=waiting))
    assert bounded(wanted, wish_of(50), NOW_S) == 50
