"""Owners of bookings who publish them as engines get them: as a file, or as pages over HTTP.

What they publish can be spoiled in the ways in which feeds are, frozen, or wrong by some time; what
is booked in truth is known apart from it.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from engine.adapters.bookings import csv_file, http_json, ics_file
from engine.adapters.bookings.feed import Feed
from engine.adapters.notices.webhook import signature
from engine.config.composition import composed
from engine.config.live import parse
from engine.model import ServiceSpec
from engine.prediction import event_model
from engine.prediction.event_model import EventModel
from engine.record.files import write_atomically
from engine.settings import EngineSettings
from twin.world.booked_day import usual

AHEAD_S = 28_800.0
SECRET = "loopback-only-secret"
BEGIN_S = 1_813_406_400.0
"""19 June 2027, 10:40 UTC: the stories play then."""


@dataclass(frozen=True, slots=True)
class OwnedBooking:
    """A row of the feed as its owner has it."""

    id: str
    starts_s: float
    guests: float
    kind: str
    state: str = "booked"


Booked = dict[str, OwnedBooking]


@lru_cache(maxsize=1)
def wedsync() -> tuple[tuple[ServiceSpec, ...], EventModel, EngineSettings]:
    """The platform, how a wedding becomes load there, and the engine's settings."""
    raw = composed(("platform=wedsync",), root="live")
    config = parse(raw)
    specs = tuple(config.platform.specs())
    names = [spec.name for spec in specs]
    model = usual(names, population=raw["population"], demand=raw["demand"])
    return specs, model, config.engine


class BookingsOwner:
    """Whoever has the bookings: publishes them as a file or over HTTP, as they are or spoiled."""

    def __init__(self, source: str, folder: Path, *, frozen: bool, shift_s: float) -> None:
        self.source = source
        self._path = folder / f"bookings.{source}"
        self._frozen = frozen
        self._shift_s = shift_s
        self._pages: dict[str, bytes] = {}
        self._is_down = False
        self._published = 0
        self._port = 0
        specs, model, _ = wedsync()
        self._model = folder / "events.json"
        event_model.write(model, self._model)
        self._specs = specs

    def feed(self) -> Feed:
        """The engine's adapter for it."""
        options: dict[str, Any] = {
            "model": str(self._model), "ahead_s": AHEAD_S, "major": ["luxury"],
        }  # fmt: skip
        columns = {"id": "id", "starts": "at", "people": {"guest": "guests"}, "status": "state",
                   "major": "kind"}  # fmt: skip
        match self.source:
            case "csv":
                return csv_file.connect(
                    self._specs, BEGIN_S, path=str(self._path), columns=columns,
                    **options,
                )  # fmt: skip
            case "ics":
                own = {"people": {"guest": "X-GUESTS"}, "major": "X-KIND"}
                return ics_file.connect(
                    self._specs, BEGIN_S, path=str(self._path), columns=own,
                    **options,
                )  # fmt: skip
        url = f"http://127.0.0.1:{self._port}/bookings"
        return http_json.connect(
            self._specs, BEGIN_S, url=url, columns=columns, secret=SECRET, as_of="as_of", **options
        )

    def publish(self, booked: Booked, now_s: float, fault: str = "") -> None:
        """Make it known, spoiled by a fault."""
        if self._frozen and self._published:
            return
        self._published += 1
        rows = [replace(one, starts_s=one.starts_s + self._shift_s) for one in booked.values()]
        self._is_down = fault == "gone"
        spoiled = {"poisoned": "nan", "endless": "1e9"}.get(fault)
        texts = [self._row(one) for one in rows]
        if spoiled is not None:
            texts[0]["guests"] = spoiled
        if fault == "never":
            texts[0]["at"] = "9999-12-31T23:59:00Z"
        if fault == "shrunk":
            texts = texts[:1]
        as_of_s = now_s - (200_000.0 if fault == "late" else 0.0)
        if self.source == "http":
            self._put_pages(texts, as_of_s, cut=fault == "half")
        elif fault == "gone":
            self._path.unlink()
        else:
            text = _csv(texts) if self.source == "csv" else _ics(texts)
            if fault == "half":
                text = text[: len(text) // 2 - 7]
            self._put_file(text, as_of_s)

    def _row(self, one: OwnedBooking) -> dict[str, str]:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(one.starts_s))
        return {"id": one.id, "at": stamp, "guests": f"{one.guests:.0f}", "state": one.state,
                "kind": one.kind, "name": "of no use"}  # fmt: skip

    def _put_file(self, text: str, as_of_s: float) -> None:
        write_atomically(self._path, text, durable=False)
        # It was left alone since: the stories' clock is not the machine's.
        os.utime(self._path, (as_of_s, as_of_s + 1e-3 * self._published))

    def _put_pages(self, rows: list[dict[str, str]], as_of_s: float, *, cut: bool) -> None:
        half = len(rows) // 2
        first = {"items": rows[:half], "next": "/bookings?page=2", "as_of": as_of_s}
        self._pages = {
            "/bookings": json.dumps(first).encode(),
            "/bookings?page=2": json.dumps({"items": rows[half:], "next": None}).encode(),
        }
        if cut:
            self._pages["/bookings?page=2"] = self._pages["/bookings?page=2"][:-40]

    @contextlib.contextmanager
    def serving(self) -> Iterator[None]:
        """Serve the pages on a free port of the loopback interface; files need nobody."""
        if self.source != "http":
            yield
            return
        owner = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = owner._pages.get(self.path, b"")
                etag = f'"{hashlib.sha256(body).hexdigest()}"'
                status = 503 if owner._is_down else 200
                if status == 200 and self.headers.get("if-none-match") == etag:
                    status = 304
                stamp = str(int(time.time()))
                self.send_response(status)
                self.send_header("etag", etag)
                self.send_header("x-wedtwin-timestamp", stamp)
                signed = signature(SECRET.encode(), stamp, body)
                self.send_header("x-wedtwin-signature", f"sha256={signed}")
                self.send_header("content-length", str(len(body) if status == 200 else 0))
                self.end_headers()
                if status == 200:
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nobody reads it."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


def _csv(rows: Sequence[Mapping[str, str]]) -> str:
    names = list(rows[0])
    return "\n".join([",".join(names), *(",".join(row.values()) for row in rows)]) + "\n"


def _ics(rows: Sequence[Mapping[str, str]]) -> str:
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//evidence//EN"]
    for row in rows:
        stamp = row["at"].replace("-", "").replace(":", "")
        status = "CANCELLED" if row["state"] == "cancelled" else "CONFIRMED"
        lines += ["BEGIN:VEVENT", f"UID:{row['id']}", f"DTSTART:{stamp}", f"STATUS:{status}",
                  f"X-GUESTS:{row['guests']}", f"X-KIND:{row['kind']}", "END:VEVENT"]  # fmt: skip
    return "\r\n".join([*lines, "END:VCALENDAR"]) + "\r\n"
