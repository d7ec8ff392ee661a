"""Bookings over HTTP, of a real server: pages, ETags, signatures, and worse answers."""

from __future__ import annotations

import asyncio
import hashlib
import http.server
import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine.adapters.bookings import http_json
from engine.adapters.bookings.feed import Feed
from engine.adapters.notices.webhook import signature
from engine.config.strict import ConfigError
from engine.ports import contract
from tests.unit.engine.adapters.bookings.conftest import NOW_S, SPECS, at

SECRET = "sixteen letters at least"
COLUMNS = {"id": "id", "starts": "at", "people": {"guest": "guests"}, "status": "state"}


@dataclass
class Crm:
    """A server with three bookings on two pages; what it answers can be replaced."""

    url: str = ""
    rows: list[dict[str, Any]] = field(
        default_factory=lambda: [
            {"id": f"A{k}", "at": "2027-06-19T16:00Z", "guests": 200, "bride": "Jane Doe"}
            for k in range(3)
        ]
    )
    answers: dict[str, tuple[int, bytes]] = field(default_factory=dict)
    """By path, in place of what it has."""
    sent: list[int] = field(default_factory=list)
    secret: str = SECRET
    stamp_s: float = 0.0
    """So far from now is when it signed."""
    hangs: threading.Event | None = None

    def page(self, path: str) -> tuple[int, bytes]:
        if path in self.answers:
            return self.answers[path]
        if path == "/bookings":
            return 200, json.dumps({"items": self.rows[:2], "next": "/bookings?page=2"}).encode()
        return 200, json.dumps({"items": self.rows[2:], "next": None}).encode()


@pytest.fixture
def crm() -> Iterator[Crm]:
    served = Crm()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if served.hangs is not None:
                served.hangs.wait(600.0)
            status, body = served.page(self.path)
            etag = f'"{hashlib.sha256(body).hexdigest()}"'
            if status == 200 and self.headers.get("if-none-match") == etag:
                status, body = 304, b""
            served.sent.append(status)
            stamp = str(int(time.time() + served.stamp_s))
            signed = signature(served.secret.encode(), stamp, body)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.send_header("etag", etag)
            self.send_header("x-wedtwin-timestamp", stamp)
            self.send_header("x-wedtwin-signature", f"sha256={signed}")
            self.end_headers()
            if status != 304:
                self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    served.url = f"http://127.0.0.1:{server.server_address[1]}/bookings"
    yield served
    if served.hangs is not None:
        served.hangs.set()
    server.shutdown()
    server.server_close()
    thread.join()


def feed(crm: Crm, model: str, **options: Any) -> Feed:
    return http_json.connect(
        SPECS, NOW_S, url=crm.url, columns=COLUMNS, model=model, **{"secret": SECRET, **options}
    )


async def load(source: Feed, now_s: float) -> float:
    """Requests/s in the middle of the weddings."""
    return (await source.outlook(now_s)).rate(0, at("17:00"))


def test_an_address_keeps_the_ports_contract(crm: Crm, model: str) -> None:
    async def story() -> None:
        source = feed(crm, model)
        await contract.bookings(source, ["api"], NOW_S)
        await source.close()

    asyncio.run(story())


def test_only_pages_that_changed_are_sent_again(crm: Crm, model: str) -> None:
    async def story() -> None:
        source = feed(crm, model)
        first = await source.outlook(NOW_S)
        assert first.rate(0, at("17:00")) == pytest.approx(5 + 300)
        assert crm.sent == [200, 200]
        assert await source.outlook(NOW_S + 10.0) is first
        assert crm.sent[2:] == [304, 304]
        assert source.feed().read_s == NOW_S + 10.0
        crm.rows[2]["guests"] = 400
        assert await load(source, NOW_S + 20.0) == pytest.approx(5 + 400)
        assert crm.sent[4:] == [304, 200]
        crm.rows[0]["state"] = "CANCELLED"
        crm.rows.append({"id": "new", "at": "2027-06-19T16:30+00:00", "guests": 20})
        assert await load(source, NOW_S + 30.0) == pytest.approx(5 + 310)
        assert source.feed().troubles == ()
        await source.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"/bookings": (500, b"")}, "127.0.0.1 answered 500"),
        ({"/bookings": (302, b"")}, "127.0.0.1 answered 302"),
        ({"/bookings?page=2": (404, b"")}, "127.0.0.1 answered 404"),
        ({"/bookings": (200, b"{")}, "127.0.0.1 answered with something that is no JSON"),
        ({"/bookings": (200, b"[" * 100_000)}, "127.0.0.1 answered with something that is no JSON"),
        ({"/bookings": (200, b"[]")}, "127.0.0.1 answered without items (bookings.options.items)"),
        ({"/bookings": (200, b'{"items": [1]}')}, "127.0.0.1 answered with rows that are no obje"),
        ({"/bookings": (200, b'{"items": [], "next": 7}')}, "127.0.0.1: next is no address"),
        ({"/bookings": (200, b'{"items": [], "next": "http://169.254.169.254/"}')},
         "127.0.0.1: the next page is at another place"),
        ({"/bookings": (200, b'{"items": [], "next": "/bookings"}')},
         "127.0.0.1: a next page is one that was read before"),
        ({"/bookings": (200, b'{"items": []}' + b" " * 2_000_000)},
         "127.0.0.1 answered more than 1 MiB"),
        ({"/bookings": (200, b'{"items": []}')}, "3 of 3 events to come are missing without being"),
        ({"/bookings": (200, b'{"items": [{"id": "A0", "at": NaN, "guests": 1e9}]}')},
         "rows that are left out: row 1: at: is not allowed"),
    ],
)  # fmt: skip
def test_whatever_is_answered_the_last_good_outlook_stays_and_a_trouble_says_why(
    crm: Crm, model: str, answers: dict[str, tuple[int, bytes]], said: str
) -> None:
    async def story() -> None:
        source = feed(crm, model, max_mib=1.0)
        first = await source.outlook(NOW_S)
        crm.answers = answers
        for k in range(1, 4):
            assert await source.outlook(NOW_S + 10.0 * k) is first
        assert any(one.startswith(said) for one in source.feed().troubles), source.feed()
        assert "Jane" not in str(source.feed())
        if len(source.feed().troubles) == 1:
            assert source.feed().read_s == NOW_S
        crm.answers = {}
        assert await load(source, NOW_S + 50.0) == pytest.approx(5 + 300)
        assert source.feed().troubles == ()
        await source.close()

    asyncio.run(story())


