"""A service as it is seen in a step: which rate it goes by, and what the emergency path is told."""

from __future__ import annotations

import math

import pytest

from engine.decide.observe import Scope, Seen, _chance, _learned, observe
from engine.decide.recommend.emergency import UNCONFIRMED
from engine.decide.traits import traits
from engine.decide.view import view
from engine.forecast.counting import UNCOUNTED, counting
from engine.memory import Memory, ResponseMemory, ServiceMemory
from engine.model import Call, Outlook, ServiceObservation
from engine.settings import EngineSettings
from tests.unit.engine.conftest import NOW_S, make_service, make_spec, make_window
from tests.unit.engine.conftest import observe as observation_of

NAN = math.nan
SETTINGS = EngineSettings()
REMEMBERED = ServiceMemory(response=ResponseMemory(horizon_variance=(0.01,) * 4, issued=((),) * 4))


def seen(service: ServiceObservation, memory: ServiceMemory = REMEMBERED) -> Seen:
    """One service in a whole cycle, with 500 requests/s booked."""
    (one,) = observe(
        Scope(True, frozenset(), frozenset(), {}),
        Memory(services={service.spec.name: memory}),
        observation_of(service),
        platform=traits((service.spec,), SETTINGS),
        settings=SETTINGS,
        blends={},
    )
    return one


@pytest.mark.parametrize("rate", [0.0, 0.5])
def test_a_rate_of_nothing_that_busy_slots_speak_against_is_none(rate: float) -> None:
    """Ten instances that are half busy serve 500 requests/s; a rate is at most 1.5 times off.

    What is bounded teaches nothing: the busy slots do, which say what is booked.
    """
    one = seen(make_service(window=make_window(cpu=0.5, rate=rate)))
    assert one.view.request_rate == pytest.approx(500.0 / 1.5)
    assert one.response.updated_s == NOW_S - 3.0
    assert (one.response.level, one.response.surge) == (0.0, 0.0)


def test_the_chance_of_counting_is_in_a_measured_rate_alone() -> None:
    looked = view(make_service(window=make_window(rate=100.0)), NOW_S, 45.0)
    rates = [row[3] for row in looked.rows]
    assert _chance(looked, 100.0) == counting(rates, looked.spacing_s, 3) != UNCOUNTED
    assert _chance(looked, 101.0) == _chance(looked, 99.0) == UNCOUNTED


def test_it_is_taken_for_no_error_of_the_forecasts_that_are_judged() -> None:
    """Five seconds of 500 requests a second that do not scatter, and of such that do."""
    due = (((NOW_S - 10.0, math.log(500.0)),),) * 4
    own = REMEMBERED.response._replace(issued=due, updated_s=NOW_S - 18.0, scatter=1.0)
    window = make_window(cpu=0.5, rate=500.0)
    judged = seen(make_service(window=window), REMEMBERED._replace(response=own)).response
    assert judged.issued == ((),) * 4
    assert judged.counted == pytest.approx([0.0165 * 0.4487 / 2500.0] * 4, rel=0.01)
    smooth = own._replace(scatter=0.0)
    judged = seen(make_service(window=window), REMEMBERED._replace(response=smooth)).response
    assert judged.counted == (0.0,) * 4


LATELY = {"request_rate": NOW_S - 60.0}
SURGED = REMEMBERED.response._replace(surge=math.log(0.5))


