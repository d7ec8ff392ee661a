"""Emergency access while the store takes nothing: what protects is taken, once, and carried in."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.adapters.cabinet_files import FOLDER, FileCabinet
from engine.adapters.store import aside as asides
from engine.adapters.store.aside import Aside, StoreWithAside
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.api.routes import actions
from engine.model import ManualFloor, ManualScale, Pause, Plan
from engine.ports.desk import Asked
from engine.ports.store import RowKind
from engine.security.break_glass import LONGEST_S, BreakGlass
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action

SCALE = "/api/scalability/actions/scale"


@contextmanager
def held(engine: Engine) -> Iterator[None]:
    """Somebody else holds the store's file, so that nothing can be written."""
    engine.context.desk.asked()  # it is there
    other = sqlite3.connect(engine.state / "store.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.rollback()
        other.close()


@pytest.fixture
def emergency(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Headers of somebody with emergency access, for whom the store is not waited for long."""
    monkeypatch.setattr(actions, "URGENT_S", 0.1)
    book = BreakGlass(FileCabinet(engine.state / FOLDER))
    code = book.seal("pat", now_s=time.time(), sealed_by="ada", for_s=LONGEST_S)
    token = book.use(code, "nobody can log in, and guests wait", now_s=time.time())
    return {"authorization": f"Bearer {token}"}


def standing(engine: Engine) -> list[tuple[str, int]]:
    asked, _ = engine.context.desk.asked()
    return [
        (one.request.service, one.request.instances)
        for one in asked
        if isinstance(one.request, ManualScale)
    ]


def kept_rows(engine: Engine) -> list[str]:
    return [kept.row.id for kept in engine.context.desk.history(kinds=[RowKind.SCALE])]


def accepted(engine: Engine) -> list[int]:
    return [
        row["after"]["instances"] for row in engine.rows()
        if (row["action"], row["outcome"]) == ("scale_out", "accepted")
    ]  # fmt: skip


def test_emergency_access_scales_out_while_the_store_takes_nothing_and_it_is_there_once_after(
    client: TestClient, engine: Engine, emergency: dict[str, str]
) -> None:
    aside = engine.context.aside
    assert aside is not None
    body = {"service": "api", "instances": 9, "why": "guests wait"}
    key = {**emergency, "idempotency-key": "one"}
    with held(engine):
        answer = client.post(SCALE, headers=key, json=body)
        assert answer.status_code == 202, answer.text
        assert "the store takes nothing" in answer.json()["warnings"][-1]
        assert client.post(SCALE, headers=key, json=body).json() == answer.json()
        assert accepted(engine) == [9]
        [entry] = aside.waiting()
        assert [scale.id for scale in entry.scales] == [answer.json()["id"]]
        # The API was started anew and remembers no reply: the same request is the same action.
        engine.context.replies = type(engine.context.replies)(time.time)
        engine.context.board.manual._actions.clear()
        assert client.post(SCALE, headers=key, json=body).json()["id"] == entry.scales[0].id
        assert len(aside.waiting()) == 1
        other = client.post(SCALE, headers=key, json=body | {"instances": 12})
        assert other.status_code == 422
    kept = (engine.state / asides.NAME).read_bytes()
    aside.carry(engine.context.desk)
    assert aside.waiting() == ()
    assert standing(engine) == [("api", 9)]
    # Whoever carried it was killed before it could say so, and somebody asked anew meanwhile.
    operator = engine.token("kim", Role.OPERATOR)
    later = client.post(SCALE, headers=operator, json=body | {"instances": 11})
    assert later.status_code == 202
    (engine.state / asides.NAME).write_bytes(kept)
    aside.carry(engine.context.desk)
    assert standing(engine) == [("api", 11)]
    assert kept_rows(engine) == [answer.json()["id"], later.json()["id"]]
    engine.context.courier.carry()
    assert accepted(engine) == [9, 11]


@pytest.mark.parametrize(
    ("who", "instances"),
    [("emergency", 3), ("operator", 9), ("commander", 9)],
)
def test_what_does_not_protect_or_is_asked_for_without_emergency_access_waits_for_the_store(
    client: TestClient, engine: Engine, emergency: dict[str, str], who: str, *, instances: int
) -> None:
    headers = {
        "emergency": emergency,
        "operator": engine.token("kim", Role.OPERATOR),
        "commander": engine.token("lou", Role.INCIDENT_COMMANDER, Role.VIEWER),
    }[who]
    spoiled = engine.state / "store.db"
    engine.context.desk.asked()
    for path in engine.state.glob("store.db*"):
        path.unlink()
    spoiled.write_bytes(b"no database at all" * 999)
    answer = client.post(SCALE, headers=headers, json={"service": "api", "instances": instances})
    assert answer.status_code == 503
    assert engine.context.aside is not None and engine.context.aside.waiting() == ()


def test_whoever_asks_next_comes_after_what_waited(
    client: TestClient, engine: Engine, emergency: dict[str, str]
) -> None:
    body = {"service": "api", "instances": 9, "why": "guests wait"}
    with held(engine):
        assert client.post(SCALE, headers=emergency, json=body).status_code == 202
    later = client.post(SCALE, headers=engine.token("kim", *Role), json=body | {"instances": 12})
    assert later.status_code == 202
    assert standing(engine) == [("api", 12)]
    assert engine.context.aside is not None and engine.context.aside.waiting() == ()


# --- the file


def scale(name: str, service: str = "api", instances: int = 9) -> ManualScale:
    return ManualScale(f"manual-{name}", service, instances, 2e9, "pat", "guests wait", 4)


def test_a_line_that_was_cut_off_is_nobodys_and_the_next_one_is_whole(tmp_path: Path) -> None:
    aside = Aside(tmp_path)
    aside.add([(scale("a"), ""), (scale("b", "database"), "")])
    whole = (tmp_path / asides.NAME).read_bytes()
    for end in range(1, len(whole)):
        (tmp_path / asides.NAME).write_bytes(whole + whole[:end])
        assert len(aside.waiting()) == 1
        aside.add([(scale("c"), "")])
        assert [entry.scales[0].id for entry in aside.waiting()] == ["manual-a", "manual-c"]


def test_a_line_that_nobody_can_read_is_put_aside_and_keeps_no_other(
    tmp_path: Path, engine: Engine
) -> None:
    aside = Aside(tmp_path)
    aside.add([(scale("a"), "")])
    with (tmp_path / asides.NAME).open("ab") as file:
        file.write(b"sealed with a key that is gone\n")
    aside.add([(scale("b", "database"), "")])
    content = (tmp_path / asides.NAME).read_bytes()
    aside.carry(engine.context.desk)
    assert kept_rows(engine) == ["manual-a", "manual-b"]
    assert aside.waiting() == ()
    assert [path.read_bytes() for path in tmp_path.glob("*.unread-*")] == [content]


def test_what_comes_while_others_are_carried_stays(tmp_path: Path, engine: Engine) -> None:
    aside = Aside(tmp_path)
    aside.add([(scale("a"), "")])
    desk = engine.context.desk

    class Slow:
        def row(self, *given: Any) -> Any:
            aside.add([(scale("b"), "")])
            return desk.row(*given)

        def ask_together(self, asked: list[tuple[Asked, str]]) -> list[str]:
            return desk.ask_together(asked)

    aside.carry(Slow())  # type: ignore[arg-type]
    assert [entry.scales[0].id for entry in aside.waiting()][-1] == "manual-b"
    aside.carry(desk)
    assert aside.waiting() == ()
    assert kept_rows(engine) == ["manual-a", "manual-b"]


# --- the shell's half


class Silent(SqlStore):
    """A store that fails, or never answers."""

    way = ""

    async def requests(self, now_s: float) -> Any:
        if self.way == "hangs":
            await asyncio.sleep(3600.0)
        if self.way == "fails":
            raise OSError("the database is gone")
        return await super().requests(now_s)


@pytest.mark.parametrize("way", ["fails", "hangs"])
def test_the_shell_acts_on_what_waits_and_says_that_the_store_is_silent(
    engine: Engine, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    monkeypatch.setattr(asides, "WAIT_S", 0.05)
    desk = engine.context.desk
    assert isinstance(desk, SqlDesk)
    desk.ask(scale("before", "database", 5))
    desk.ask(scale("old", instances=6))
    inner, aside = Silent(desk.database), Aside(engine.state)

    async def run() -> None:
        store = StoreWithAside(inner, desk, aside)
        first = await store.requests(1e9)
        assert {one.id for one in first.scales} == {"manual-before", "manual-old"}
        inner.way = way
        if way == "fails":  # as ever, while nothing waits
            with pytest.raises(OSError, match="gone"):
                await store.requests(1e9)
        aside.add([(replace(scale("new")), "")])
        monkeypatch.setattr(Aside, "carry", lambda *_: None)  # nor does the desk take it
        seen = await store.requests(1e9)
        assert {one.id for one in seen.scales} == {"manual-before", "manual-new"}
        assert seen.aside == {"manual-new"}
        assert "cannot be read" in seen.complaints[0]
        assert (await store.requests(3e9)).aside == frozenset()  # it is over
        monkeypatch.undo()
        inner.way = ""
        await store.close() if way == "hangs" else None
        again = StoreWithAside(inner, desk, aside)
        back = await again.requests(1e9)
        assert {one.id for one in back.scales} == {"manual-before", "manual-new"}
        assert back.aside == frozenset() and aside.waiting() == ()

    asyncio.run(run())
    assert json.loads(desk.history(kinds=[RowKind.SCALE])[-1].row.content)["id"] == "manual-new"


FLOOR = "/api/scalability/floors"
ANSWERS = "SELECT content FROM answers ORDER BY decision_id"


def changes(client: TestClient, headers: dict[str, str]) -> dict[str, Any]:
    """What people ask for besides manual actions, and the answer to each."""
    api = "/api/scalability"
    asked = {
        "floor": ("POST", "/floors", {"service": "api", "instances": 8, "for_s": 600.0}),
        "drop_floor": ("DELETE", "/floors/database", None),
        "pause": ("POST", "/pauses", {"service": "api", "for_s": 600.0}),
        "resume": ("DELETE", "/pauses/database", None),
        "approve": ("POST", "/approvals/d1/approve", {}),
        "reject": ("POST", "/approvals/d2/reject", {"why": "a test's load"}),
    }
    return {
        name: client.request(method, api + path, headers=headers, json=body)
        for name, (method, path, body) in asked.items()
    }


def test_while_the_store_takes_nothing_floors_pauses_and_answers_are_refused_whole(
    client: TestClient, engine: Engine
) -> None:
    who = engine.token("kim", *Role)
    desk = engine.context.desk
    assert isinstance(desk, SqlDesk)
    desk.database.write(lambda to: to.execute("PRAGMA busy_timeout = 50")).result()
    desk.ask(ManualFloor("database", 5, engine.now_s + 900.0))
    desk.ask(Pause("database", expires_s=engine.now_s + 900.0))
    waiting = (action("d1"), action("d2"))
    engine.step(Plan(awaiting=waiting), awaiting=["d1", "d2"])
    before = desk.asked()
    with held(engine):
        for name, answer in changes(client, who).items():
            assert answer.status_code == 503, name
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.headers["retry-after"] == "5"
            assert answer.json()["type"] == "urn:wedtwin:problem:store"
        # What stands is shown: to look takes no place in the file.
        assert len(client.get(FLOOR, headers=who).json()["items"]) == 1
    assert desk.asked() == before
    assert desk.database.read(lambda at: list(at.execute(ANSWERS))) == []
    # Nobody has said anything that he could not say again, and everybody reads what became of it.
    failed = [row["action"] for row in engine.rows() if row["outcome"] == "failed"]
    assert failed == ["floor", "drop_floor", "pause", "resume", "approve", "reject"]
    assert {name: answer.status_code for name, answer in changes(client, who).items()} == {
        "floor": 201, "drop_floor": 200, "pause": 201, "resume": 200, "approve": 200, "reject": 200,
    }  # fmt: skip
    texts = desk.database.read(lambda at: list(at.execute(ANSWERS)))
    assert [json.loads(text)["approved"] for [text] in texts] == [True, False]


def test_of_two_who_approve_at_the_same_moment_one_is_asked_to_look_again(
    client: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine.major = True
    engine.step(Plan(awaiting=(action("d1", after=3),)), awaiting=["d1"])
    anna, bert = engine.token("anna", Role.APPROVER), engine.token("bert", Role.APPROVER)
    path = "/api/scalability/approvals/d1/approve"
    before = engine.context.approvals.so_far("d1")
    assert client.post(path, headers=anna, json={}).json()["complete"] is False
    with monkeypatch.context() as patched:  # bert had looked before anna spoke
        patched.setattr(engine.context.approvals, "so_far", lambda _: before)
        answer = client.post(path, headers=bert, json={})
    assert (answer.status_code, answer.json()["type"]) == (409, "urn:wedtwin:problem:conflict")
    assert client.post(path, headers=bert, json={}).json()["complete"] is True
