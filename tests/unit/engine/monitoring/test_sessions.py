"""Monitoring sessions: what they let the monitor look at, how often, and of what it speaks."""

from __future__ import annotations

import math
from typing import Any

import pytest

from engine.model import MonitoringSession, Observation
from engine.monitoring.alerts.machine import Alerts
from engine.monitoring.alerts.settings import AlertSettings
from engine.monitoring.beside import MonitorStage
from engine.monitoring.findings import FindingKind, Findings
from engine.monitoring.sessions import (
    OWN,
    ended,
    session_document,
    session_of,
    wrong_with,
)
from tests.unit.engine.monitoring.conftest import API, DATABASE, Platform, make_monitor

NAMES = ("api", "database")


def session(name: str, *services: str, every_s: float = 5.0, **other: Any) -> MonitoringSession:
    return MonitoringSession(name, services, every_s, other.pop("kinds", ()), 0.0, **other)


class Watched:
    """A stage before a made platform; what each look was shown is written down."""

    def __init__(self) -> None:
        self.platform = Platform(make_monitor())
        self.stage = MonitorStage(make_monitor(), Alerts((API, DATABASE), AlertSettings()))
        self.sessions: tuple[MonitoringSession, ...] = ()
        self.looks: list[tuple[float, tuple[str, ...]]] = []
        inner = self.stage.monitor.step

        def step(windows: Any, outlook: Any, now_s: float, *others: Any, **more: Any) -> Findings:
            self.looks.append((now_s, tuple(one.spec.name for one in windows)))
            return inner(windows, outlook, now_s, *others, **more)

        self.stage.monitor.step = step  # type: ignore[method-assign, assignment]

    def steps(self, count: int) -> None:
        for _ in range(count):
            self.platform.step()
            now_s = self.platform.now_s
            seen = Observation(now_s, tuple(self.platform.services), self.platform.outlook)
            self.stage.turn(seen, now_s, (), self.sessions)

    def end_own(self) -> MonitoringSession:
        own = session_of(self.stage.shown()["sessions"][0])
        assert own.id == OWN
        return ended(own, "ada", self.platform.now_s)

    def lasting_kinds(self) -> set[tuple[str, str]]:
        return {(one.service, one.kind.value) for one in self.stage.findings.lasting}


@pytest.fixture
def watched() -> Watched:
    made = Watched()
    made.steps(80)
    made.looks.clear()
    return made


def test_the_monitors_own_session_watches_everything_from_the_start_on(watched: Watched) -> None:
    watched.steps(3)
    assert [names for _, names in watched.looks] == [NAMES] * 3
    (own,) = watched.stage.shown()["sessions"]
    assert (own["id"], own["services"], own["kinds"], own["status"]) == (OWN, [], [], "running")
    assert own["since_s"] == watched.stage.since_s
    assert own["looks"] == watched.stage.looks == 83


def test_a_service_that_no_session_watches_is_not_looked_at(watched: Watched) -> None:
    watched.sessions = (watched.end_own(), session("s-1", "api"))
    watched.platform.change("database", error_rate=0.5)
    watched.steps(12)
    assert {names for _, names in watched.looks} == {("api",)}
    assert "database" not in {service for service, _ in watched.lasting_kinds()}
    shown = watched.stage.shown()
    assert (shown["services"], shown["unwatched"]) == (["api"], ["database"])
    watched.sessions = (*watched.sessions, session("s-2", "database"))
    watched.steps(6)
    assert ("database", "errors") in watched.lasting_kinds()


def test_a_look_comes_as_often_as_the_quickest_session_says(watched: Watched) -> None:
    watched.sessions = (watched.end_own(), session("s-1", every_s=30.0))
    watched.steps(24)
    assert len(watched.looks) == 4
    assert watched.stage.shown()["every_s"] == 30.0
    watched.looks.clear()
    watched.sessions = (*watched.sessions, session("s-2", "api", every_s=10.0))
    watched.steps(24)
    assert len(watched.looks) == 12
    assert [one["looks"] for one in watched.stage.shown()["sessions"]][1:] == [8, 12]


def test_a_look_speaks_only_of_what_is_due_in_it(watched: Watched) -> None:
    watched.sessions = (
        watched.end_own(), session("s-1", "api"), session("s-2", "database", every_s=120.0),
    )  # fmt: skip
    watched.steps(1)
    watched.platform.change("api", error_rate=0.5)
    watched.platform.change("database", error_rate=0.5)
    watched.steps(12)
    assert {service for service, _ in watched.lasting_kinds()} == {"api"}
    watched.steps(12)
    assert ("database", "errors") in watched.lasting_kinds()
    watched.platform.change("database", error_rate=0.0)
    watched.steps(22)  # it is said until its session is due again
    assert ("database", "errors") in watched.lasting_kinds()
    watched.steps(24)
    assert ("database", "errors") not in watched.lasting_kinds()