@pytest.mark.parametrize(
    ("cpu", "rate", "own", "learned"),
    [
        # 500 are booked; ten instances that are 30 % busy serve 300, as bounds no rate of a half.
        (0.34, 0.5, REMEMBERED, 340.0),
        (0.33, 0.5, REMEMBERED, 0.0),  # less than 500 / 1.5
        (0.33, 0.5, REMEMBERED._replace(response=SURGED), 330.0),  # half as much came before that
        (0.17, 0.5, REMEMBERED._replace(response=SURGED), 170.0),
        (0.16, 0.5, REMEMBERED._replace(response=SURGED), 0.0),
        # A rate that is borne out is learned as it is measured.
        (0.34, 300.0, REMEMBERED, 300.0),
        # Where nobody measures it, of a busier day as much as half more.
        (0.79, NAN, REMEMBERED, 750.0),
        (0.74, NAN, REMEMBERED, 740.0),
        (0.79, NAN, REMEMBERED._replace(measured_s=LATELY), 0.0),
        (0.79, NAN, REMEMBERED._replace(measured_s={"request_rate": NOW_S - 3603.0}), 750.0),
        (0.79, NAN, REMEMBERED._replace(measured_s={"request_rate": NOW_S - 3602.9}), 0.0),
        (0.33, NAN, REMEMBERED, 0.0),
        # Full slots say nothing, and a rate that cannot fill them even at a twentieth is none.
        (0.9, 45.0, REMEMBERED, 45.0),
        (0.9, 44.9, REMEMBERED, 0.0),
        (0.9, NAN, REMEMBERED, 0.0),
    ],
)
def test_what_is_learned_of_a_rate(
    cpu: float, rate: float, own: ServiceMemory, *, learned: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rates: list[float] = []

    def note(response: ResponseMemory, _outlook: Outlook, _row: int, rate: float, **_: object):  # type: ignore[no-untyped-def]
        rates.append(rate)
        return response

    monkeypatch.setattr("engine.decide.observe.schedule.observe", note)
    seen(make_service(make_spec(slo_p95_s=9.0), window=make_window(cpu=cpu, rate=rate)), own)
    assert rates == ([pytest.approx(learned)] if learned else [])


@pytest.mark.parametrize(
    ("measured_s", "slowdown"),
    [
        ({}, 1.3),  # twice 0.1 s, and 30 % of the way from 1
        ({"error_rate": NOW_S - 3603.0}, 1.3),
        ({"error_rate": NOW_S - 3602.9}, 1.0),
    ],
)
def test_errors_that_were_just_lost_teach_no_slowness(
    measured_s: dict[str, float], slowdown: float
) -> None:
    api = make_spec(calls=(Call("database", 1.0),), slo_p95_s=9.0)
    window = make_window(cpu=0.9, rate=450.0, error_rate=NAN, p95_s=9.0)
    services = (make_service(api, window=window), make_service(make_spec("database")))
    own = REMEMBERED._replace(measured_s=measured_s)
    one, _ = observe(
        Scope(True, frozenset(), frozenset(), {}),
        Memory(services={"api": own, "database": REMEMBERED}),
        observation_of(*services),
        platform=traits(tuple(service.spec for service in services), SETTINGS),
        settings=SETTINGS,
        blends={},
    )
    assert one.slowdown == pytest.approx(slowdown)


@pytest.mark.parametrize(("expected", "cpu", "learned"), [(1.0, 0.001, 0.0), (1.5, 0.0015, 1.5)])
def test_of_few_requests_the_busy_slots_say_nothing(
    expected: float, cpu: float, learned: float
) -> None:
    """A tenth of a slot is in use by chance: of one a second a wrong rate teaches nothing."""
    service = make_service(window=make_window(cpu=cpu, rate=5000.0))
    looked = view(service, NOW_S, 45.0)
    assert _learned(service, ServiceMemory(), looked, expected)[2] == pytest.approx(learned)


def test_from_a_rate_that_was_wrong_before_the_slots_filled_nothing_is_learned() -> None:
    """A tenth of 5000/s arrives, so ten full instances need 4 more for comfort: 10 / 0.7 = 14.3."""
    window = make_window(rate=5000.0)
    window["cpu"][-3:], window["queue_depth"][-3:], window["p95_s"][-3:] = 1.0, 90.0, 3.0
    one = seen(make_service(window=window))
    assert one.view.request_rate == pytest.approx(500.0)
    assert one.response == REMEMBERED.response
    assert one.alarm is not None
    assert one.alarm.target == 15
    window["request_rate"][:-3] = 500.0  # a surge of ten times is one
    one = seen(make_service(window=window))
    assert one.view.request_rate == 5000.0
    assert one.response != REMEMBERED.response
    assert one.alarm is not None
    assert one.alarm.target == 72  # (5000 + 90 / 60) / 70


@pytest.mark.parametrize(
    ("measured_s", "is_unconfirmed"),
    [({}, False), ({"cpu": NOW_S - 7200.0}, False), ({"cpu": NOW_S - 60.0}, True)],
)
def test_an_emergency_without_a_cpu_is_unconfirmed_only_where_one_was_measured_lately(
    measured_s: dict[str, float], is_unconfirmed: bool
) -> None:
    window = make_window(cpu=NAN, rate=2000.0, p95_s=3.0, error_rate=0.3, queue=400.0)
    memory = REMEMBERED._replace(measured_s={"p95_s": NOW_S - 8.0} | measured_s)
    alarm = seen(make_service(window=window), memory).alarm
    assert alarm is not None
    assert (UNCONFIRMED in alarm.evidence) is is_unconfirmed


def test_who_is_woken_by_its_own_requests_is_passed_nothing_on() -> None:
    window = make_window(cpu=NAN, memory=NAN, rate=3.0, p95_s=NAN, error_rate=NAN)
    asleep = make_service(make_spec(min_instances=0), desired=0, window=window)
    alarm = seen(asleep).alarm
    assert alarm is not None
    assert alarm.evidence["passed_on_rate"] == 0.0


DROWNING = {"rate": 2000.0, "p95_s": 3.0, "error_rate": 0.3, "queue": 400.0}
BOTH_LATELY = {"cpu": NOW_S - 60.0, "request_rate": NOW_S - 60.0}


def caller(name: str, cpu: float) -> ServiceObservation:
    """Ten that drown: what they ask for makes more than 500 requests/s of room each."""
    calls = (Call("database", 3.0),)
    return make_service(make_spec(name, calls=calls), window=make_window(cpu=cpu, **DROWNING))


@pytest.mark.parametrize(
    ("cpus", "target"),
    [
        # Its cpu is lost: it asks for five more, which pass on 1500/s; 2000 / 70 = 28.6.  As its
        # samples are wrong, the callee's ten are brought to 70 %, and no further: 14.3.
        ((NAN,), 15),
        ((NAN, NAN), 15),
        # Full slots confirm it: all that is unserved is passed on, 3000/s; 3500 / 0.7 = 50.
        ((1.0,), 50),
        # One that is confirmed is enough for all: 5000 / 70 = 71.4.
        ((NAN, 1.0), 72),
        ((1.0, NAN), 72),
        # One that does not drown passes nothing on, and confirms nothing either.
        ((NAN, 0.3), 15),
    ],
)
def test_what_callers_pass_on_is_confirmed_as_well_as_their_own_emergencies(
    cpus: tuple[float, ...], target: int
) -> None:
    callers = [caller(f"web-{k}", cpu) for k, cpu in enumerate(cpus)]
    for k, cpu in enumerate(cpus):
        if cpu == 0.3:
            callers[k] = make_service(callers[k].spec, window=make_window(cpu=cpu))
    services = (*callers, make_service(make_spec("database")))
    memory = REMEMBERED._replace(measured_s=BOTH_LATELY)
    *_, callee = observe(
        Scope(True, frozenset(), frozenset(), {}),
        Memory(services={service.spec.name: memory for service in services}),
        observation_of(*services),
        platform=traits(tuple(service.spec for service in services), SETTINGS),
        settings=SETTINGS,
        blends={},
    )
    assert callee.alarm is not None
    assert callee.alarm.target == target
    assert (UNCONFIRMED in callee.alarm.evidence) is (target == 15)


@pytest.mark.parametrize(
    ("absent", "is_unconfirmed"),
    [((), True), (("cpu",), True), (("cpu", "request_rate"), False)],
)
def test_without_a_cpu_it_is_the_rate_that_confirms_an_emergency(
    absent: tuple[str, ...], is_unconfirmed: bool
) -> None:
    window = make_window(cpu=NAN, rate=NAN, p95_s=3.0, error_rate=0.3, queue=400.0)
    measured_s = {name: at_s for name, at_s in BOTH_LATELY.items() if name not in absent}
    measured_s |= {"p95_s": NOW_S - 8.0}
    alarm = seen(make_service(window=window), REMEMBERED._replace(measured_s=measured_s)).alarm
    assert alarm is not None
    assert (UNCONFIRMED in alarm.evidence) is is_unconfirmed
