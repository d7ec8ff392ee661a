"""What the busy slots and the calendar say of a rate that was measured."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.decide.view import View, view
from engine.decide.witnesses import (
    answered,
    borne_out,
    corrected,
    fallen,
    has_room,
    learnable,
)
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window

SPEC = make_spec()  # ten slots, 0.1 s: an instance serves 100 requests a second
READY = 10


def seen(ready: int = READY, **figures: float) -> View:
    service = make_service(SPEC, ready=ready, window=make_window(**figures))
    return view(service, NOW_S, 45.0)


@pytest.mark.parametrize("factor", [2.0, 10.0, 1e3])
def test_a_rate_that_neither_witness_bears_out_counts_as_half_as_much_more_than_they_say(
    factor: float,
) -> None:
    spoilt = seen(cpu=0.5, rate=500.0 * factor)
    # the slots say 500
    assert borne_out(spoilt, SPEC, READY, 400.0, slowdown=1.0) == pytest.approx(750.0)
    # the calendar 600
    assert borne_out(spoilt, SPEC, READY, 600.0, slowdown=1.0) == pytest.approx(900.0)
    # hardly anything
    assert borne_out(spoilt, SPEC, READY, 0.5, slowdown=1.0) == pytest.approx(750.0)


@pytest.mark.parametrize("factor", [0.0, 1e-9, 0.1])
def test_a_rate_below_what_both_say_counts_as_the_less_of_them_less_a_third(factor: float) -> None:
    spoilt = seen(cpu=0.5, rate=500.0 * factor)
    assert borne_out(spoilt, SPEC, READY, 300.0, slowdown=1.0) == pytest.approx(200.0)
    assert borne_out(spoilt, SPEC, READY, 600.0, slowdown=1.0) == pytest.approx(500.0 / 1.5)
    # half as fast
    assert borne_out(spoilt, SPEC, READY, 600.0, slowdown=2.0) == pytest.approx(250.0 / 1.5)


@pytest.mark.parametrize(("cpu", "expected"), [(0.5, 20.0), (0.01, 500.0), (0.4, 450.0)])
def test_one_witness_is_enough(cpu: float, expected: float) -> None:
    assert borne_out(seen(cpu=cpu, rate=500.0), SPEC, READY, expected, slowdown=1.0) == 500.0


@pytest.mark.parametrize("expected", [math.nan, 0.0])
def test_without_the_calendar_there_is_no_second_witness(expected: float) -> None:
    assert borne_out(seen(cpu=0.5, rate=5e6), SPEC, READY, expected, slowdown=1.0) == 5e6


def test_a_rate_that_is_not_there_stays_so() -> None:
    assert math.isnan(borne_out(seen(cpu=0.5, rate=math.nan), SPEC, READY, 400.0, slowdown=1.0))


def test_full_slots_a_queue_or_errors_leave_the_rate_as_it_is() -> None:
    """Room is below the service's thresholds of cpu (0.8) and of waiting requests (0.5 a slot)."""
    assert has_room(seen(cpu=0.79, queue=50.0, error_rate=0.05), SPEC)
    assert has_room(seen(error_rate=math.nan, queue=math.nan), SPEC)
    assert not has_room(seen(cpu=0.8), SPEC)
    assert not has_room(seen(cpu=math.nan), SPEC)
    assert not has_room(seen(queue=51.0), SPEC)
    assert not has_room(seen(error_rate=0.051), SPEC)
    assert has_room(seen(0, queue=5.0), SPEC)  # with nothing ready, as with one
    assert not has_room(seen(0, queue=6.0), SPEC)


def test_slots_that_were_full_say_nothing_however_many_have_come_since() -> None:
    counts = ((NOW_S - 99.0, 10), (NOW_S - 1.0, 30))
    for figures, room in (({"cpu": 0.79}, True), ({"cpu": 1.0}, False), ({"queue": 51.0}, False)):
        window = make_window(**figures)
        service = make_service(SPEC, desired=30, window=window)
        assert has_room(view(service, NOW_S, 45.0, counts), SPEC) is room


def test_a_fall_is_a_sixth_less_than_the_calendar_lets_expect() -> None:
    assert fallen(seen(rate=84.0), 100.0)
    assert not fallen(seen(rate=85.0), 100.0)
    assert not fallen(seen(rate=1.0), math.nan)


