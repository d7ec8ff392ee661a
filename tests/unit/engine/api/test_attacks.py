"""What an attacker would try over HTTP, and gets nothing by (docs/reference/security.md)."""

from __future__ import annotations

import contextlib
import gzip
import json
import logging
import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from engine.api.application import application
from engine.api.serving import serving
from engine.commands import audit as audit_command
from engine.config.api import ApiConfig
from engine.config.strict import validated
from engine.model import Plan
from engine.ports import desk
from engine.security import sealing, tokens, weddings
from engine.security.roles import Role
from tests.unit.engine.api.conftest import Engine, action, engine_in

API = "/api/scalability"


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    """An engine that has made a step, and listens at a port of its own where it does."""
    made = engine_in(tmp_path, ApiConfig(port=0))
    made.step()
    return made


# --- API1: objects of others


@pytest.fixture
def limited(engine: Engine) -> dict[str, str]:
    """Somebody with every role, for one service."""
    return engine.token("kim", *Role, services=["api"])


def test_somebody_of_one_service_gets_at_nothing_of_another(
    client: TestClient, engine: Engine, limited: dict[str, str]
) -> None:
    waiting = (action("d-api", "api"), action("d-database", "database"))
    engine.step(Plan(awaiting=waiting), awaiting=["d-api", "d-database"])
    statuses = {
        place: client.request(method, f"{API}{place}", headers=limited, json=body).status_code
        for method, place, body in (
            ("GET", "/services/database", None),
            ("GET", "/decisions/d-database", None),
            ("POST", "/floors", {"service": "database", "instances": 5}),
            ("DELETE", "/floors/database", None),
            ("POST", "/pauses", {"service": "database"}),
            ("POST", "/pauses", {}),
            ("DELETE", "/pauses/all-services", None),
            ("POST", "/approvals/d-database/approve", {}),
            ("POST", "/approvals/d-database/reject", {"why": "because"}),
        )
    }
    assert set(statuses.values()) <= {400, 403, 404}
    for place in ("/services", "/decisions", "/approvals", "/floors"):
        shown = client.get(f"{API}{place}", headers=limited)
        services = [row.get("service", row.get("name")) for row in shown.json()["items"]]
        assert set(services) <= {"api"}, place
    assert set(client.get(f"{API}/metrics/realtime", headers=limited).json()["services"]) == {"api"}


def test_what_is_somebody_elses_is_answered_like_what_is_not_there(
    client: TestClient, engine: Engine, limited: dict[str, str]
) -> None:
    engine.step(Plan(awaiting=(action("d-database", "database"),)), awaiting=["d-database"])
    for place in ("/decisions/", "/services/"):
        there = client.get(f"{API}{place}{'d-database' if 'dec' in place else 'database'}",
                           headers=limited)  # fmt: skip
        absent = client.get(f"{API}{place}d-nowhere", headers=limited)
        assert there.status_code == absent.status_code == 404
        assert set(there.json()) == set(absent.json())


# --- API3: properties that are nobody's to set


@pytest.mark.parametrize("extra", [
    {"requested_by": "sam"}, {"expires_s": 1e12}, {"id": "floor-x"}, {"roles": ["administrator"]},
    {"actor": "sam"}, {"approved_by": ["sam"]}, {"__proto__": {}}, {"Service": "database"},
])  # fmt: skip
def test_what_a_request_has_no_field_for_is_refused(
    client: TestClient, engine: Engine, everybody: dict[str, str], extra: dict[str, Any]
) -> None:
    body = {"service": "api", "instances": 3} | extra
    answer = client.post(f"{API}/floors", headers=everybody, json=body)
    assert answer.status_code == 400
    assert next(iter(extra)) in answer.text
    assert engine.context.desk.asked()[0] == []


