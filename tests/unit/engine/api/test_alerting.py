"""What the monitor finds and the incidents, over HTTP: who sees what, and who takes them on."""

from __future__ import annotations

import math
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.model import AlertAnswer
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine

BASE = "/api/scalability"
BECAUSE = {"why": "on it"}


def finding(service: str, severity: str, noticed_s: float) -> dict[str, Any]:
    causes = [
        {"service": name, "kind": "slowness", "weight": 0.5, "words": f"{name} is slow"}
        for name in ("database", "api")
    ]
    return {
        "id": f"{service}-{severity}", "service": service, "kind": "response_time",
        "severity": severity, "watcher": "limits", "figure": "p95_s", "value": 3.0, "limit": 2.0,
        "low": None, "high": None, "confidence": 0.9, "since_s": noticed_s, "noticed_s": noticed_s,
        "weddings": 12.0, "guests": None, "causes": causes, "words": "", "recommendation": "look",
    }  # fmt: skip


def incident(service: str, opened_s: float) -> dict[str, Any]:
    return {
        "id": f"{service}.slowness-1", "service": service, "severity": "critical",
        "opened_s": opened_s, "level": 1, "levels": 3, "acknowledged_by": "",
        "acknowledged_s": None, "told_s": opened_s, "notices": 1, "findings": [f"{service}-1"],
        "words": ["slow"],
    }  # fmt: skip


@pytest.fixture
def alarmed(engine: Engine) -> Engine:
    """An engine whose monitor finds both services slow."""
    now_s = engine.now_s
    shown = {
        "since_s": now_s - 600.0, "every_s": 5.0, "looks": 120, "services": ["api", "database"],
        "watchers": ["outlier"], "silent": ["database"], "undelivered": 1, "given_up": 0,
        "receivers": {},
        "findings": [
            finding("api", "info", now_s - 60.0), finding("database", "critical", now_s - 10.0),
            finding("api", "critical", now_s - 20.0),
        ],
        "alerts": [incident("database", now_s), incident("api", now_s - 20.0)],
    }  # fmt: skip
    engine.context.board.status(
        {
            "time_s": now_s, "acts": True, "lead": 1, "steps": 1, "skipped": 0, "troubles": {},
            "awaiting": [], "monitor": shown,
        }
    )  # fmt: skip
    return engine


def standing(engine: Engine) -> list[AlertAnswer]:
    return [
        one.request
        for one in engine.context.desk.asked()[0]
        if isinstance(one.request, AlertAnswer)
    ]


def test_findings_come_with_the_worst_first(
    client: TestClient, alarmed: Engine, everybody: dict[str, str]
) -> None:
    shown = client.get(f"{BASE}/findings", headers=everybody).json()
    assert [one["id"] for one in shown["items"]] == [
        "api-critical", "database-critical", "api-info",
    ]  # fmt: skip
    assert shown["watching_since_s"] == alarmed.now_s - 600.0
    assert (shown["services"], shown["silent"]) == (["api", "database"], ["database"])


def test_who_may_see_one_service_is_told_nothing_of_another(
    client: TestClient, alarmed: Engine
) -> None:
    who = alarmed.token("ann", Role.VIEWER, services=["api"])
    shown = client.get(f"{BASE}/findings", headers=who).json()
    incidents = client.get(f"{BASE}/alerts", headers=who).json()
    assert {one["service"] for one in (*shown["items"], *incidents["items"])} == {"api"}
    assert "database" not in str(shown) + str(incidents)


def test_incidents_come_with_the_oldest_first(
    client: TestClient, alarmed: Engine, everybody: dict[str, str]
) -> None:
    shown = client.get(f"{BASE}/alerts", headers=everybody).json()
    assert [one["id"] for one in shown["items"]] == ["api.slowness-1", "database.slowness-1"]
    assert shown["undelivered"] == 1


@pytest.mark.parametrize(("verb", "escalates"), [("acknowledge", False), ("escalate", True)])
def test_an_answer_stands_for_the_engine_and_is_in_the_audit_log(
    client: TestClient, alarmed: Engine, verb: str, escalates: bool
) -> None:
    who = alarmed.token("ann", Role.OPERATOR)
    given = client.post(f"{BASE}/alerts/api.slowness-1/{verb}", json=BECAUSE, headers=who)
    assert given.status_code == 202, given.text
    (answer,) = standing(alarmed)
    assert (answer.incident, answer.service, answer.escalates) == (
        "api.slowness-1", "api", escalates,
    )  # fmt: skip
    assert (answer.requested_by, answer.why) == ("ann", "on it")
    assert alarmed.now_s < answer.expires_s < math.inf
    alarmed.context.courier.try_to_carry()
    rows = [row for row in alarmed.rows() if row["action"] == verb]
    assert [(row["actor"], row["target"], row["outcome"]) for row in rows] == [
        ("ann", "api", "accepted")
    ]


@pytest.mark.parametrize("verb", ["acknowledge", "escalate"])
@pytest.mark.parametrize(
    ("role", "services", "name", "status"),
    [
        (Role.VIEWER, None, "api.slowness-1", 403),
        (Role.COLLECTOR, None, "api.slowness-1", 403),
        (Role.OPERATOR, None, "api.slowness-2", 404),
        (Role.OPERATOR, ["api"], "database.slowness-1", 404),
    ],
)
def test_an_answer_that_nobody_may_give_leaves_nothing_behind(
    client: TestClient,
    alarmed: Engine,
    verb: str,
    role: Role,
    *,
    services: list[str] | None,
    name: str,
    status: int,
) -> None:
    who = alarmed.token("ann", role, services=services)
    given = client.post(f"{BASE}/alerts/{name}/{verb}", json=BECAUSE, headers=who)
    assert given.status_code == status, given.text
    assert standing(alarmed) == []


def test_an_answer_with_words_that_it_does_not_take_is_refused(
    client: TestClient, alarmed: Engine, everybody: dict[str, str]
) -> None:
    asked = {**BECAUSE, "for_s": 60.0}
    given = client.post(f"{BASE}/alerts/api.slowness-1/acknowledge", json=asked, headers=everybody)
    assert given.status_code == 400
    assert standing(alarmed) == []


@pytest.mark.parametrize("path", ["findings", "alerts"])
def test_an_engine_without_the_monitor_says_so(
    client: TestClient, everybody: dict[str, str], path: str
) -> None:
    given = client.get(f"{BASE}/{path}", headers=everybody)
    assert given.status_code == 404
    assert "monitor.enabled" in given.json()["detail"]
