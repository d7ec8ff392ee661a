"""The event stream: replay, limits of what is seen, and its end."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from starlette.requests import Request
from starlette.testclient import TestClient

from engine.api.events import EventKind, EventRing
from engine.api.routes.events import EventStream
from engine.model import ActionResult, Plan, Status
from engine.security.identity import authenticated
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action

API = "/api/scalability"


def parsed(text: str) -> list[dict[str, Any]]:
    """The events of a stream."""
    events = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.split("\n") if ": " in line)
        if "data" in lines:
            events.append(lines | {"data": json.loads(lines["data"])})
    return events


def stream(client: TestClient, headers: dict[str, str], last: str = "") -> list[dict[str, Any]]:
    more = {"last-event-id": last} if last else {}
    answer = client.get(f"{API}/events?once=true", headers={**headers, **more})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/event-stream")
    return parsed(answer.text)


def test_it_begins_with_all_that_there_is(client: TestClient, everybody: dict[str, str]) -> None:
    events = stream(client, everybody)
    assert [event["event"] for event in events] == ["reset"]
    assert set(events[0]["data"]["services"]) == {"api", "database"}


def test_who_was_away_gets_what_came_meanwhile_each_once(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    last = stream(client, everybody)[-1]["id"]
    engine.step(Plan(actions=(action("d1"),), awaiting=(action("d2"),)), awaiting=["d2"])
    board = engine.context.board
    board.result(ActionResult("d1", Status.COMPLETED, engine.now_s))
    board.event(engine.now_s, "trouble_started", "metrics", "metrics", detail="it is silent")
    board.event(engine.now_s, "engine_restarted", "engine", "goes on", detail="")
    events = stream(client, everybody, last)
    kinds = [event["event"] for event in events]
    assert kinds == ["decision", "approval", "samples", "result", "trouble", "alert"]
    assert events[3]["data"]["outcome"] == "completed"
    assert stream(client, everybody, events[2]["id"]) == events[3:]
    assert stream(client, everybody, events[-1]["id"]) == []


@pytest.mark.parametrize("last", ["other-3", "x", "-1", "{epoch}-999", "{epoch}-x", "{epoch}--1"])
def test_an_id_that_says_nothing_begins_anew(
    client: TestClient, engine: Engine, everybody: dict[str, str], last: str
) -> None:
    given = last.format(epoch=engine.context.board.events.epoch)
    assert [event["event"] for event in stream(client, everybody, given)] == ["reset"]


def test_who_was_away_for_too_long_begins_anew(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    last = stream(client, everybody)[-1]["id"]
    for _ in range(engine.context.config.limits.events + 1):
        engine.context.board.events.publish(EventKind.ALERT, "", {})
    assert [event["event"] for event in stream(client, everybody, last)] == ["reset"]


def test_who_has_fallen_behind_begins_anew_only_if_he_still_may(engine: Engine) -> None:
    shown = engine.token("pat", Role.VIEWER)["authorization"]
    for _ in range(engine.context.config.limits.events + 2):
        engine.context.board.events.publish(EventKind.ALERT, "", {})

    context = engine.context
    principal = asyncio.run(authenticated(context.identity, shown, time.time()))

    async def next_words() -> bytes:
        request = Request({"type": "http", "headers": [(b"authorization", shown.encode())]})
        behind = EventStream(context, principal, request, "", once=False)
        _, content = await behind._next(0, asyncio.get_running_loop().create_future())
        return content

    assert b"event: reset" in asyncio.run(next_words())
    engine.tokens.revoke("pat", time.time())
    assert b"not valid any more" in (words := asyncio.run(next_words()))
    assert b"event: " not in words


def test_who_is_limited_to_some_services_hears_of_those_alone(
    client: TestClient, engine: Engine
) -> None:
    limited = engine.token("eve", Role.VIEWER, services=["database"])
    last = stream(client, limited)[-1]["id"]
    engine.step(Plan(actions=(action("d1"), action("d2", "database"))))
    engine.context.board.event(engine.now_s, "trouble_started", "store", "store", detail="slow")
    events = stream(client, limited, last)
    assert [event["event"] for event in events] == ["decision", "samples"]
    assert events[0]["data"]["service"] == "database"
    assert set(events[1]["data"]["services"]) == {"database"}


def test_so_many_listen_and_no_more(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    engine.context.streams = engine.context.config.limits.streams
    answer = client.get(f"{API}/events?once=true", headers=everybody)
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:wedtwin:problem:busy"


def test_a_ring_costs_the_same_whoever_listens() -> None:
    ring = EventRing(3, "e")
    for _ in range(10):
        ring.publish(EventKind.ALERT, "", {"a": 1})
    assert ring.newest == 10
    assert ring.place("e-7") == 7
    assert ring.place("e-6") is None
    assert ring.after(6, None) is None
    newest, text = ring.after(7, None) or (0, b"")
    assert (newest, text.count(b"event: alert")) == (10, 3)
    assert ring.after(10, None) == (10, b"")
    newest, text = ring.after(7, None, most=2) or (0, b"")
    assert (newest, text.count(b"event: alert")) == (9, 2)


def test_whoever_waits_is_woken_from_any_thread() -> None:
    async def waits() -> float:
        ring = EventRing(10, "e")
        loop = asyncio.get_running_loop()
        ring.serve_in(loop)
        gone: asyncio.Future[None] = loop.create_future()
        began = time.monotonic()
        waiting = asyncio.create_task(ring.wait(0, 600.0, gone))
        await asyncio.sleep(0)
        await asyncio.to_thread(ring.publish, EventKind.ALERT, "", {})
        await waiting
        await ring.wait(0, 600.0, gone)  # there is one already
        await ring.wait(1, 0.001, gone)
        leaving = asyncio.create_task(ring.wait(1, 600.0, gone))
        await asyncio.sleep(0)
        gone.set_result(None)
        await leaving
        await ring.wait(1, 600.0, gone)  # whoever has gone waits for nothing
        late = asyncio.create_task(ring.wait(1, 600.0, loop.create_future()))
        await asyncio.sleep(0)
        await asyncio.to_thread(ring.end)
        await late
        return time.monotonic() - began

    assert asyncio.run(waits()) < 300.0


def test_nobody_is_woken_in_a_loop_that_is_over() -> None:
    ring = EventRing(10, "e")

    async def serve() -> None:
        ring.serve_in(asyncio.get_running_loop())

    asyncio.run(serve())
    ring.publish(EventKind.ALERT, "", {})
    assert ring.newest == 1