def test_the_first_page_says_when_it_was_made(crm: Crm, model: str) -> None:
    async def story() -> None:
        source = feed(crm, model, as_of="made", max_age_s=3600)
        await source.outlook(NOW_S)
        assert "made is no time (bookings.options.as_of)" in source.feed().troubles[0]
        for ago_s, is_late in ((3500.0, False), (3700.0, True)):
            first = {"items": crm.rows[:2], "next": "/bookings?page=2", "made": NOW_S - ago_s}
            crm.answers = {"/bookings": (200, json.dumps(first).encode())}
            now_s = NOW_S + (20.0 if is_late else 10.0)
            assert await load(source, now_s) == pytest.approx(5 + 300)
            assert bool(source.feed().troubles) is is_late
        assert source.feed().troubles[0].startswith("its listing was made at ")
        await source.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"secret": "another one of sixteen"}, "an answer is not signed by who has the secret"),
        ({"stamp_s": -400.0}, "a signed answer is more than 300 s off"),
        ({"stamp_s": 400.0}, "a signed answer is more than 300 s off"),
    ],
)
def test_an_answer_of_somebody_else_or_of_yesterday_is_refused(
    crm: Crm, model: str, change: dict[str, Any], said: str
) -> None:
    async def story() -> None:
        for name, value in change.items():
            setattr(crm, name, value)
        source = feed(crm, model)
        assert not (await source.outlook(NOW_S)).covers(NOW_S)
        assert said in source.feed().troubles[0]
        await source.close()

    asyncio.run(story())


def test_a_server_that_does_not_answer_holds_nothing_up(
    crm: Crm, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("engine.adapters.bookings.feed.PROMPT_S", 0.05)

    async def story() -> None:
        source = feed(crm, model)
        first = None
        while first is None or not first.covers(NOW_S):
            first = await source.outlook(NOW_S)
        crm.hangs = threading.Event()
        for k in range(1, 9):
            assert await source.outlook(NOW_S + 10.0 * k) is first
        (trouble,) = source.feed().troubles
        assert trouble.startswith("it has not answered since 2027-06-18 12:00:10 UTC; what was kn")
        crm.hangs.set()
        while source.feed().troubles:
            await source.outlook(NOW_S + 90.0)
        await source.close()

    asyncio.run(story())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"url": "http://crm.example.com/x"}, "bookings.options.url: "),
        ({"url": "https://user:pass@crm.example.com/x"}, "bookings.options.url: "),
        ({"url": "http://169.254.169.254/x"}, "bookings.options.url: "),
        ({"url": "file:///etc/passwd"}, "bookings.options.url: "),
        ({"secret": "short"}, "bookings.options.secret: has to have at least 16 characters"),
        ({"ca": "nowhere.pem"}, "bookings.options.ca: "),
        ({"timeout_s": 0}, "bookings.options.timeout_s: 0 is not allowed"),
    ],
)
def test_a_wrong_option_is_named(crm: Crm, model: str, options: dict[str, Any], said: str) -> None:
    given = {"url": crm.url, "columns": COLUMNS, "model": model, **options}
    with pytest.raises(ConfigError) as error:
        http_json.connect(SPECS, NOW_S, **given)
    assert str(error.value).startswith(said), error.value
    assert "pass@" not in str(error.value)