def test_who_asked_is_who_showed_the_token(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    headers = everybody | {"x-user": "sam", "x-forwarded-user": "sam", "from": "sam@example.org"}
    body = {"service": "api", "instances": 3}
    assert client.post(f"{API}/floors", headers=headers, json=body).status_code == 201
    assert engine.context.desk.asked()[0][0].request.requested_by == "pat"  # type: ignore[union-attr]
    assert "sam" not in json.dumps(engine.rows())


def test_one_field_twice_is_not_two_things_to_two_readers(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    answer = client.get(f"{API}/metrics/realtime?services=api&services=database", headers=everybody)
    assert answer.status_code == 400
    two = [*everybody.items(), ("authorization", "Bearer wt_a_b")]
    assert client.get(f"{API}/services", headers=two).status_code == 401


# --- API4: resources


def test_a_body_that_is_too_large_packed_or_nested_is_refused_unread(
    client: TestClient, everybody: dict[str, str]
) -> None:
    place = f"{API}/floors"
    large = b'{"service": "' + b"a" * 70_000 + b'"}'
    headers = everybody | {"content-type": "application/json"}
    assert client.post(place, headers=headers, content=large).status_code == 413
    bomb = gzip.compress(b" " * 10_000_000)
    for coding in ("gzip", "deflate", "br", "identity, gzip"):
        packed = headers | {"content-encoding": coding}
        assert client.post(place, headers=packed, content=bomb).status_code == 415
    for nested in (b"[" * 30_000, b'{"a":' * 10_000, b'{"service":' + b"[" * 20_000):
        assert client.post(place, headers=headers, content=nested).status_code == 400


@pytest.mark.parametrize("number", ["1e400", "-1", "NaN", "Infinity", "9" * 5000, "1.5"])
def test_a_number_that_is_none_or_too_large_is_refused(
    client: TestClient, everybody: dict[str, str], number: str
) -> None:
    headers = everybody | {"content-type": "application/json"}
    content = f'{{"service": "api", "instances": {number}}}'
    assert client.post(f"{API}/floors", headers=headers, content=content).status_code == 400


def test_who_asks_too_often_is_told_when_to_come_again(tmp_path: Path) -> None:
    slow = {"reads": {"per_s": 0.01, "burst": 3}, "writes": {"per_s": 0.01, "burst": 2}}
    engine = engine_in(tmp_path, validated(ApiConfig, {"limits": slow}))
    engine.step()
    pat, sam = engine.token("pat", *Role), engine.token("sam", *Role)
    with TestClient(application(engine.context), raise_server_exceptions=False) as client:
        statuses = [client.get(f"{API}/services", headers=pat).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        again = client.get(f"{API}/services", headers=pat)
        assert int(again.headers["retry-after"]) >= 1
        assert client.get(f"{API}/services", headers=sam).status_code == 200
        body = {"service": "api", "instances": 3}
        writes = [client.post(f"{API}/floors", headers=pat, json=body).status_code
                  for _ in range(3)]  # fmt: skip
        assert writes == [201, 201, 429]


@pytest.mark.parametrize("pattern", [tokens.NAME, weddings.ID, sealing.LINE])
def test_no_pattern_takes_longer_than_its_text_is_long(pattern: re.Pattern[str]) -> None:
    for text in (
        "a" * 200_000 + "!",
        "a " * 100_000 + "!",
        "wtk_" + "a" * 200_000,
        ("." * 200_000),
    ):
        assert pattern.fullmatch(text) is None  # one that backtracks would never be done


# --- API8: paths, methods, headers


@pytest.mark.parametrize("path", [
    "//api/scalability/services", "/api/scalability//services", "/api/scalability/services/",
    "/api/scalability/./services", "/api/scalability/x/../services",
    "/api/scalability/%2e%2e/scalability/services", "/API/scalability/services",
    "/api/scalability/services;x=1", "/api/scalability/services%00", "/api/scalability/services%0a",
    "/api/scalability/services/..%2f..%2fetc%2fpasswd", "/api/scalability/services/%2e%2e",
    "/api/scalability/decisions/..%5c..%5cx", "/api/scalability/services/api%2f",
    "/docs", "/redoc", "/.env", "/admin", "/api/scalability/services/" + "a" * 3000,
])  # fmt: skip
def test_a_path_that_is_spelled_otherwise_leads_nowhere(engine: Engine, path: str) -> None:
    shown = engine.token("pat", *Role)["authorization"]
    with serving(engine.context) as url:
        answer = raw(url, f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: {shown}\r\n"
                          "Connection: close\r\n\r\n")  # fmt: skip
    assert answer.split(b" ")[1] in (b"400", b"404", b"405")
    assert b"Traceback" not in answer and b"root:" not in answer


@pytest.mark.parametrize("request_", [
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    "0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n",
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}Content-Length: +5\r\n\r\nhello",
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}Content-Length: -1\r\n\r\n",
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}X: a\rB: c\r\n\r\n",
    "POST {p} HTTP/1.1\r\nHost: x\r\n{a}X\x00: a\r\n\r\n",
    "POST {p} HTTP/1.1\r\n{a}\r\n",
    "POST {p} HTTP/1.1\r\nHost: x\r\nHost: y\r\n{a}\r\n",
    "POST {p} HTTP/9.9\r\nHost: x\r\n{a}\r\n",
    "POST {p}\r\n\r\n", "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "{a}\r\n\r\n",
])  # fmt: skip
def test_a_request_that_two_servers_could_read_differently_is_read_once_or_not_at_all(
    engine: Engine, request_: str
) -> None:
    shown = engine.token("pat", *Role)["authorization"]
    text = request_.replace("{p}", f"{API}/floors").replace("{a}", f"Authorization: {shown}\r\n")
    with serving(engine.context) as url:
        answer = raw(url, text, ends=True)
    assert answer.count(b"HTTP/1.1 ") <= 1  # nothing that was smuggled in was answered
    assert b" 20" not in answer.split(b"\r\n")[0]
    assert engine.context.desk.asked()[0] == []


