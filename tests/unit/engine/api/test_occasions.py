"""Occasions over HTTP: what one would take, who proposes, who approves, who takes it back."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.adapters.store.halves import SqlStore
from engine.adapters.store.sqlite import SqliteFile
from engine.model import Occasion
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, Kept, RowKind
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine

BASE = "/api/scalability/occasions"


def asked(engine: Engine, **other: Any) -> dict[str, Any]:
    return {
        "name": "TV spot", "times": {"api": 3}, "starts_s": engine.now_s + 3600.0,
        "ends_s": engine.now_s + 5400.0, **other,
    }  # fmt: skip


def standing(engine: Engine) -> list[Occasion]:
    return [
        one.request for one in engine.context.desk.asked()[0] if isinstance(one.request, Occasion)
    ]


def test_it_is_proposed_approved_by_somebody_else_and_taken_back_all_in_the_audit_log(
    client: TestClient, engine: Engine
) -> None:
    ann = engine.token("ann", Role.OPERATOR, Role.APPROVER)
    given = client.post(BASE, json=asked(engine, why="a spot"), headers=ann)
    assert given.status_code == 201, given.text
    name = given.json()["id"]
    assert given.json()["status"] == "proposed"
    refused = client.post(f"{BASE}/{name}/approve", json={}, headers=ann)
    assert refused.status_code == 403
    assert "somebody else approves it" in refused.json()["detail"]
    bob = engine.token("bob", Role.APPROVER)
    approved = client.post(f"{BASE}/{name}/approve", json={}, headers=bob)
    assert (approved.status_code, approved.json()["approved_by"]) == (200, "bob")
    assert standing(engine)[0].counts
    assert client.post(f"{BASE}/{name}/approve", json={}, headers=bob).status_code == 409
    listed = client.get(BASE, headers=bob).json()["items"]
    assert [(one["id"], one["status"]) for one in listed] == [(name, "approved")]
    gone = client.delete(f"{BASE}/{name}", headers=ann)
    assert (gone.json()["status"], gone.json()["preview"]) == ("taken_back", None)
    assert client.delete(f"{BASE}/{name}", headers=ann).status_code == 409
    engine.context.courier.try_to_carry()
    rows = [(r["action"], r["actor"], r["target"], r["outcome"]) for r in engine.rows()]
    assert [row for row in rows if row[0] != "login"] == [
        ("floor", "ann", "api", "accepted"), ("approve", "ann", "api", "refused"),
        ("approve", "bob", "api", "accepted"), ("drop_floor", "ann", "api", "accepted"),
    ]  # fmt: skip


def test_who_proposed_it_may_think_better_of_it_until_it_is_approved(
    client: TestClient, engine: Engine
) -> None:
    # The engine's world is long ago for the machine: what is over there says the engine's time.
    status = json.dumps({"time_s": engine.now_s, "clock": "world"})
    asyncio.run(SqlStore(SqliteFile(engine.state)).show_status(status, Fence(1)))
    ann, bob = engine.token("ann", Role.PLANNER), engine.token("bob", Role.APPROVER)
    first, second = (client.post(BASE, json=asked(engine), headers=ann).json()["id"] for _ in "12")
    assert client.delete(f"{BASE}/{first}", headers=bob).status_code == 403  # not his
    assert client.delete(f"{BASE}/{first}", headers=ann).json()["status"] == "taken_back"
    client.post(f"{BASE}/{second}/approve", json={}, headers=bob).raise_for_status()
    assert client.delete(f"{BASE}/{second}", headers=ann).status_code == 403  # it stands now


def test_a_dry_run_says_what_it_would_take_and_leaves_nothing(
    client: TestClient, engine: Engine
) -> None:
    who = engine.token("ann", Role.PLANNER)
    given = client.post(BASE, json=asked(engine, dry_run=True), headers=who)
    assert given.status_code == 200, given.text
    preview = given.json()["preview"]
    api = preview["services"]["api"]
    assert api["needed"] > api["usual"]
    assert preview["cost_usd"] > 0.0
    assert preview["is_ready"] is (api["ready"] >= api["needed"])
    assert standing(engine) == []


@pytest.mark.parametrize(
    ("role", "services", "other", "status"),
    [
        (Role.VIEWER, None, {}, 403),
        (Role.OPERATOR, ["database"], {}, 400),
        (Role.OPERATOR, None, {"times": {"apj": 2}}, 400),
        (Role.OPERATOR, None, {"times": {}}, 400),
        (Role.OPERATOR, None, {"times": {"api": 1}}, 400),
        (Role.OPERATOR, None, {"times": {"api": 1e9}}, 400),
        (Role.OPERATOR, None, {"sure": 0}, 400),
        (Role.OPERATOR, None, {"ends_s": 5.0}, 400),
        (Role.OPERATOR, None, {"starts_s": 1e12, "ends_s": 1e12 + 60}, 400),
    ],
)
def test_one_that_cannot_be_or_somebody_may_not_have_leaves_nothing_behind(
    client: TestClient,
    engine: Engine,
    role: Role,
    services: list[str] | None,
    *,
    other: dict[str, Any],
    status: int,
) -> None:
    who = engine.token("ann", role, services=services)
    given = client.post(BASE, json=asked(engine, **other), headers=who)
    assert given.status_code == status, given.text
    assert standing(engine) == []


def test_what_is_of_other_services_is_not_there(client: TestClient, engine: Engine) -> None:
    ann = engine.token("ann", Role.OPERATOR)
    name = client.post(BASE, json=asked(engine), headers=ann).json()["id"]
    dan = engine.token("dan", Role.OPERATOR, services=["database"])
    assert client.get(BASE, headers=dan).json()["items"] == []
    assert client.delete(f"{BASE}/{name}", headers=dan).status_code == 404
    assert client.delete(f"{BASE}/none", headers=ann).status_code == 404


def test_what_came_of_earlier_ones_of_the_same_name_is_shown_with_a_new_one(
    client: TestClient, engine: Engine
) -> None:
    for name, title, times in (("o-1", "tv spot", 2.4), ("o-2", "launch", 9.0)):
        content = {"id": name, "name": title, "starts_s": 5.0, "expected": {"api": 3.0},
                   "came": {"api": times}}  # fmt: skip
        row = HistoryRow(RowKind.OCCASION, name, 5.0, json.dumps(content))
        asyncio.run(SqlStore(SqliteFile(engine.state)).keep(Kept(rows=(row,)), Fence(1)))
    who = engine.token("ann", Role.OPERATOR)
    given = client.post(BASE, json=asked(engine, dry_run=True), headers=who)
    assert given.json()["past"] == [
        {"id": "o-1", "starts_s": 5.0, "expected": {"api": 3.0}, "came": {"api": 2.4}}
    ]
    assert given.json()["came"] is None