@pytest.mark.parametrize(
    ("rate", "surge", "alone", "learned"),
    [
        # Within 1.5 times of the 600 that the calendar lets expect.
        (400.0, 1.0, False, 400.0),
        (900.0, 1.0, False, 900.0),
        (900.1, 1.0, False, 0.0),
        (399.9, 1.0, False, 0.0),
        (math.nan, 1.0, False, 0.0),
        # ... or of the 1200, or the 300, that came when it was last seen.
        (1800.0, 2.0, False, 1800.0),
        (1800.1, 2.0, False, 0.0),
        (400.0, 2.0, False, 400.0),
        (399.9, 2.0, False, 0.0),
        (200.0, 0.5, False, 200.0),
        (199.9, 0.5, False, 0.0),
        (900.0, 0.5, False, 900.0),
        (900.1, 0.5, False, 0.0),
        # Where nobody measures a rate, of more as much as half more; of less nothing.
        (900.1, 1.0, True, 900.0),
        (9e9, 1.0, True, 900.0),
        (1800.1, 2.0, True, 900.0),
        (399.9, 1.0, True, 0.0),
        (math.nan, 1.0, True, 0.0),
    ],
)
def test_what_is_read_off_other_figures_is_learned_where_it_is_likely(
    rate: float, surge: float, alone: bool, learned: float
) -> None:
    log = math.log(surge)
    assert learnable(rate, 600.0, log, alone=alone) == pytest.approx(learned)
    assert learnable(rate, math.nan, log, alone=alone) == 0.0


def drowns(
    *, rate: float = 3000.0, now: float = 3000.0, queue: float = 9e4, samples: int = 12,
    room: dict[str, float] | None = None,
) -> View:  # fmt: skip
    """What is made of three samples of ten full instances, with `queue` and `now` as their rate.

    Those before had room, and `rate`: 30 % of what serves 1000/s, nobody waiting or failing.
    """
    before = {"cpu": 0.3, "rate": rate} | (room or {})
    window = make_window(samples=samples, **before)  # type: ignore[arg-type]
    window["cpu"][-3:], window["queue_depth"][-3:] = 1.0, queue
    window["request_rate"][-3:] = now
    service = make_service(SPEC, window=window)
    return corrected(service, view(service, NOW_S, 45.0))


def test_a_rate_that_was_wrong_beside_free_slots_is_as_wrong_once_they_are_full() -> None:
    """Ten times 300/s; 15 s after the last sample with room 4500 can wait."""
    read = drowns()
    assert (read.request_rate, read.queue_depth) == (pytest.approx(300.0), pytest.approx(4500.0))
    assert drowns(queue=4400.0).queue_depth == 4400.0
    assert drowns(room={"queue": 50.0}).queue_depth == pytest.approx(4550.0)
    assert math.isnan(drowns(queue=math.nan).queue_depth)
    assert drowns(room={"queue": math.nan}).queue_depth == 9e4  # of how many nothing is measured
    # Twice as many as arrived then are twice as many now.
    assert drowns(now=6000.0).request_rate == pytest.approx(600.0)


@pytest.mark.parametrize(
    ("changes", "rate"),
    [
        ({"rate": 900.0, "now": 900.0}, 300.0),
        ({"rate": 899.0, "now": 899.0}, 899.0),  # it may be a little faster than specified
        ({"now": 1500.0}, 150.0),
        ({"now": 1499.0}, 1499.0),  # it has fallen by half: it is right again
        ({"samples": 6}, 300.0),
        ({"samples": 5}, 3000.0),  # two samples with room say nothing
        ({"room": {"error_rate": 0.05}}, 300.0),
        ({"room": {"error_rate": 0.051}}, 3000.0),  # what is shed takes no slots
        ({"room": {"error_rate": math.nan}}, 3000.0),
        ({"room": {"queue": 51.0}}, 3000.0),  # half of the 100 slots are waited for
        ({"room": {"queue": math.nan}}, 300.0),
        ({"room": {"cpu": 0.051}}, 51.0),
        ({"room": {"cpu": 0.05}}, 3000.0),
        ({"room": {"cpu": SPEC.thresholds.cpu_up}}, 3000.0),
        ({"room": {"rate": 1.1e7}}, 3000.0),  # more than a hundred times the maximum is no rate
        ({"room": {"rate": 0.0}}, 3000.0),
    ],
)
def test_a_rate_is_corrected_only_where_three_samples_with_room_leave_no_doubt(
    changes: dict[str, Any], rate: float
) -> None:
    assert drowns(**changes).request_rate == pytest.approx(rate)