@pytest.mark.parametrize("method", ["TRACE", "PUT", "PATCH", "CONNECT", "DEBUG", "OPTIONS"])
def test_a_method_that_nobody_offers_is_refused(
    client: TestClient, everybody: dict[str, str], method: str
) -> None:
    answer = client.request(method, f"{API}/services", headers=everybody)
    assert answer.status_code == 405
    assert "authorization" not in answer.text.lower()


@pytest.mark.parametrize("header", ["x-http-method-override", "x-method-override", "x-original-url",
                                    "x-rewrite-url", "x-forwarded-for"])  # fmt: skip
def test_a_header_changes_neither_method_nor_place(
    client: TestClient, engine: Engine, header: str
) -> None:
    viewer = engine.token("vic", Role.VIEWER)
    answer = client.get(f"{API}/services", headers=viewer | {header: "DELETE"})
    assert answer.status_code == 200
    refused = client.post(f"{API}/pauses", json={}, headers=viewer | {header: "/health"})
    assert refused.status_code == 403


def test_a_page_of_somebody_else_gets_nothing_out_of_a_browser(
    client: TestClient, everybody: dict[str, str]
) -> None:
    answer = client.get(f"{API}/services", headers=everybody | {"origin": "https://evil.example"})
    assert not any(name.startswith("access-control") for name in answer.headers)
    assert "set-cookie" not in answer.headers
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
    assert client.get(f"{API}/services", cookies={"authorization": "x"}).status_code == 401
    token = everybody["authorization"].split()[1]
    for name in ("access_token", "token", "authorization"):
        assert client.get(f"{API}/services?{name}={token}").status_code in (400, 401)


