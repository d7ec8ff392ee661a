"""A service as it is seen in a step: which rate it goes by, and what the emergency path is told."""

from __future__ import annotations

import math

import pytest

from engine.decide.observe import Scope, Seen, observe
from engine.decide.recommend.emergency import UNCONFIRMED
from engine.decide.traits import traits
from engine.memory import Memory, ResponseMemory, ServiceMemory
from engine.model import ServiceObservation
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
    """Ten instances that are half busy serve 500 requests/s; a rate is at most 1.5 times off."""
    one = seen(make_service(window=make_window(cpu=0.5, rate=rate)))
    assert one.view.request_rate == pytest.approx(500.0 / 1.5)
    assert one.response == REMEMBERED.response  # what is bounded teaches nothing


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
