"""A finding lets the engine look at everything at once: an earlier step, and nothing more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import Autoscaler
from engine.model import Observation, Plan
from engine.monitoring.alerts.machine import Alerts
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import MonitorStage
from engine.monitoring.findings import Findings, Severity
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import EarlyStepSettings, MonitorSettings
from engine.ports.infrastructure import Counts, Sighting
from engine.runtime.cycle import Cycle, Gathered
from engine.runtime.watch import LiveMonitor
from tests.unit.engine.conftest import make_outlook, make_service, make_spec
from tests.unit.engine.monitoring.conftest import Platform, make_monitor
from tests.unit.engine.runtime.conftest import SPEC, START_S, LiveWorld
from tests.unit.engine.runtime.test_cycle import OUTLOOK
from twin.world.watch import MonitorWatch

APART_S = 30.0


class Beating:
    """A controller with a cycle every 15 s, whose steps between two are nothing."""

    def __init__(self) -> None:
        self.at_once: list[bool] = []
        self.cycles_s: list[float] = []
        self.raises = False

    def step(self, observation: Observation) -> Plan:
        self.at_once.append(observation.at_once)
        if self.raises:
            raise ZeroDivisionError
        is_due = not self.cycles_s or observation.now_s - self.cycles_s[-1] >= 15.0
        whole = is_due or observation.at_once
        if whole:
            self.cycles_s.append(observation.now_s)
        return Plan(cycle=whole)

    def snapshot(self) -> str:
        return "{}"

    def restore(self, snapshot: str) -> None:
        pass


def turn(cycle: Cycle, now_s: float, *, seen: bool = True) -> None:
    sighting = Sighting({"api": Counts(4, 4, 0, 0)}, ()) if seen else None
    observation = cycle.observe(now_s, Gathered(sighting, OUTLOOK, {}))
    if observation is not None:
        cycle.decide(observation)


def hastened(cycle: Cycle, now_s: float) -> bool:
    return cycle.hasten(now_s, APART_S, "api", "critical errors")


def test_the_step_that_was_asked_for_is_a_whole_cycle_and_only_that_one() -> None:
    controller = Beating()
    cycle = Cycle(controller, (SPEC,))
    turn(cycle, START_S)
    assert hastened(cycle, START_S + 5.0)
    for k in range(1, 5):
        turn(cycle, START_S + 5.0 * k)
    assert controller.at_once == [False, True, False, False, False]
    assert controller.cycles_s == [START_S, START_S + 5.0, START_S + 20.0]
    (event,) = cycle.events()
    assert (event.kind, event.name, event.detail) == ("step_hastened", "api", "critical errors")


def test_an_early_step_that_cannot_be_made_waits_for_the_next_that_can() -> None:
    controller = Beating()
    cycle = Cycle(controller, (SPEC,))
    turn(cycle, START_S)
    assert hastened(cycle, START_S)
    turn(cycle, START_S + 5.0, seen=False)
    controller.raises = True
    turn(cycle, START_S + 10.0)
    controller.raises = False
    turn(cycle, START_S + 12.0)
    turn(cycle, START_S + 14.0)
    assert controller.at_once == [False, True, True, False]
    assert controller.cycles_s == [START_S, START_S + 12.0]


@given(st.lists(st.integers(0, 5), min_size=1, max_size=80))
def test_however_much_is_found_early_steps_are_apart_and_one_waits(asked: list[int]) -> None:
    controller = Beating()
    cycle = Cycle(controller, (SPEC,))
    given_s = []
    for k, times in enumerate(asked):
        now_s = START_S + 5.0 * k
        said = [hastened(cycle, now_s) for _ in range(times)]
        assert sum(said) <= 1
        given_s += [now_s] if any(said) else []
        turn(cycle, now_s)
    assert sum(controller.at_once) == len(given_s)
    assert all(b - a >= APART_S for a, b in pairwise(given_s))
    assert sum(bool(times) for times in asked[:1]) <= len(given_s)


def test_a_clock_that_was_set_back_keeps_nobody_from_asking() -> None:
    cycle = Cycle(Beating(), (SPEC,))
    assert hastened(cycle, START_S + 10_000.0)
    turn(cycle, START_S)
    assert hastened(cycle, START_S)


def test_the_engine_looks_at_everything_when_it_is_asked_to() -> None:
    spec = make_spec("api")
    engine = Autoscaler()
    seen = Observation(START_S, (make_service(spec, desired=10),), make_outlook(100.0))
    assert engine.step(seen).cycle
    assert not engine.step(replace(seen, now_s=START_S + 5.0)).cycle
    early = engine.step(replace(seen, now_s=START_S + 7.0, at_once=True))
    assert early.cycle
    assert early.declined
    assert not engine.step(replace(seen, now_s=START_S + 16.0)).cycle
    assert engine.step(replace(seen, now_s=START_S + 22.0)).cycle


@pytest.mark.parametrize(
    ("early", "hastens"),
    [
        ({"enabled": True, "severity": "warning"}, True),
        ({"enabled": True, "severity": "critical"}, False),
        ({"enabled": False, "severity": "warning"}, False),
    ],
)
def test_a_finding_of_the_live_monitor_lets_this_very_step_be_a_cycle(
    world: LiveWorld, early: dict[str, Any], hastens: bool
) -> None:
    settings = MonitorSettings(stale_after_s=8.0, early_step=EarlyStepSettings(**early))
    stage = MonitorStage(Monitor((SPEC,), settings), Alerts((SPEC,), AlertSettings()))
    controller = Beating()
    world.source.stopped_s = START_S + 15.0
    shell = world.shell(controller, duration_s=60.0)
    shell.watch = LiveMonitor(stage)
    asyncio.run(shell.run())
    (row,) = [event for event in world.notes.events if event[1] == "finding_began"]
    assert sum(controller.at_once) == hastens
    if hastens:
        assert row[0] in controller.cycles_s
        assert [e[0] for e in world.notes.events if e[1] == "step_hastened"] == [row[0]]


def test_the_monitor_in_the_twin_asks_as_often_as_it_finds() -> None:
    asked: list[tuple[float, float, str, str]] = []
    settings = {"early_step": EarlyStepSettings(enabled=True, apart_s=60.0)}
    platform = Platform(make_monitor(**settings))
    watch = MonitorWatch(platform.monitor, lambda *given: asked.append(given))
    looks: list[Findings] = []
    inner = watch.monitor.step

    def step(*given: Any, **named: Any) -> Findings:
        looks.append(inner(*given, **named))
        return looks[-1]

    platform.monitor = make_monitor()
    watch.monitor.step = step  # type: ignore[method-assign]
    for k in range(90):
        if k == 80:
            platform.change("api", error_rate=0.5)
        platform.step()
        watch(Observation(platform.now_s, tuple(platform.services), platform.outlook), Plan())
    began = [f for look in looks for f in look.began if f.severity is Severity.CRITICAL]
    assert began
    assert {name for _, _, name, _ in asked} <= {f.service for f in began}
    assert {given[:2] for given in asked} == {(f.noticed_s, 60.0) for f in began}


@pytest.mark.parametrize(
    ("later_s", "may"),
    [(0.0, False), (0.5, False), (29.9, False), (30.0, True), (31.0, True), (-5.0, True)],
)
def test_two_early_steps_are_so_far_apart_whatever_the_clock_does(
    later_s: float, may: bool
) -> None:
    cycle = Cycle(Beating(), (SPEC,))
    assert hastened(cycle, START_S)
    turn(cycle, START_S)
    assert hastened(cycle, START_S + later_s) is may
