"""Monitoring sessions over HTTP: who starts one, which are listed, who ends one."""

from __future__ import annotations

from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.client import EngineClient
from engine.model import MonitoringSession
from engine.monitoring.sessions import MOST_SESSIONS, OWN, session_document
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine

BASE = "/api/scalability/monitoring/sessions"


@pytest.fixture
def watching(engine: Engine) -> Engine:
    """An engine whose own session runs."""
    own = MonitoringSession(OWN, (), 5.0, (), engine.now_s - 600.0, requested_by=OWN)
    shown = session_document(own, engine.now_s) | {"looks": 120, "looked_s": engine.now_s}
    engine.context.board.status(
        {
            "time_s": engine.now_s, "acts": True, "lead": 1, "steps": 1, "skipped": 0,
            "troubles": {}, "awaiting": [],
            "monitor": {"sessions": [shown], "services": ["api", "database"], "unwatched": []},
        }
    )  # fmt: skip
    return engine


def standing(engine: Engine) -> list[MonitoringSession]:
    return [
        one.request
        for one in engine.context.desk.asked()[0]
        if isinstance(one.request, MonitoringSession)
    ]


def listed(client: TestClient, headers: dict[str, str]) -> dict[str, Any]:
    given = client.get(BASE, headers=headers)
    assert given.status_code == 200, given.text
    return {one["id"]: one for one in given.json()["items"]}


def test_a_session_is_started_listed_and_ended_and_all_of_it_is_in_the_audit_log(
    client: TestClient, watching: Engine
) -> None:
    who = watching.token("ann", Role.OPERATOR)
    asked = {"services": ["api"], "every_s": 10, "kinds": ["errors"], "for_s": 600, "why": "a try"}
    given = client.post(BASE, json=asked, headers=who)
    assert given.status_code == 201, given.text
    name = given.json()["id"]
    (one,) = standing(watching)
    assert (one.id, one.services, one.every_s, one.kinds) == (name, ("api",), 10.0, ("errors",))
    assert (one.since_s, one.until_s) == (watching.now_s, watching.now_s + 600.0)
    there = listed(client, who)
    assert [there[name]["status"], there[OWN]["looks"]] == ["running", 120]
    assert there[name] == given.json()
    gone = client.delete(f"{BASE}/{name}", headers=who)
    assert (gone.status_code, gone.json()["ended_by"]) == (200, "ann")
    assert listed(client, who)[name]["status"] == "ended"
    assert client.delete(f"{BASE}/{name}", headers=who).status_code == 409
    watching.context.courier.try_to_carry()
    rows = [(r["action"], r["actor"], r["target"], r["outcome"]) for r in watching.rows()]
    assert rows[-2:] == [
        ("watch", "ann", "api", "accepted"),
        ("end_watch", "ann", "api", "accepted"),
    ]


def test_the_engines_own_session_is_ended_by_who_commands(
    client: TestClient, watching: Engine
) -> None:
    operator = watching.token("ann", Role.OPERATOR)
    assert client.delete(f"{BASE}/{OWN}", headers=operator).status_code == 403
    assert standing(watching) == []
    commander = watching.token("cy", Role.INCIDENT_COMMANDER)
    assert client.delete(f"{BASE}/{OWN}", headers=commander).status_code == 200
    (over,) = standing(watching)
    assert (over.id, over.until_s, over.ended_by) == (OWN, watching.now_s, "cy")
    watching.now_s += 10 * 86_400.0
    assert listed(client, operator)[OWN]["status"] == "ended"


@pytest.mark.parametrize(
    ("role", "services", "asked", "status"),
    [
        (Role.VIEWER, None, ["api"], 403),
        (Role.ADMINISTRATOR, None, [], 403),
        (Role.OPERATOR, ["api"], ["api", "database"], 400),
        (Role.OPERATOR, ["api"], [], 403),
        (Role.OPERATOR, None, ["apj"], 400),
    ],
)
def test_a_session_that_somebody_may_not_have_leaves_nothing_behind(
    client: TestClient,
    watching: Engine,
    role: Role,
    services: list[str] | None,
    *,
    asked: list[str],
    status: int,
) -> None:
    who = watching.token("ann", role, services=services)
    given = client.post(BASE, json={"services": asked}, headers=who)
    assert given.status_code == status, given.text
    assert standing(watching) == []


@pytest.mark.parametrize(
    ("asked", "field", "allowed"),
    [
        ({"every_s": 7}, "every_s", "5"),
        ({"every_s": 7200}, "every_s", "3,600"),
        ({"kinds": ["noise"]}, "kinds", "response_time"),
        ({"services": ["apj"]}, "services", "api, database"),
    ],
)
def test_what_cannot_be_watched_is_refused_with_what_is_allowed(
    client: TestClient, watching: Engine, asked: dict[str, Any], field: str, *, allowed: str
) -> None:
    given = client.post(BASE, json=asked, headers=watching.token("ann", Role.OPERATOR))
    (wrong,) = given.json()["errors"]
    assert (given.status_code, wrong["field"]) == (400, field)
    assert allowed in given.json()["detail"]


def test_who_may_see_one_service_sees_no_session_of_another(
    client: TestClient, watching: Engine
) -> None:
    everybody = watching.token("cy", Role.INCIDENT_COMMANDER)
    ids = [
        client.post(BASE, json={"services": names}, headers=everybody).json()["id"]
        for names in (["database"], ["api", "database"])
    ]
    who = watching.token("ann", Role.OPERATOR, services=["api"])
    there = listed(client, who)
    assert set(there) == {OWN, ids[1]}
    assert there[ids[1]]["services"] == ["api"]
    assert [client.delete(f"{BASE}/{one}", headers=who).status_code for one in ids] == [404, 404]


def test_there_are_at_most_so_many_sessions(client: TestClient, watching: Engine) -> None:
    now_s = watching.now_s
    for k in range(MOST_SESSIONS - 1):
        watching.context.desk.ask(MonitoringSession(f"s-{k}", ("api",), 5.0, (), now_s))
    who = watching.token("ann", Role.OPERATOR)
    assert client.post(BASE, json={}, headers=who).status_code == 409
    assert client.delete(f"{BASE}/s-3", headers=who).status_code == 200
    assert client.post(BASE, json={}, headers=who).status_code == 201


def test_an_engine_without_the_monitor_says_so(
    client: TestClient, everybody: dict[str, str]
) -> None:
    given = client.get(BASE, headers=everybody)
    assert given.status_code == 404
    assert "monitor.enabled" in given.json()["detail"]


def test_the_client_starts_lists_and_ends(
    client: TestClient, watching: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    who = watching.token("ann", Role.OPERATOR)
    with EngineClient("http://127.0.0.1", who["authorization"].removeprefix("Bearer ")) as asks:
        monkeypatch.setattr(asks, "_http", client)
        client.headers.update(who)
        begun = asks.start_monitoring(["api"], every_s=15.0, kinds=["cpu"], why="a try")
        assert [one.id for one in asks.monitoring_sessions().items] == [OWN, begun.id]
        assert asks.end_monitoring(begun.id).status == "ended"