@pytest.mark.parametrize(("place", "rate"), [(-4, 880.0), (-6, 880.0), (-7, 300.0)])
def test_the_newest_three_with_room_have_to_agree(place: int, rate: float) -> None:
    window = make_window(cpu=0.3, rate=900.0)
    window["cpu"][-3:], window["queue_depth"][-3:] = 1.0, 9e4
    window["request_rate"][place] = 880.0
    window["request_rate"][-3:] = 880.0 if rate == 880.0 else 900.0
    service = make_service(SPEC, window=window)
    assert corrected(service, view(service, NOW_S, 45.0)).request_rate == pytest.approx(rate)


def test_it_has_fallen_where_it_is_less_than_half_of_the_lowest_of_them() -> None:
    window = make_window(cpu=0.3, rate=2000.0)
    window["cpu"][-3:], window["queue_depth"][-3:] = 1.0, 9e4
    window["request_rate"][-4], window["request_rate"][-3:] = 1000.0, 600.0
    service = make_service(SPEC, window=window)
    assert corrected(service, view(service, NOW_S, 45.0)).request_rate == pytest.approx(180.0)


def test_of_a_slow_service_less_than_one_a_second_is_much() -> None:
    """Ten instances of one slot serve one a second; 0.9 is three times what 30 % of them does."""
    spec = make_spec(slots=1, service_s=10.0)
    window = make_window(cpu=0.3, rate=0.9)
    window["cpu"][-3:], window["queue_depth"][-3:] = 1.0, 90.0
    service = make_service(spec, window=window)
    assert corrected(service, view(service, NOW_S, 45.0)).request_rate == pytest.approx(0.3)


def test_the_newest_sample_is_none_with_room() -> None:
    """It may look so once the window's median does not: what waits was counted before it."""
    window = make_window(cpu=0.3, rate=3000.0)
    window["cpu"][-3:-1], window["queue_depth"][-3:-1] = 1.0, 9e4
    service = make_service(SPEC, window=window)
    shown = view(service, NOW_S, 45.0)._replace(queue_depth=9e4)
    assert corrected(service, shown).queue_depth == pytest.approx(4500.0)


def test_of_other_figures_only_what_is_likely_is_learned_unless_nobody_measures_a_rate() -> None:
    assert learnable(2000.0, 600.0, 0.0) == 0.0


def test_of_none_ready_one_would_serve() -> None:
    """Thirty a second of the hundred that one serves, ten times too high."""
    window = make_window(cpu=0.3, rate=300.0)
    window["cpu"][-3:], window["queue_depth"][-3:] = 1.0, 900.0
    service = make_service(SPEC, desired=1, ready=0, window=window)
    assert corrected(service, view(service, NOW_S, 45.0)).request_rate == pytest.approx(30.0)


@pytest.mark.parametrize(
    ("now", "gone"),
    [
        # 500/s and a cpu of 0.5 before: less than a two-hundredth is nothing.
        ({"cpu": 0.002, "request_rate": 2.4}, True),
        ({"cpu": 0.0, "request_rate": 0.0}, True),
        ({"cpu": 5e-10, "request_rate": 5e-7}, True),
        ({"cpu": 0.0025, "request_rate": 2.4}, False),
        ({"cpu": 0.002, "request_rate": 2.5}, False),
        # One of the two is witness enough that somebody asks.
        ({"cpu": 0.0}, False),
        ({"request_rate": 0.0}, False),
        # Nobody is answered: the service is idle.
        ({"cpu": 0.0, "request_rate": 0.0, "p95_s": math.nan}, False),
        ({"cpu": 0.0, "request_rate": 0.0, "p95_s": 0.0}, True),
    ],
)
def test_who_is_answered_has_asked_and_kept_slots_busy(now: dict[str, float], gone: bool) -> None:
    window = make_window()
    for name, value in now.items():
        window[name][-3:] = value
    service = make_service(SPEC, window=window)
    before = view(service, NOW_S, 45.0)
    looked = answered(service, before)
    if not gone:
        assert looked is before
        return
    assert math.isnan(looked.cpu) and math.isnan(looked.cpu_then)
    assert math.isnan(looked.request_rate)
    assert looked._replace(cpu=0.0, cpu_then=0.0, request_rate=0.0) == before._replace(
        cpu=0.0, cpu_then=0.0, request_rate=0.0
    )


