"""A service as it is seen in a step: which rate it goes by, and what the emergency path is told."""

from __future__ import annotations

import math

import pytest

from engine.decide.observe import Scope, Seen, observe
from engine.decide.recommend.emergency import UNCONFIRMED
from engine.decide.traits import traits
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
