"""Thresholds and what is learned from the figures: every row worked out by hand.

Ten instances of ten slots, 0.1 s a request: 100 slots, 1000 requests a second.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine import Autoscaler
from engine.decide.assess import arrival_rate, assess, learned_slowdown, queue_growth
from engine.decide.view import View, view
from engine.model import Call, Reason, ServiceSpec
from engine.settings import EngineSettings
from tests.unit.engine.conftest import (
    NOW_S,
    make_outlook,
    make_service,
    make_spec,
    make_window,
    observe,
)
from tests.unit.engine.decide.conftest import viewed

NAN = math.nan
CALM = {"cpu": 0.2, "memory": 0.3, "rate": 200.0, "p95_s": 0.1}


@pytest.mark.parametrize(
    ("figures", "over"),
    [
        ({}, {}),
        ({"cpu": 0.8}, {}),  # at the threshold is not above it
        ({"cpu": 0.81}, {Reason.CPU: 0.81 / 0.8}),
        ({"memory": 0.85}, {}),
        ({"memory": 0.86}, {Reason.MEMORY: 0.86 / 0.85}),
        ({"rate": 950.0}, {}),  # 950 of 1000 is the threshold of 0.95
        ({"rate": 1045.0}, {Reason.REQUEST_RATE: 1.1}),
        ({"queue": 50.0}, {}),  # 50 waiting for 100 slots
        ({"queue": 75.0}, {Reason.QUEUE_DEPTH: 1.5}),
        # Slow, but with slots to spare: somebody else's fault.
        ({"p95_s": 1.0}, {}),
        # Slow and busy: 0.5 s of 0.5 s is 1 / 0.8 = 1.25 times the threshold.
        ({"p95_s": 0.5, "cpu": 0.81}, {Reason.CPU: 0.81 / 0.8, Reason.RESPONSE_TIME: 1.25}),
        ({"p95_s": 0.4, "cpu": 0.81}, {Reason.CPU: 0.81 / 0.8}),
        ({"p95_s": 0.5, "queue": 75.0}, {Reason.RESPONSE_TIME: 1.25, Reason.QUEUE_DEPTH: 1.5}),
        ({"cpu": NAN, "memory": NAN, "rate": NAN, "p95_s": NAN, "queue": NAN}, {}),
    ],
)
def test_signals_above_their_thresholds(figures: dict, over: dict) -> None:  # type: ignore[type-arg]
    window = make_window(**(CALM | figures))
    assessment = assess(make_service(window=window), viewed(window))
    loads = {signal.reason: signal.load for signal in assessment.over}
    assert loads == pytest.approx(over)
    assert assessment.saturated is bool({Reason.CPU, Reason.QUEUE_DEPTH} & set(over))


def test_without_a_ready_instance_load_is_measured_by_one() -> None:
    window = make_window(**(CALM | {"rate": 98.0, "queue": 6.0}))
    assessment = assess(make_service(desired=10, ready=0, window=window), viewed(window))
    # one instance: 98 of 100 requests/s, 6 waiting for 10 slots
    assert {s.reason: s.value for s in assessment.over} == pytest.approx(
        {Reason.REQUEST_RATE: 0.98, Reason.QUEUE_DEPTH: 0.6}
    )


@pytest.mark.parametrize(
    ("figures", "cold", "breach"),
    [
        ({}, True, False),
        # At the lower threshold is not below it.
        ({"cpu": 0.5}, False, False),
        ({"cpu": 0.499}, True, False),
        ({"memory": 0.8}, False, False),
        ({"memory": 0.799}, True, False),
        ({"p95_s": 0.4}, False, False),  # 0.8 of the SLO
        ({"p95_s": 0.399}, True, False),
        ({"queue": 25.0}, False, False),  # half of the 50 that would be too many
        ({"queue": 24.9}, True, False),
        # The SLO is kept at 0.5 s and at 1 % failing, not above.
        ({"p95_s": 0.5}, False, False),
        ({"p95_s": 0.501}, False, True),
        ({"error_rate": 0.01}, True, False),
        ({"error_rate": 0.0101}, False, True),
        # What is not measured speaks neither for nor against.
        ({"memory": NAN}, True, False),
        ({"p95_s": NAN}, True, False),
        ({"queue": NAN}, True, False),
        ({"rate": NAN, "error_rate": NAN}, True, False),
        ({"cpu": NAN, "rate": NAN}, True, False),
        # Without the CPU, 500 of the 1000 requests/s that can be served are as much as half of it.
        ({"cpu": NAN, "rate": 499.0}, True, False),
        ({"cpu": NAN, "rate": 500.0}, False, False),
        # Beside the CPU they say so, too: whichever of the two is wrong makes nobody idle.
        ({"rate": 499.0}, True, False),
        ({"rate": 500.0}, False, False),
        ({"cpu": 0.0, "rate": 500.0}, False, False),
        ({"cpu": 1e-9, "rate": 500.0}, False, False),
        ({"cpu": 0.5, "rate": 0.0}, False, False),
        ({"cpu": 0.0, "rate": 0.0}, True, False),
    ],
)
def test_cold_and_breach(figures: dict[str, float], cold: bool, breach: bool) -> None:
    window = make_window(**(CALM | figures))
    assessment = assess(make_service(window=window), viewed(window))
    assert (assessment.cold, assessment.breach) == (cold, breach)


def test_of_stale_figures_nothing_is_said() -> None:
    window = make_window(cpu=1.0, error_rate=0.5, queue=900.0, age_s=99.0)
    assessment = assess(make_service(window=window), viewed(window))
    assert (assessment.over, assessment.cold, assessment.enough) == ((), False, 0)
    assert (assessment.breach, assessment.saturated) == (False, False)


LONG = {"p95_s": 9.0}
"""Responses that take so long that they speak against no slowness."""
WAITS = make_spec(calls=(Call("database", 1.0),))
TELLS = make_spec(calls=(Call("mail", 1.0, asynchronous=True),))


@pytest.mark.parametrize(
    ("before", "figures", "ready", "spec", "after"),
    [
        # 0.9 x 100 slots / 300 per second = 0.3 s held, 3 times 0.1 s; 30 % of the way from 1.
        (1.0, {"cpu": 0.9, "rate": 300.0}, 10, make_spec(), 1.6),
        (2.0, {"cpu": 0.9, "rate": 300.0}, 10, make_spec(), 2.3),
        # As fast as all three samples say, at once, and never faster than specified.
        (2.0, {"cpu": 0.5, "rate": 500.0}, 10, make_spec(), 1.0),
        (2.0, {"cpu": 0.1, "rate": 500.0}, 10, make_spec(), 1.0),
        (2.0, {"cpu": 0.6, "rate": 400.0}, 10, make_spec(), 1.5),
        (1.5, {"cpu": 0.6, "rate": 400.0}, 10, make_spec(), 1.5),
        (1.06, {"cpu": 0.53, "rate": 500.0}, 10, make_spec(), 1.06),
        (1.06, {"cpu": 0.52, "rate": 500.0}, 10, make_spec(), 1.0),  # 1.04 is 1
        # At most five times as slow: 1 + 0.3 x 4.
        (1.0, {"cpu": 1.0, "rate": 100.0}, 10, make_spec(), 2.2),
        # Who works twenty times as slowly still serves 50 of 1000 requests/s: fewer are no rate.
        (1.0, {"cpu": 1.0, "rate": 50.0}, 10, make_spec(), 2.2),
        (1.7, {"cpu": 1.0, "rate": 49.9}, 10, make_spec(), 1.7),
        (1.0, {"cpu": 0.1, "rate": 5.0}, 10, make_spec(), 2.2),
        (1.7, {"cpu": 0.1, "rate": 4.9}, 10, make_spec(), 1.7),
        (1.0, {"cpu": 0.5, "rate": 1.5}, 10, make_spec(service_s=0.01), 1.0),
        # Half was shed and held no slot: 100 / 500 = 0.2 s.
        (1.0, {"cpu": 1.0, "rate": 1000.0, "error_rate": 0.5}, 10, make_spec(), 1.3),
        # 5 % failing can still be told apart, more cannot where it waits for callees …
        (1.0, {"cpu": 0.95, "rate": 500.0, "error_rate": 0.05}, 10, WAITS, 1.3),
        (1.0, {"cpu": 0.9, "rate": 300.0, "error_rate": 0.051}, 10, WAITS, 1.0),
        # … but can where it does not wait for them.
        (1.0, {"cpu": 1.0, "rate": 1000.0, "error_rate": 0.5}, 10, TELLS, 1.3),
        # Too little to go by.
        (1.7, {"cpu": 0.05, "rate": 20.0}, 10, make_spec(), 1.7),
        (1.7, {"cpu": 0.9, "rate": 1.0}, 10, make_spec(), 1.7),
        (1.7, {"cpu": 0.9, "rate": 300.0}, 0, make_spec(), 1.7),
        (1.7, {"cpu": NAN, "rate": 300.0}, 10, make_spec(), 1.7),
        (1.7, {"cpu": 0.9, "rate": NAN}, 10, make_spec(), 1.7),
        (1.7, {"cpu": 0.9, "rate": 300.0, "error_rate": 1.0}, 10, make_spec(), 1.7),
        (1.7, {"cpu": math.inf, "rate": 300.0}, 10, make_spec(), 1.7),
        (1.7, {"cpu": 0.9, "rate": math.inf}, 10, make_spec(), 1.7),
        # Errors that nobody measures, or that cannot be, are none: 0.3 s held.
        (1.0, {"cpu": 0.9, "rate": 300.0, "error_rate": NAN}, 10, WAITS, 1.6),
        (1.0, {"cpu": 0.9, "rate": 300.0, "error_rate": math.inf}, 10, make_spec(), 1.6),
        (1.0, {"cpu": 0.9, "rate": 300.0, "error_rate": -0.5}, 10, make_spec(), 1.6),
    ],
)
def test_how_slow_a_service_works_is_learned_from_busy_slots(
    before, figures, ready, spec, *, after  # type: ignore[no-untyped-def]
) -> None:  # fmt: skip
    seen = view(
        make_service(desired=10, ready=ready, window=make_window(**(LONG | figures))), NOW_S, 45.0
    )
    assert learned_slowdown(before, spec, seen) == pytest.approx(after)


@pytest.mark.parametrize(
    ("error_rate", "spec", "measures_errors", "after"),
    [
        # 0.9 x 100 slots / 300 per second = 0.3 s held: 3 times 0.1 s, and 30 % of the way from 1.
        (NAN, WAITS, False, 1.6),
        # Errors that are measured else may be many in this sample, and nothing tells them apart.
        (NAN, WAITS, True, 1.0),
        (2.0, WAITS, True, 1.0),
        (2.0, TELLS, True, 1.6),
        (0.0, WAITS, True, 1.6),
        (0.05, WAITS, True, 1.0 + 0.3 * (3.0 / 0.95 - 1.0)),
    ],
)
def test_a_sample_that_lost_its_errors_shows_no_slowness_of_who_waits_for_others(
    error_rate: float, spec: ServiceSpec, measures_errors: bool, after: float
) -> None:
    window = make_window(**(LONG | {"cpu": 0.9, "rate": 300.0, "error_rate": error_rate}))
    seen = view(make_service(desired=10, window=window), NOW_S, 45.0)
    learned = learned_slowdown(1.0, spec, seen, measures_errors=measures_errors)
    assert learned == pytest.approx(after)


@pytest.mark.parametrize(
    ("queues", "before", "after"),
    [
        # 500/s join the queue, so 500 of 1000 are served: 100 / 500 = 0.2 s.
        ([0.0, 2500.0, 5000.0, 7500.0], 1.0, 1.3),
        # All of them join it: nothing is served.
        ([0.0, 5000.0, 10_000.0, 15_000.0], 1.7, 1.7),
        # 1000/s leave it: 2000 are served, as fast as 0.05 s.
        ([15_000.0, 10_000.0, 5000.0, 0.0], 2.0, 1.0),
        # Where the queue turns, two of three samples say how it was: 1, 0.5 and 1.
        ([5000.0, 5000.0, 0.0, 0.0], 2.0, 1.0),
        # 100/s join it, then 100/s leave it: 1.11, 0.91 and 1.11, below which it is not.
        ([0.0, 500.0, 0.0, 500.0], 2.0, 1.11),
        # One wild sample moves nothing.
        ([0.0, 0.0, 4000.0, 4000.0], 1.0, 1.0),
        ([0.0, 0.0, 0.0, NAN], 1.0, 1.0),
    ],
)
def test_what_joined_the_queue_was_not_served_and_what_left_it_was(
    queues: list[float], before: float, after: float
) -> None:
    window = make_window(cpu=1.0, rate=1000.0, **LONG)
    window["queue_depth"][-4:] = queues
    assert learned_slowdown(before, make_spec(), viewed(window)) == pytest.approx(after, abs=0.002)


@pytest.mark.parametrize(
    ("held", "after"),
    [
        # Times as slow as specified, newest last: slower only as far as each of them says so.
        ([2.0, 2.5, 3.0], 1.3),
        ([3.0, 2.5, 2.0], 1.3),
        ([1.0, 2.0, 3.0], 1.0),
        ([3.0, 1.0, 2.0], 1.0),
        ([NAN, 2.0, 3.0], 1.3),
        ([NAN, 3.0, NAN], 1.6),
        ([NAN, NAN, NAN], 1.0),
    ],
)
def test_a_service_is_slower_only_as_far_as_each_sample_says_so(
    held: list[float], after: float
) -> None:
    window = make_window(cpu=0.3, rate=1000.0, **LONG)
    window["cpu"][:-3] = 1.0  # five times as slow, long ago
    window["request_rate"][:-3] = 200.0
    window["cpu"][-3:] = 0.3
    window["request_rate"][-3:] = [300.0 / times for times in held]
    assert learned_slowdown(1.0, make_spec(), viewed(window)) == pytest.approx(after)


@pytest.mark.parametrize(
    ("quantiles", "after"),
    [
        # 0.3 s held by the slots; 1.1 x the mean of the response times bounds it.
        ((0.30, 0.30, 0.30), 1.6),  # all alike: 0.33 s, no bound
        ((0.20, 0.20, 0.20), 1.36),  # 0.22 s: 2.2 times as slow
        ((0.05, 0.20, 0.40), 1.0),  # 0.0848 s, less than specified
        # Quarter of the median, and so on: 0.1 + 0.2925 + 0.06 + 0.02 = 0.4725 s
        ((0.40, 0.90, 2.10), 1.6),
        ((0.10, 0.40, 1.00), 1.279),  # 0.025 + 0.1125 + 0.028 + 0.01 = 0.1755, x 1.1 = 0.193
        # What is not measured, or cannot be, bounds nothing.
        ((NAN, 0.10, 0.10), 1.6),
        ((0.10, NAN, 0.10), 1.6),
        ((0.10, 0.10, NAN), 1.6),
        ((0.0, 0.0, 0.0), 1.6),
        ((0.10, 0.10, math.inf), 1.6),
    ],
)
def test_no_slot_is_held_for_longer_than_the_response_takes(
    quantiles: tuple[float, float, float], after: float
) -> None:
    window = make_window(cpu=0.9, rate=300.0)
    window["p50_s"], window["p95_s"], window["p99_s"] = quantiles
    assert learned_slowdown(1.0, make_spec(), viewed(window)) == pytest.approx(after, abs=0.005)


@pytest.mark.parametrize(
    ("held", "before", "after"),
    [
        # The middle one of three goes with the rate that counts, which is the middle one, too.
        ([1.0, 2.0, 5.0], 3.0, 2.0),
        ([5.0, 1.0, 2.0], 3.0, 2.0),
        ([1.0, 2.0, 5.0], 2.0, 2.0),
        ([1.0, 2.0, 5.0], 1.5, 1.5),
        ([1.2, 2.0, 1.5], 3.0, 1.5),
        ([1.2, 1.1, 4.0], 5.0, 1.2),
        # Two are not all of them: 30 % of the way to the lower one.
        ([NAN, 2.0, 1.5], 3.0, 2.55),
    ],
)
def test_what_is_faster_again_by_the_middle_of_three_samples_is_so_at_once(
    held: list[float], before: float, after: float
) -> None:
    window = make_window(cpu=0.3, rate=1000.0, **LONG)
    window["request_rate"][-3:] = [300.0 / times for times in held]
    assert learned_slowdown(before, make_spec(), viewed(window)) == pytest.approx(after)


@pytest.mark.parametrize(
    ("figures", "ready", "enough"),
    [
        # 0.72 is nine tenths of 0.8: 10 x 0.5 / 0.72 = 6.9.
        ({"cpu": 0.5}, 10, 7),
        ({"cpu": 0.72}, 10, 10),
        ({"cpu": 0.721}, 10, 11),
        ({"cpu": 0.0, "rate": 0.0}, 10, 0),
        ({"cpu": 0.5, "rate": NAN}, 0, 1),
        # A cpu that says nothing is busy is none where half of what can be served arrives.
        ({"cpu": 0.0, "rate": 500.0}, 10, 7),
        ({"cpu": 0.6, "rate": 500.0}, 10, 9),
        # A memory below its lower threshold asks for none; 10 x 0.8 / 0.765 = 10.5.
        ({"cpu": 0.2, "memory": 0.799}, 10, 3),
        ({"cpu": 0.2, "memory": 0.8}, 10, 11),
        ({"cpu": 1.0, "memory": 0.8}, 10, 14),
        # Without the cpu, arrivals as a share of what can be served.
        ({"cpu": NAN, "rate": 500.0}, 10, 7),
        ({"cpu": NAN, "rate": NAN}, 10, 0),
        ({"cpu": NAN, "rate": NAN, "memory": 0.9}, 10, 12),
    ],
)
def test_how_many_would_keep_the_figures_below_their_thresholds(
    figures: dict[str, float], ready: int, enough: int
) -> None:
    window = make_window(**(CALM | figures))
    assert assess(make_service(ready=ready, window=window), viewed(window)).enough == enough


def test_where_callees_may_have_failed_a_service_is_as_fast_again_but_no_slower() -> None:
    failing = {"error_rate": 0.5} | LONG
    shed = make_window(cpu=0.3, rate=300.0, **failing)  # 30 slots for 150 requests/s: 0.2 s at most
    assert learned_slowdown(3.0, WAITS, viewed(shed)) == pytest.approx(2.0)
    assert learned_slowdown(1.5, WAITS, viewed(shed)) == pytest.approx(1.5)
    assert learned_slowdown(1.0, WAITS, viewed(shed)) == 1.0
    # One sample of three in which they may have is enough to say no more than before.
    window = make_window(cpu=0.9, rate=300.0, **LONG)
    window["error_rate"][-1] = 0.5
    assert learned_slowdown(1.0, WAITS, viewed(window)) == 1.0


def test_a_queue_tells_that_what_was_ready_then_was_full() -> None:
    window = make_window(cpu=NAN, rate=NAN, queue=5.0)
    counts = ((NOW_S - 99.0, 4), (NOW_S - 6.0, 8), (NOW_S - 1.0, 10))
    seen = view(make_service(window=window), NOW_S, 45.0, counts)
    assert arrival_rate(seen, make_spec(), 10, 1.0) == pytest.approx(800.0)


@pytest.mark.parametrize(("before", "after"), [(12, 60), (60, 12), (15, 30), (30, 20)])
@pytest.mark.parametrize("late_s", [0.0, 5.0, 20.0, 40.0])
def test_no_slowness_is_learned_where_only_the_count_has_changed(
    before: int, after: int, late_s: float
) -> None:
    engine, desired, samples = Autoscaler(EngineSettings()), max(before, after), []
    for after_s in np.arange(0.0, 120.0, 5.0):
        now_s, ready = NOW_S + after_s, before if after_s < 60.0 else after
        # 1000 requests/s of 0.1 s are 100 busy slots
        samples.append((now_s, min(10.0 / ready, 1.0)))
        seen = [sample for sample in samples if sample[0] <= now_s - late_s] or samples[:1]
        window = make_window(rate=1000.0, samples=len(seen))
        window["time_s"], window["cpu"] = zip(*seen, strict=True)
        service = make_service(desired=desired, ready=ready, booting=desired - ready, window=window)
        plan = engine.step(observe(service, now_s=now_s, outlook=make_outlook(1000.0)))
        assert engine.memory.services["api"].slowdown == 1.0
        assert not any(action.to_instances > 1.5 * desired for action in plan.actions)


@pytest.mark.parametrize(
    ("queues", "step_s", "growth"),
    [
        ([100.0, 600.0], 5.0, 100.0),
        ([600.0, 100.0], 5.0, 0.0),
        ([100.0, 100.0], 5.0, 0.0),
        ([100.0, 600.0], 0.5, 500.0),  # never less than a second apart
        ([NAN, 600.0], 5.0, 0.0),
        ([600.0], 5.0, 0.0),
    ],
)
def test_the_queue_grows_by_what_the_newest_two_samples_show(queues, step_s, growth) -> None:  # type: ignore[no-untyped-def]
    window = make_window(samples=len(queues))
    window["queue_depth"] = queues
    window["time_s"] = [NOW_S - step_s * (len(queues) - 1 - k) for k in range(len(queues))]
    assert queue_growth(viewed(window), make_spec(), 1000.0) == pytest.approx(growth)


@pytest.mark.parametrize(
    ("queues", "p95_s", "growth"),
    [
        # A capacity of 1000/s serves 5000 in ten times the SLO of 0.5 s …
        ((100.0, 5100.0), (0.2, 0.2), 980.0),
        ((6000.0, 1e12), (0.2, 0.2), 0.0),
        # … 30,000 in ten times the response time, of either sample …
        ((6000.0, 9000.0), (3.0, 0.2), 600.0),
        ((6000.0, 9000.0), (0.2, 3.0), 600.0),
        ((1000.0, 1e12), (3.0, 2.0), 5800.0),
        ((6000.0, 9000.0), (math.nan, 3.0), 600.0),
        # … and 300,000 in ten times half a minute, where no response time is measured.
        ((1000.0, 1e12), (math.nan, math.nan), 59_800.0),
        ((1000.0, 1e12), (math.inf, math.nan), 59_800.0),
        ((1000.0, 1e12), (0.0, 0.0), 800.0),
        ((1000.0, math.inf), (0.2, 0.2), 0.0),
    ],
)
def test_a_queue_grows_by_no_more_than_the_response_time_can_bear_out(
    queues: tuple[float, float], p95_s: tuple[float, float], growth: float
) -> None:
    window = make_window(samples=2)
    window["queue_depth"], window["p95_s"] = queues, p95_s
    assert queue_growth(viewed(window), make_spec(), 1000.0) == pytest.approx(growth)


def test_a_sample_of_too_low_a_rate_hides_no_slowness_that_the_others_show() -> None:
    """Full slots at half of what they can serve: twice as slow.  Two a second fill no slots."""
    window = make_window(cpu=1.0, rate=500.0, p95_s=9.0)
    slow = learned_slowdown(1.0, make_spec(), viewed(window))
    assert slow > 1.0
    window["request_rate"][-1] = 2.0
    assert learned_slowdown(1.0, make_spec(), viewed(window)) == slow


@pytest.mark.parametrize(
    ("ready", "slowdown", "rate"), [(10, 1.0, 1980.0), (10, 2.0, 980.0), (0, 1.0, 1080.0)]
)
def test_what_is_read_off_a_queue_goes_by_what_all_that_are_ready_can_serve(
    ready: int, slowdown: float, rate: float
) -> None:
    """Ten full instances serve 1000/s, and from 100 to 5000 in 5 s 980/s have joined.

    At half the speed they serve 500/s, and 2500 at most wait.  The ten were ready at that time:
    where none is now, what one serves in that time, 500, is what can wait: 80/s.
    """
    window = make_window(cpu=math.nan, rate=math.nan, samples=3)
    window["queue_depth"] = 100.0, 100.0, 1e9
    looked = viewed(window)
    assert arrival_rate(looked, make_spec(), ready, slowdown) == pytest.approx(rate)


@pytest.mark.parametrize(
    ("figures", "slowdown", "rate"),
    [
        ({"rate": 700.0}, 1.0, 700.0),
        ({"rate": 0.0}, 1.0, 0.0),
        ({"rate": NAN, "cpu": 0.4}, 1.0, 400.0),  # 40 busy slots x 10 per second
        ({"rate": NAN, "cpu": 0.0}, 1.0, 0.0),
        ({"rate": NAN, "cpu": 0.4}, 2.0, 200.0),
        ({"rate": NAN, "cpu": 0.4}, 0.5, 400.0),  # never faster than specified
        ({"rate": NAN, "cpu": NAN, "queue": 5.0}, 1.0, 1000.0),
        ({"rate": NAN, "cpu": NAN, "queue": 0.0}, 1.0, NAN),
        ({"rate": NAN, "cpu": NAN, "queue": NAN}, 1.0, NAN),
    ],
)
def test_arrivals_are_what_the_figures_say_of_them(figures, slowdown, rate) -> None:  # type: ignore[no-untyped-def]
    seen: View = viewed(make_window(**figures))
    assert arrival_rate(seen, make_spec(), 10, slowdown) == pytest.approx(rate, nan_ok=True)


def test_arrivals_include_what_joins_the_queue() -> None:
    window = make_window(cpu=1.0, rate=NAN)
    window["queue_depth"][-2:] = [0.0, 1000.0]
    assert arrival_rate(viewed(window), make_spec(), 10, 1.0) == pytest.approx(1200.0)