def test_only_the_kinds_that_a_session_watches_are_said(watched: Watched) -> None:
    watched.sessions = (watched.end_own(), session("s-1", kinds=("cpu",)))
    watched.platform.change("api", error_rate=0.5, cpu=0.99, p95_s=5.0)
    watched.steps(12)
    assert watched.lasting_kinds() == {("api", "cpu")}


def test_what_nobody_watches_any_more_ends_and_its_incident_is_over(watched: Watched) -> None:
    watched.platform.change("api", error_rate=0.5)
    watched.steps(12)
    assert watched.stage.shown()["alerts"]
    watched.sessions = (watched.end_own(),)
    watched.steps(20)
    assert watched.lasting_kinds() == set()
    assert watched.stage.shown()["alerts"] == []
    assert watched.stage.unwatched() == NAMES
    watched.looks.clear()
    watched.steps(3)
    assert watched.looks == []
    assert watched.stage.shown()["every_s"] is None


def test_a_session_ends_by_itself_when_its_time_is_over(watched: Watched) -> None:
    until_s = watched.platform.now_s + 30.0
    watched.sessions = (watched.end_own(), session("s-1", until_s=until_s))
    watched.steps(12)
    assert [now_s for now_s, _ in watched.looks] == [until_s - 5.0 * k for k in range(5, 0, -1)]
    assert [one["status"] for one in watched.stage.shown()["sessions"]] == ["ended", "ended"]


def test_while_nobody_can_say_which_sessions_stand_those_known_last_hold(watched: Watched) -> None:
    watched.sessions = (watched.end_own(), session("s-1", "api"))
    watched.steps(1)
    now_s = watched.platform.now_s + 5.0
    seen = Observation(now_s, tuple(watched.platform.services), watched.platform.outlook)
    watched.stage.turn(seen, now_s, None, None)
    assert [names for _, names in watched.looks] == [("api",), ("api",)]


def test_names_of_another_release_are_left_out(watched: Watched) -> None:
    watched.sessions = (
        watched.end_own(), session("s-1", "api", "gone", kinds=("cpu", "of-tomorrow")),
    )  # fmt: skip
    watched.platform.change("api", error_rate=0.5, cpu=0.99)
    watched.steps(12)
    assert watched.lasting_kinds() == {("api", "cpu")}


@pytest.mark.parametrize(
    ("services", "every_s", "kinds", "complaint"),
    [
        (["apj"], 5.0, [], 'services: "apj" is not allowed (api, database); did you mean api?'),
        (["api"], 3.0, [], "every_s: 3 is not allowed (5 … 3600 seconds in steps of 5)"),
        (["api"], 12.0, [], "every_s: 12 is not allowed (5 … 3600 seconds in steps of 5)"),
        ([], 3605.0, [], "every_s: 3605 is not allowed (5 … 3600 seconds in steps of 5)"),
        ([], math.nan, [], "every_s: nan is not allowed (5 … 3600 seconds in steps of 5)"),
        ([], 5.0, ["cpus"], 'kinds: "cpus" is not allowed (cpu, memory, '),
    ],
)
def test_what_no_session_can_have_is_named_with_what_is_allowed(
    services: list[str], every_s: float, kinds: list[str], complaint: str
) -> None:
    assert str(wrong_with(services, every_s, kinds, NAMES)).startswith(complaint)


@pytest.mark.parametrize("kinds", [[], [kind.value for kind in FindingKind]])
@pytest.mark.parametrize("every_s", [5.0, 10.0, 3600.0])
def test_what_a_session_can_have_is_taken(kinds: list[str], every_s: float) -> None:
    assert wrong_with(NAMES, every_s, kinds, NAMES) is None
    assert wrong_with((), every_s, kinds, NAMES) is None


@pytest.mark.parametrize("until_s", [math.inf, 50.0])
def test_a_session_that_was_shown_can_be_read(until_s: float) -> None:
    own = session(
        "s-1", "api", kinds=("cpu",), until_s=until_s, requested_by="ada", why="a try",
        ended_by="bob",
    )  # fmt: skip
    assert session_of(session_document(own, 10.0)) == own
