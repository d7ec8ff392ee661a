"""The emergency path: every row worked out by hand.

The service has 10 slots an instance, 0.1 s a request, so that an instance serves 100 requests a
second; its SLO is a p95 of 0.5 s.  The emergency aims at 70 % of the slots.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.recommend.emergency import (
    UNCONFIRMED,
    drowning,
    emergency,
    passed_on,
    unserved_rate,
)
from engine.model import SAMPLE_FIELDS, Reason, Thresholds
from engine.settings import EmergencySettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window
from tests.unit.engine.decide.conftest import SIMPLE, viewed

NAN = math.nan
SETTINGS = EmergencySettings()
CPU, RATE = SAMPLE_FIELDS.index("cpu"), SAMPLE_FIELDS.index("request_rate")
# cpu 95 %, 2 % failing, 0.5 waiting per slot, p95 at the SLO; 2 of 3 samples


def sample(  # type: ignore[no-untyped-def]
    cpu: float, p95_s: float = 0.1, error_rate: float = 0.0, queue: float = 0.0,
    *, rate: float = 500.0,
):  # fmt: skip
    window = make_window(
        cpu=cpu, p95_s=p95_s, error_rate=error_rate, queue=queue, rate=rate, samples=1
    )
    return window[0].item()


@pytest.mark.parametrize(
    ("row", "is_drowning"),
    [
        # Busy alone is no emergency, busy to the last slot is.
        (sample(0.95), False),
        (sample(0.98999), False),
        (sample(0.99, rate=750.0), True),
        # … but not where arrivals (below 750 of the 1000/s that ten serve), queue (below 5 for
        # 100 slots) and response time all say that there is room.
        (sample(0.99, rate=749.9), False),
        # Nor where the cpu is half more than arrivals bear out: 1.35 and 1.5 times 1000/s.
        (sample(1.35, rate=900.0), True),
        (sample(1.36, rate=900.0), False),
        (sample(1.5, rate=1000.0), True),
        (sample(2.0, rate=1000.0), False),
        (sample(2.0, rate=1000.0, p95_s=0.5), True),
        (sample(2.0, rate=1000.0, queue=5.0), True),
        (sample(0.99, queue=5.0), True),
        (sample(0.99, queue=4.99), False),
        (sample(0.99, queue=NAN), True),
        (sample(0.99, p95_s=NAN), True),
        (sample(0.99, rate=NAN), True),
        (sample(0.98999, rate=900.0), False),
        # Busy, and somebody suffers: each limit itself counts.
        (sample(0.95, p95_s=0.5), True),
        (sample(0.95, p95_s=0.49999), False),
        (sample(0.94999, p95_s=0.5), False),
        (sample(0.95, error_rate=0.02), True),
        (sample(0.95, error_rate=0.01999), False),
        (sample(0.94999, error_rate=0.02), False),
        # A cpu below nothing is none: arrivals stand in for it.
        (sample(-1.0, rate=950.0, error_rate=0.02), True),
        # Slow or failing without busy slots is somebody else's.
        (sample(0.3, p95_s=5.0, error_rate=0.5), False),
        # A queue of half the 10 x 10 slots is one if anything else bears it out …
        (sample(0.1, queue=50.0, rate=750.0), True),
        (sample(0.1, queue=50.0, p95_s=0.5), True),
        (sample(0.1, queue=50.0, error_rate=0.02), True),
        (sample(0.95, queue=50.0), True),
        (sample(0.1, queue=49.999, rate=750.0, p95_s=0.5), False),
        # … or nobody could say that it is none …
        (sample(0.1, queue=50.0, p95_s=NAN), True),
        (sample(0.1, queue=50.0, rate=NAN), True),
        # … but not where all others speak against it.
        (sample(0.1, queue=50.0), False),
        (sample(0.94999, queue=1e9, rate=749.9, p95_s=0.0), False),
        (sample(NAN, queue=50.0), False),
        (sample(NAN, queue=50.0, rate=0.0), False),
        (sample(NAN, p95_s=5.0), False),
        (sample(0.95, p95_s=NAN, error_rate=NAN, queue=NAN), False),
        # Without the CPU: 950 of the 1000 requests/s that ten serve, and somebody suffers.
        (sample(NAN, rate=950.0, p95_s=0.5), True),
        (sample(NAN, rate=950.0, p95_s=NAN, error_rate=0.02, queue=NAN), True),
        (sample(NAN, rate=949.9, p95_s=5.0, error_rate=0.5), False),
        (sample(NAN, rate=2000.0, p95_s=0.4, queue=NAN), False),
        (sample(NAN, rate=2000.0, p95_s=NAN, queue=0.0), False),
        (sample(NAN, rate=math.inf, p95_s=5.0), False),
        (sample(0.9, rate=2000.0, p95_s=5.0), False),  # the CPU is there and says otherwise
        # Half more than can be served, and none of it waits (5 for 100 slots) or fails (2 %).
        (sample(NAN, rate=1499.9, p95_s=5.0), True),
        (sample(NAN, rate=1500.0, p95_s=5.0), False),
        (sample(NAN, rate=1500.0, p95_s=5.0, queue=4.9, error_rate=0.019), False),
        (sample(NAN, rate=1500.0, p95_s=5.0, queue=5.0), True),
        (sample(NAN, rate=1500.0, p95_s=5.0, error_rate=0.02), True),
        (sample(NAN, rate=1500.0, p95_s=5.0, queue=NAN), True),
        (sample(NAN, rate=1500.0, p95_s=5.0, error_rate=NAN), True),
        # Arrivals alone: as much as can be served.
        (sample(NAN, rate=1000.0, p95_s=NAN, queue=NAN), True),
        (sample(NAN, rate=999.9, p95_s=NAN, queue=NAN), False),
        (sample(NAN, rate=math.inf, p95_s=NAN, queue=NAN), False),
        (sample(NAN, rate=1000.0, p95_s=math.inf, queue=math.inf, error_rate=NAN), True),
        (sample(0.5, rate=1000.0, p95_s=NAN, queue=NAN), False),
        (sample(NAN, rate=1000.0, p95_s=NAN, queue=0.0), False),  # they are not alone
        # Full slots with nobody waiting, and nothing that arrives.
        (sample(1.0, rate=0.0, p95_s=0.1, queue=0.0), False),
        (sample(1.0, rate=0.5, p95_s=0.1, queue=0.0), False),
        (sample(0.0, rate=2000.0, p95_s=5.0), False),
        (sample(math.inf, rate=960.0, p95_s=0.1, queue=0.0), False),
        (sample(NAN, rate=1000.0, p95_s=NAN, queue=math.inf), True),
        (sample(NAN, rate=1000.0, p95_s=math.inf, queue=NAN, error_rate=NAN), True),
        (sample(NAN, rate=1000.0, p95_s=0.0, queue=NAN), False),
        # What cannot be measured is no figure.
        (sample(math.inf, p95_s=5.0), False),
        (sample(0.1, queue=math.inf), False),
        (sample(0.1, queue=math.inf, p95_s=0.5), False),
    ],
)
def test_what_one_sample_shows(row, is_drowning: bool) -> None:  # type: ignore[no-untyped-def]
    assert drowning(row, make_spec(), 10, SETTINGS) is is_drowning


@pytest.mark.parametrize(
    ("cpu_up", "p95_s", "is_drowning"),
    [
        (0.95, 0.1, False),  # as busy as an emergency is where it should be, and nobody waits long
        (0.9499, 0.1, True),
        (0.95, 0.4999, False),
        (0.95, 0.5, True),  # they do
        (0.95, NAN, True),  # nobody measures whether they do
        (0.95, math.inf, True),
    ],
)
def test_full_slots_alone_are_no_emergency_of_who_is_meant_to_be_full(
    cpu_up: float, p95_s: float, is_drowning: bool
) -> None:
    spec = make_spec(thresholds=Thresholds(cpu_up=cpu_up, cpu_down=0.9))
    assert drowning(sample(1.0, p95_s=p95_s, rate=900.0), spec, 10, SETTINGS) is is_drowning
    queueing = sample(1.0, p95_s=p95_s, rate=900.0, queue=50.0)
    assert drowning(queueing, spec, 10, SETTINGS)


@pytest.mark.parametrize(("ready", "rate"), [(0, 95.0), (1, 95.0), (2, 190.0)])
def test_arrivals_are_measured_by_what_is_ready_and_by_one_where_none_is(
    ready: int, rate: float
) -> None:
    for times, is_drowning in ((1.0, True), (0.99, False)):
        row = sample(NAN, rate=times * rate, p95_s=5.0)
        assert drowning(row, make_spec(), ready, SETTINGS) is is_drowning


@pytest.mark.parametrize(
    ("ready", "queue", "is_drowning"),
    [(20, 99.0, False), (20, 100.0, True), (1, 5.0, True), (0, 5.0, True), (0, 4.9, False)],
)
def test_a_queue_is_measured_by_the_slots_that_are_ready(
    ready: int, queue: float, is_drowning: bool
) -> None:
    row = sample(0.5, p95_s=3.0, queue=queue)
    assert drowning(row, make_spec(), ready, SETTINGS) is is_drowning


@pytest.mark.parametrize(
    ("ready", "figures", "target"),
    [
        # 1400 / 100 / 0.7 = 20; the CPU asks for 10 x 0.95 / 0.7 = 13.6: 14.
        (10, {"cpu": 0.95, "rate": 1400.0, "p95_s": 2.0}, 20),
        # 600 waiting in 60 s are 10/s more: 1410 / 70 = 20.1.
        (10, {"cpu": 0.95, "rate": 1400.0, "p95_s": 2.0, "queue": 600.0}, 21),
        # 1050 / 70 = 15, and one more for any that wait.
        (10, {"cpu": 0.95, "rate": 1050.0, "p95_s": 2.0, "queue": 0.5}, 16),
        (10, {"cpu": 0.95, "rate": 1050.0, "p95_s": 2.0, "queue": 0.0}, 15),
        # Full slots hide the load: 500 / 70 = 7.1, but 10 x 1.0 / 0.7 = 14.3.
        (10, {"cpu": 1.0, "rate": 500.0, "queue": 5.0}, 15),
        # Not quite full: the load counts alone, 940 / 70 = 13.4.
        (10, {"cpu": 0.94, "rate": 940.0, "queue": 50.0}, 14),
        # At the limit the CPU counts: 20 x 0.95 / 0.7 = 27.1 (the rate: 100 / 70).
        (20, {"cpu": 0.95, "rate": 100.0, "p95_s": 2.0}, 28),
        # At most 8 times what is ready, whatever seems to arrive (50,000 / 70 = 715).
        (10, {"cpu": 1.0, "rate": 50_000.0}, 80),
        # … or 8 times the minimum of 2, where less is ready.
        (1, {"cpu": 1.0, "rate": 50_000.0}, 16),
        (0, {"cpu": 1.0, "rate": 50_000.0}, 16),
        # A queue without load that what is ready works off by itself: 60 / 60 = 1/s. None.
        (10, {"cpu": 0.2, "rate": 100.0, "queue": 60.0}, None),
        # Exactly what is ready is no more: 700 / 70 = 10.
        (10, {"cpu": 0.2, "rate": 690.0, "queue": 600.0, "p95_s": 2.0}, None),
        (10, {"cpu": 0.2, "rate": 691.0, "queue": 600.0, "p95_s": 2.0}, 11),
        # No rate: full slots serve 10 x 100 = 1000/s, 1000 / 70 = 14.3.
        (10, {"cpu": 1.0, "rate": NAN}, 15),
        # Neither rate nor CPU, but a queue: all slots must be busy; 1000 + 600 / 60 → 14.4.
        (10, {"cpu": NAN, "rate": NAN, "queue": 600.0}, 15),
        # Rate, errors and duration: 1400 / 70 = 20.
        (10, {"cpu": NAN, "queue": NAN, "rate": 1400.0, "p95_s": 2.0}, 20),
        # Any other figure confirms it.
        (10, {"cpu": 0.96, "queue": NAN, "p95_s": NAN, "error_rate": 0.1, "rate": 5e4}, 80),
        (10, {"cpu": NAN, "queue": 500.0, "p95_s": NAN, "rate": 5e4}, 80),
        (10, {"cpu": NAN, "queue": NAN, "p95_s": 0.6, "rate": 5e4}, 80),
        # A rate that nothing confirms asks for 10 / 0.7 = 14.3 at most, one for 1 / 0.7.
        (10, {"cpu": NAN, "queue": NAN, "p95_s": NAN, "rate": 50_000.0}, 15),
        (10, {"cpu": NAN, "queue": NAN, "p95_s": NAN, "rate": 1001.0}, 15),
        (0, {"cpu": NAN, "queue": NAN, "p95_s": NAN, "rate": 50_000.0}, 2),
    ],
)
def test_the_target_carries_what_arrives_and_works_the_backlog_off(
    ready: int, figures: dict[str, float], target: int | None
) -> None:
    service = make_service(desired=10, ready=ready)
    alarm = emergency(service, viewed(make_window(**figures)), SIMPLE, 1.0, settings=SETTINGS)
    assert (None if alarm is None else alarm.target) == target


def test_a_service_twice_as_slow_needs_twice_as_many() -> None:
    seen = viewed(make_window(cpu=0.95, rate=700.0, p95_s=2.0))
    # 700 x 2 / 70 = 20
    alarm = emergency(make_service(), seen, SIMPLE, 2.0, settings=SETTINGS)
    assert alarm is not None
    assert alarm.target == 20
    # No rate: 10 slots-full of work, each request twice as long: 500/s, twice the need: 14.3.
    blind = viewed(make_window(cpu=1.0, rate=NAN))
    alarm = emergency(make_service(), blind, SIMPLE, 2.0, settings=SETTINGS)
    assert alarm is not None
    assert (alarm.target, alarm.evidence["request_rate"]) == (15, 500.0)


@pytest.mark.parametrize(
    ("hot", "confirm", "confidence", "trigger_s"),
    [
        ([True, True, True], 2, 1.0, NOW_S - 13.0),
        ([False, True, True], 2, 0.8, NOW_S - 8.0),
        ([True, False, True], 2, 0.8, NOW_S - 13.0),
        ([True, True, False], 2, 0.8, NOW_S - 13.0),
        ([False, False, True], 2, None, None),
        ([False, False, True], 1, 0.6, NOW_S - 3.0),
        ([True, True, False], 3, None, None),
    ],
)
def test_so_many_of_three_samples_must_agree(hot, confirm, confidence, trigger_s) -> None:  # type: ignore[no-untyped-def]
    window = make_window(cpu=0.5, rate=2000.0)
    window["cpu"][-3:] = np.where(hot, 1.0, 0.5)
    settings = SETTINGS.model_copy(update={"confirm": confirm})
    alarm = emergency(make_service(), viewed(window), SIMPLE, 1.0, settings=settings)
    if confidence is None:
        assert alarm is None
    else:
        assert alarm is not None
        assert alarm.confidence == pytest.approx(confidence)
        assert alarm.trigger_s == trigger_s


def test_older_samples_than_three_do_not_count() -> None:
    window = make_window(cpu=1.0, rate=2000.0)
    window["cpu"][-2:] = 0.5
    assert emergency(make_service(), viewed(window), SIMPLE, 1.0, settings=SETTINGS) is None


def test_an_alarm_shows_the_figures_that_it_goes_by() -> None:
    window = make_window(cpu=1.0, rate=2000.0, p95_s=3.0, error_rate=0.1, queue=500.0)
    alarm = emergency(make_service(), viewed(window), SIMPLE, 1.0, settings=SETTINGS)
    assert alarm is not None
    assert (alarm.service, alarm.reason) == ("api", Reason.EMERGENCY)
    assert alarm.evidence == {
        "cpu": 1.0,
        "request_rate": 2000.0,
        "p95_s": 3.0,
        "error_rate": 0.1,
        "queue_depth": 500.0,
        "ready": 10.0,
    }


@pytest.mark.parametrize(
    ("rate", "slowdown", "unserved"),
    [
        (1400.0, 1.0, 400.0),  # ten instances serve 1000
        (1400.0, 2.0, 900.0),  # twice as slow, 500
        (1400.0, 0.5, 400.0),  # never faster than specified
        (900.0, 1.0, 0.0),
        (NAN, 1.0, 0.0),  # half the slots are busy: 500/s, all of them served
    ],
)
def test_what_a_drowning_caller_holds_back(rate: float, slowdown: float, unserved: float) -> None:
    seen = viewed(make_window(cpu=0.5, rate=rate))
    assert unserved_rate(make_service(), seen, slowdown, 40) == pytest.approx(unserved)


@pytest.mark.parametrize("ready", [0, 1])
@pytest.mark.parametrize(("rate", "is_drowning"), [(74.9, False), (75.0, True)])
def test_what_could_be_served_is_at_least_what_one_instance_can(
    ready: int, rate: float, is_drowning: bool
) -> None:
    assert drowning(sample(0.99, rate=rate), make_spec(), ready, SETTINGS) is is_drowning


def test_of_a_caller_of_which_nothing_is_known_nothing_is_held_back() -> None:
    seen = viewed(make_window(cpu=NAN, rate=NAN, queue=NAN))
    assert unserved_rate(make_service(), seen, 1.0, 40) == 0.0


@pytest.mark.parametrize(
    ("target", "most", "slowdown", "unserved"),
    [
        (13, 1000, 1.0, 300.0),  # three more than the ten that are ready serve 300
        (40, 12, 1.0, 200.0),  # there are never more than two more
        (13, 1000, 2.0, 150.0),
        (10, 1000, 1.0, 0.0),
        (9, 1000, 1.0, 0.0),
        (40, 8, 1.0, 0.0),
    ],
)
def test_a_caller_passes_on_no_more_than_what_it_asks_for_can_serve(
    target: int, most: int, slowdown: float, unserved: float
) -> None:
    service = make_service(make_spec(max_instances=most))
    seen = viewed(make_window(cpu=1.0, rate=1e6))
    assert unserved_rate(service, seen, slowdown, target) == pytest.approx(unserved)


@pytest.mark.parametrize(
    ("queue", "p95_s", "target"),
    [
        # Answered after 3 s: twice as long at 1000/s are 6000, in 60 s 100/s; 1100 / 70 = 15.7.
        (5999.0, 3.0, 16),
        (1e12, 3.0, 16),
        (1e12, 0.5, 15),  # 1000/s for the SLO's 0.5 s, twice: 1000, in 60 s 16.7/s; 14.5
        (1e12, 0.0, 15),  # a response time below the SLO counts as the SLO
        (12_000.0, 6.0, 18),  # 1200 / 70 = 17.1
        (6000.0, NAN, 16),
        # Without a response time what arrives in half a minute counts: 30,000; 1500 / 70 = 21.4.
        (12_000.0, NAN, 18),
        (29_999.0, NAN, 22),
        (1e12, NAN, 22),
    ],
)
def test_a_queue_counts_as_far_as_the_response_time_bears_it_out(
    queue: float, p95_s: float, target: int
) -> None:
    window = make_window(cpu=0.99, rate=1000.0, queue=queue, p95_s=p95_s)
    alarm = emergency(make_service(), viewed(window), SIMPLE, 1.0, settings=SETTINGS)
    assert alarm is not None
    assert alarm.target == target


@pytest.mark.parametrize(("ready", "target"), [(10, 15), (1, 2), (0, 2)])
def test_after_the_loss_of_the_cpu_an_emergency_asks_for_no_more_than_comfort_takes(
    ready: int, target: int
) -> None:
    service = make_service(ready=ready)
    looked = viewed(make_window(cpu=NAN, rate=50_000.0, p95_s=3.0, queue=900.0))
    alarm = emergency(service, looked, SIMPLE, 1.0, settings=SETTINGS, measures=CPU)
    assert alarm is not None
    assert (alarm.target, alarm.evidence[UNCONFIRMED]) == (target, 1.0)
    trusted = emergency(service, looked, SIMPLE, 1.0, settings=SETTINGS)
    assert trusted is not None
    assert trusted.target > target
    assert UNCONFIRMED not in trusted.evidence


@pytest.mark.parametrize(("measures", "target"), [(None, 24), (CPU, 15), (RATE, 15)])
def test_nor_after_the_loss_of_the_rate_where_that_tells_how_busy_a_service_is(
    measures: int | None, target: int
) -> None:
    """Full instances serve 1000/s, 600/s join the queue, 3000 wait: 1650 / 70 = 23.6."""
    window = make_window(cpu=NAN, rate=NAN, p95_s=3.0)
    window["queue_depth"][-3:] = 900.0, 3000.0, 6000.0
    looked = viewed(window)
    alarm = emergency(make_service(), looked, SIMPLE, 1.0, settings=SETTINGS, measures=measures)
    assert alarm is not None
    assert (alarm.target, UNCONFIRMED in alarm.evidence) == (target, measures is not None)


@pytest.mark.parametrize(
    ("changes", "is_one"),
    [
        ({}, False),
        ({"rate": NAN}, False),
        ({"error_rate": NAN}, False),
        ({"cpu": 0.0}, False),
        ({"cpu": 0.7499}, False),
        ({"cpu": 0.75}, True),
        ({"cpu": NAN}, True),
        ({"p95_s": 0.0}, False),
        ({"p95_s": 0.4999}, False),
        ({"p95_s": 0.5}, True),
        ({"p95_s": NAN}, True),
        ({"error_rate": 0.0199}, False),
        ({"error_rate": 0.02}, True),
    ],
)
def test_a_queue_and_a_rate_beside_free_slots_are_no_emergency(
    changes: dict[str, float], is_one: bool
) -> None:
    """A quarter of the slots is free, and all are answered, in time (0.5 s)."""
    free = {"cpu": 0.6, "rate": 5000.0, "queue": 900.0, "p95_s": 0.2}
    looked = viewed(make_window(**(free | changes)))
    alarm = emergency(make_service(), looked, SIMPLE, 1.0, settings=SETTINGS)
    assert (alarm is not None) is is_one


@pytest.mark.parametrize(
    ("cpus", "is_one"),
    [((0.5, 0.6, 1.0), True), ((0.5, 1.0, 0.6), True), ((1.0, 0.5, 0.6), False)],
)
def test_of_a_surge_that_has_just_begun_one_drowning_sample_with_full_slots_is_enough(
    cpus: tuple[float, ...], is_one: bool
) -> None:
    """Oldest first; nobody waits yet in the oldest."""
    window = make_window(rate=5000.0, queue=900.0)
    window["cpu"][-3:], window["queue_depth"][-3] = cpus, 0.0
    window["request_rate"][-3] = 600.0
    alarm = emergency(make_service(), viewed(window), SIMPLE, 1.0, settings=SETTINGS)
    assert (alarm is not None) is is_one


@pytest.mark.parametrize(("cpu", "target"), [(0.0, 80), (0.96, 80), (math.inf, 15)])
def test_any_share_is_a_cpu_and_infinity_is_none(cpu: float, target: int) -> None:
    looked = viewed(make_window(cpu=cpu, rate=50_000.0, p95_s=3.0, queue=900.0))
    alarm = emergency(make_service(), looked, SIMPLE, 1.0, settings=SETTINGS, measures=CPU)
    assert alarm is not None
    assert alarm.target == target


@pytest.mark.parametrize(("without", "target"), [(0, 80), (1, 80), (2, 15), (3, 15)])
def test_as_many_samples_with_the_cpu_have_to_agree_as_confirm_an_emergency(
    without: int, target: int
) -> None:
    window = make_window(cpu=1.0, rate=50_000.0, p95_s=3.0, queue=900.0)
    if without:
        window["cpu"][-without:] = NAN
    alarm = emergency(make_service(), viewed(window), SIMPLE, 1.0, settings=SETTINGS, measures=CPU)
    assert alarm is not None
    assert alarm.target == target


@pytest.mark.parametrize(
    ("ready", "rate", "extra", "slowdown", "target"),
    [
        (10, 500.0, 900.0, 1.0, 20),  # 1400 / 70
        (10, 500.0, 200.0, 1.0, None),  # 700 / 70 = 10: there already
        (10, 500.0, 201.0, 1.0, 11),
        (10, 500.0, 200.0, 2.0, 20),  # 700 x 2 / 70
        (10, 0.0, 50_000.0, 1.0, 80),  # at most 8 times what is ready
        (0, 500.0, 50_000.0, 1.0, 16),  # or the minimum of 2
        # It does not drown, so it serves what arrives: 1000 at most; 1100 / 70, 600 x 2 / 70.
        (10, 65_000.0, 100.0, 1.0, 16),
        (10, 65_000.0, 100.0, 2.0, 18),
        (10, NAN, 700.0, 1.0, 18),  # half the slots of ten: 500; 1200 / 70 = 17.1
    ],
)
def test_a_callee_is_sized_for_what_will_be_passed_on(
    ready, rate, extra, slowdown, *, target
) -> None:  # type: ignore[no-untyped-def]
    seen = viewed(make_window(cpu=0.5, rate=rate))
    service = make_service(desired=10, ready=ready)
    alarm = passed_on(
        service, seen, SIMPLE, slowdown, extra_rate=extra, trigger_s=NOW_S - 9.0, settings=SETTINGS
    )
    assert (None if alarm is None else alarm.target) == target
    if alarm is not None:
        assert (alarm.reason, alarm.confidence) == (Reason.EMERGENCY, 0.5)
        assert alarm.trigger_s == NOW_S - 9.0
        assert alarm.evidence["passed_on_rate"] == extra


@pytest.mark.parametrize(("extra", "target"), [(300.0, 12), (500.0, 15), (5000.0, 15)])
def test_what_an_unconfirmed_emergency_passes_on_asks_for_no_more_than_comfort_takes(
    extra: float, target: int
) -> None:
    """800 / 70 = 11.4, and 10 / 0.7 = 14.3 at most."""
    alarm = passed_on(
        make_service(), viewed(make_window(rate=500.0)), SIMPLE, 1.0,
        extra_rate=extra, trigger_s=NOW_S, settings=SETTINGS, unconfirmed=True,
    )  # fmt: skip
    assert alarm is not None
    assert (alarm.target, alarm.evidence[UNCONFIRMED]) == (target, 1.0)


@pytest.mark.parametrize("ready", [0, 1])
def test_of_one_instance_at_most_one_more_is_asked_for_so(ready: int) -> None:
    alarm = passed_on(
        make_service(ready=ready), viewed(make_window(rate=500.0)), SIMPLE, 1.0,
        extra_rate=500.0, trigger_s=NOW_S, settings=SETTINGS, unconfirmed=True,
    )  # fmt: skip
    assert alarm is not None
    assert alarm.target == 2


def test_where_nothing_tells_what_arrives_a_callee_is_taken_to_be_as_busy_as_it_should_be() -> None:
    seen = viewed(make_window(cpu=NAN, rate=NAN))
    # 10 x 100 x 0.7 = 700, and 700 more: 1400 / 70
    alarm = passed_on(
        make_service(), seen, SIMPLE, 1.0, extra_rate=700.0, trigger_s=NOW_S, settings=SETTINGS
    )
    assert alarm is not None
    assert (alarm.target, alarm.evidence["request_rate"]) == (20, pytest.approx(700.0))


@pytest.mark.parametrize(("slowdown", "rate"), [(1.0, 1000.0), (2.0, 500.0), (0.5, 1000.0)])
def test_one_sample_of_a_queue_alone_takes_what_is_ready_to_be_full(slowdown, rate) -> None:  # type: ignore[no-untyped-def]
    window = make_window(cpu=NAN, rate=NAN)
    window["queue_depth"][-1] = 900.0
    settings = SETTINGS.model_copy(update={"confirm": 1})
    alarm = emergency(make_service(), viewed(window), SIMPLE, slowdown, settings=settings)
    if slowdown < 1.0:
        assert alarm is None  # 1000 x 0.5 / 70 = 7.1
        return
    assert alarm is not None
    # The median of the queue is 0, so nothing tells what arrives: 10 full instances, 14.3.
    assert (alarm.target, alarm.evidence["request_rate"]) == (15, rate)
    assert alarm.evidence["queue_depth"] == 0.0


@pytest.mark.parametrize(("ready", "times", "most"), [(3, 2.5, 7), (0, 8.0, 8), (1, 8.0, 8)])
def test_no_more_whole_instances_than_so_many_times_what_is_ready(
    ready: int, times: float, most: int
) -> None:
    spec = make_spec(min_instances=0)
    window = make_window(cpu=1.0, rate=1e5, queue=1e5, p95_s=9.0)
    service = make_service(spec, ready=ready, desired=max(ready, 1), window=window)
    settings = EmergencySettings(most_at_once=times)
    alarm = passed_on(
        service, viewed(window), SIMPLE, 1.0, extra_rate=1e9, trigger_s=NOW_S, settings=settings
    )
    assert alarm is not None
    assert alarm.target == most
