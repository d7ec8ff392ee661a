"""The monitor in the live shell: what it says, keeps and sends, and that it harms nobody."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from engine.model import MonitoringSession, Plan
from engine.monitoring.alerts.machine import AlertNotice, Alerts
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import MonitorStage
from engine.monitoring.monitor import Monitor
from engine.monitoring.sessions import OWN, ended, session_of
from engine.monitoring.settings import MonitorSettings
from engine.ports.store import RowKind
from engine.runtime import watch as watching
from engine.runtime.watch import MONITOR, LiveMonitor, deliver
from tests.unit.engine.runtime.conftest import SPEC, LiveWorld


def made(**settings: Any) -> LiveMonitor:
    """A monitor that takes any sample for old, so that there is something to find."""
    quick = {"group_wait_s": 0.0, "resolve_after_s": 0.0}
    monitor = Monitor((SPEC,), MonitorSettings(stale_after_s=1.0, **settings))
    return LiveMonitor(MonitorStage(monitor, Alerts((SPEC,), AlertSettings(**quick))))


class Taker:
    """A receiver that refuses `refusals` times, and then takes."""

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.notices: list[AlertNotice] = []
        self.closed = False

    async def send(self, notice: AlertNotice) -> None:
        if self.refusals:
            self.refusals -= 1
            raise OSError("it is down")
        self.notices.append(notice)

    async def close(self) -> None:
        self.closed = True


def run(world: LiveWorld, controller: Any, watch: LiveMonitor, duration_s: float = 60.0) -> None:
    shell = world.shell(controller, duration_s=duration_s)
    shell.watch = watch
    asyncio.run(shell.run())


def test_what_it_finds_is_in_the_status_the_history_and_the_events(
    world: LiveWorld, scripted: Any
) -> None:
    run(world, scripted(Plan(cycle=True)), made())
    monitor = world.status()["monitor"]
    assert [one["kind"] for one in monitor["findings"]] == ["no_samples"]
    assert [one["service"] for one in monitor["alerts"]] == [SPEC.name]
    (finding,) = world.rows(RowKind.FINDING)
    assert json.loads(finding.content)["state"] == "began"
    assert [json.loads(row.content)["kind"] for row in world.rows(RowKind.NOTICE)] == ["triggered"]
    assert "finding_began" in [event[1] for event in world.notes.events]


def test_a_monitor_that_raises_is_a_trouble_and_the_engine_goes_on(
    world: LiveWorld, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = made()

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a rule of somebody's")

    monkeypatch.setattr(watch.stage, "turn", fail)
    run(world, scripted(Plan(cycle=True)), watch)
    status = world.status()
    assert status["troubles"][MONITOR] == ["RuntimeError: a rule of somebody's"]
    assert status["steps"] > 5
    assert status["skipped"] == 0


def test_a_restarted_engine_goes_on_with_its_incidents(world: LiveWorld, scripted: Any) -> None:
    run(world, scripted(Plan(cycle=True)), made())
    (before,) = world.status()["monitor"]["alerts"]
    run(world, scripted(Plan(cycle=True)), made(), 30.0)
    (after,) = world.status()["monitor"]["alerts"]
    assert (after["id"], after["opened_s"]) == (before["id"], before["opened_s"])
    assert len(world.rows(RowKind.NOTICE)) == 1


def test_a_session_that_was_asked_for_is_kept_over_a_restart(
    world: LiveWorld, scripted: Any
) -> None:
    run(world, scripted(Plan(cycle=True)), made(), 30.0)
    (own,) = world.status()["monitor"]["sessions"]
    assert (own["id"], own["status"]) == (OWN, "running")
    assert MONITOR not in world.status()["troubles"]
    world.desk.ask(ended(session_of(own), "ada", world.status()["time_s"]))
    world.desk.ask(MonitoringSession("s-1", (), 20.0, ("no_samples",), own["since_s"]))
    for _ in range(2):
        run(world, scripted(Plan(cycle=True)), made(), 60.0)
        monitor = world.status()["monitor"]
        assert [(one["id"], one["status"]) for one in monitor["sessions"]] == [
            (OWN, "ended"), ("s-1", "running"),
        ]  # fmt: skip
        assert [one["looks"] for one in monitor["sessions"]] == [0, 3]
        assert monitor["every_s"] == 20.0


def test_what_no_session_watches_is_a_trouble(world: LiveWorld, scripted: Any) -> None:
    over = MonitoringSession(OWN, (), 5.0, (), 0.0, until_s=1.0)
    world.desk.ask(over)
    run(world, scripted(Plan(cycle=True)), made(), 30.0)
    assert world.status()["troubles"][MONITOR] == [f"no monitoring session watches {SPEC.name}"]
    assert world.status()["monitor"]["looks"] == 0


def test_a_memory_of_another_kind_is_a_trouble_and_it_begins_anew(
    world: LiveWorld, scripted: Any
) -> None:
    run(world, scripted(Plan(cycle=True)), made())
    kept = json.loads(world.memory())
    world.put_memory(json.dumps({**kept, "beside": "nonsense"}))
    watch = made()
    run(world, scripted(Plan(cycle=True)), watch, 30.0)
    assert world.status()["monitor"]["looks"] > 0


def test_a_receiver_that_is_down_is_asked_again_until_it_takes_it(
    world: LiveWorld, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "AGAIN_S", 0.001)
    watch, taker = made(), Taker(refusals=3)
    run(world, scripted(Plan(cycle=True)), watch)
    (waiting,) = watch.stage.waiting

    async def until_taken() -> None:
        task = asyncio.create_task(deliver(watch, {"on-call": taker}, lambda: waiting.made_s))
        while not taker.notices:
            await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(until_taken())
    assert [notice.id for notice in taker.notices] == [waiting.notice.id]
    assert watch.stage.waiting == ()
    assert watch.troubles == {}
    assert taker.closed