def test_an_answer_says_nothing_of_the_inside(
    client: TestClient, engine: Engine, everybody: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise RuntimeError("the password is hunter2")

    monkeypatch.setattr(engine.context.desk, "asked", broken)
    monkeypatch.setattr("engine.api.guard.log", logging.getLogger("test"))
    answer = client.get(f"{API}/floors", headers=everybody)
    assert answer.status_code == 500
    assert "hunter2" not in answer.text and "Traceback" not in answer.text
    assert "server" not in answer.headers


# --- the log


def test_a_text_begins_no_line_of_the_log_and_paints_no_terminal(
    client: TestClient, engine: Engine, everybody: dict[str, str],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    evil = "x\n2026-01-01 00:00:00Z  sam  approve  api  accepted\x1b[2J\u202e\x9b31m"
    body = {"service": "api", "instances": 3, "why": evil}
    status = client.post(f"{API}/floors", headers=everybody, json=body).status_code
    assert status in (201, 400)
    client.get(f"{API}/services", headers={"authorization": f"Bearer {evil!r}"})
    rows = engine.rows()
    assert len(rows) == len((engine.state / "audit" / "rows.jsonl").read_text().splitlines())
    assert audit_command.run(["show", "--state", str(engine.state)]) == 0
    shown = capsys.readouterr().out
    assert len(shown.splitlines()) == len(rows)
    assert all(letter.isprintable() or letter == "\n" for letter in shown)


def test_who_came_in_is_in_the_log_once_an_hour_and_who_failed_each_time(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    for _ in range(3):
        assert client.get(f"{API}/services", headers=everybody).status_code == 200
        client.get(f"{API}/services", headers={"authorization": "Bearer wt_a_b"})
    engine.context.wall_s = lambda: time.time() + 3600.5  # type: ignore[method-assign]
    late = engine.tokens.create("pat", Role, None, now_s=time.time(), for_s=9e3, made_by="test")[0]
    for _ in range(2):
        client.get(f"{API}/services", headers={"authorization": f"Bearer {late}"})
    logins = [(row["actor"], row["outcome"]) for row in engine.rows() if row["action"] == "login"]
    assert logins == [
        ("pat", "accepted"), ("", "refused"), ("", "refused"), ("", "refused"), ("pat", "accepted"),
    ]  # fmt: skip


def test_a_log_that_cannot_be_written_keeps_nobody_from_looking(
    client: TestClient, engine: Engine, everybody: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr(engine.context.audit, "append", full)
    assert client.get(f"{API}/services", headers=everybody).status_code == 200
    refused = engine.token("vera", Role.VIEWER)
    body = {"service": "api", "instances": 3}
    # A refusal that cannot be written down is one all the same.
    assert client.post(f"{API}/floors", headers=refused, json=body).status_code == 503
    assert engine.context.desk.asked() == ([], [])


def test_no_token_is_in_the_log_or_in_an_answer(
    client: TestClient, engine: Engine, everybody: dict[str, str]
) -> None:
    token = everybody["authorization"].split()[1]
    answers = [
        client.get(f"{API}/services", headers={"authorization": value}).text
        for value in (token, f"Basic {token}", f"Bearer {token}x", f"Bearer {token} {token}")
    ]
    assert token not in "".join(answers)
    assert token not in (engine.state / "audit" / "rows.jsonl").read_text()


def test_names_of_services_lead_to_no_file() -> None:
    for name in ("../x", "a/b", "..", "a\x00b", "-rf", "a b"):
        with pytest.raises(desk.RequestError):
            desk.check_service(name)


def raw(url: str, text: str, *, ends: bool = False) -> bytes:
    """What a server answers to these very bytes, after which nothing comes if it `ends`."""
    host, port = url.removeprefix("http://").split(":")
    answer = b""
    with socket.create_connection((host, int(port)), timeout=30.0) as plain:
        plain.sendall(text.encode("latin-1"))
        if ends:
            plain.shutdown(socket.SHUT_WR)
        with contextlib.suppress(ConnectionError, TimeoutError):
            while part := plain.recv(65_536):
                answer += part
    return answer