@pytest.mark.parametrize(
    ("p95_s", "gone"),
    [
        # Measured until the newest samples, or once in the window: the requests have ended.
        ([0.2] * 9 + [math.nan] * 3, False),
        ([0.2] + [math.nan] * 11, False),
        # Nobody measures it, so nothing says so.
        ([math.nan] * 12, True),
        ([math.inf] * 12, True),
    ],
)
def test_where_nobody_measures_response_times_nothing_says_that_requests_have_ended(
    p95_s: list[float], gone: bool
) -> None:
    window = make_window()
    window["p95_s"] = p95_s
    window["request_rate"][-3:] = window["cpu"][-3:] = 0.0
    service = make_service(SPEC, window=window)
    looked = view(service, NOW_S, 45.0)
    assert math.isnan(answered(service, looked).request_rate) is gone


@pytest.mark.parametrize(("unmeasured", "dead"), [("cpu", "request_rate"), ("request_rate", "cpu")])
def test_of_two_figures_the_one_that_is_measured_tells(unmeasured: str, dead: str) -> None:
    window = make_window()
    window[unmeasured], window[dead][-3:] = math.nan, 0.0
    service = make_service(SPEC, window=window)
    assert math.isnan(getattr(answered(service, view(service, NOW_S, 45.0)), dead))
    window[dead] = math.nan
    nothing = view(service, NOW_S, 45.0)
    assert answered(service, nothing) is nothing


@pytest.mark.parametrize(
    ("samples", "alive", "gone"),
    [
        (6, 3, True), (6, 2, True), (6, 1, False), (5, 2, False), (7, 2, True),
        (12, 4, True), (12, 3, True), (12, 2, False), (12, 0, False),
    ],
)  # fmt: skip
def test_what_was_there_before_is_the_older_half_of_the_window(
    samples: int, alive: int, gone: bool
) -> None:
    """Some minutes later nobody remembers: it counts as what it is."""
    window = make_window(samples=samples)
    for name in ("cpu", "request_rate"):
        window[name][alive:] = 0.0
    service = make_service(SPEC, window=window)
    looked = view(service, NOW_S, 45.0)
    assert (answered(service, looked) is not looked) is gone


def test_what_cannot_be_was_not_there_before() -> None:
    window = make_window(cpu=math.nan)
    window["request_rate"][:6] = [math.inf, math.nan, -1.0, 500.0, 500.0, 500.0]
    window["request_rate"][6:] = 0.0
    assert len(window) == 12
    service = make_service(SPEC, window=window)
    assert math.isnan(answered(service, view(service, NOW_S, 45.0)).request_rate)


@pytest.mark.parametrize(
    ("figure", "wrong", "gone"),
    [
        # A wild sample is nothing that there was: 1,000 instances serve 100,000/s.
        ("request_rate", 10_000_001.0, False),
        ("request_rate", 10_000_000.0, True),
        ("request_rate", math.inf, False),
        ("request_rate", -1.0, False),
        ("cpu", 2.01, False),
        ("cpu", 2.0, True),
        ("cpu", 5e8, False),
    ],
)
def test_of_nothing_but_what_cannot_be_there_was_nothing(
    figure: str, wrong: float, gone: bool
) -> None:
    window = make_window(cpu=math.nan, rate=math.nan)
    window[figure] = 0.001
    window[figure][:6] = wrong
    service = make_service(SPEC, window=window)
    looked = view(service, NOW_S, 45.0)
    assert (answered(service, looked) is not looked) is gone


def test_some_wild_samples_are_not_what_there_was() -> None:
    """The cpu and the rate of a service are as they always were, but for three samples."""
    window = make_window(cpu=math.nan, rate=10.0)
    window["request_rate"][:3] = 1e5
    window["request_rate"][3:6] = 1.0
    service = make_service(SPEC, window=window)
    assert math.isnan(answered(service, view(service, NOW_S, 45.0)).request_rate)
    window["request_rate"][2] = 10.0
    service = make_service(SPEC, window=window)
    looked = view(service, NOW_S, 45.0)
    assert answered(service, looked) is looked


def test_an_idle_service_stays_idle() -> None:
    service = make_service(SPEC, window=make_window(cpu=0.0, rate=0.0))
    looked = view(service, NOW_S, 45.0)
    assert answered(service, looked) is looked
