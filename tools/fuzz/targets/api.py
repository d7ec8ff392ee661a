"""Requests to the API, from the first line on: none is answered with the engine's own error."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from engine.api.application import application
from engine.config.api import ApiConfig
from engine.model import Forecast, Plan
from engine.security.roles import Role
from tools.fuzz.scratch import folder, of_tests
from tools.fuzz.target import FuzzTarget

PREFIX = "/api/scalability"
BODIES: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/services/api", None),
    ("GET", "/decisions?kind=action&service=api&limit=5", None),
    ("GET", "/overview", None),
    ("GET", "/alerts", None),
    ("GET", "/metrics/realtime?service=api", None),
    ("GET", "/metrics/analysis?service=api&range_s=600", None),
    ("GET", "/metrics/range?metric=cpu&from_s=1781870000&to_s=1781870400&step_s=5", None),
    ("GET", "/records?limit=3", None),
    ("POST", "/floors", {"service": "api", "instances": 4, "for_s": 60.0, "why": "x",
                         "schedule": {"cron": "0 8 * * MON-FRI", "time_zone": "Europe/Rome",
                                      "duration_s": 3600}}),
    ("POST", "/pauses", {"service": "api", "direction": "in", "for_s": 60.0, "why": "x"}),
    ("DELETE", "/floors/api?why=over", None),
    ("POST", "/occasions", {"name": "sale", "times": {"api": 2.0}, "starts_s": 1781880000,
                            "ends_s": 1781890000, "why": "x"}),
    ("POST", "/monitoring/sessions", {"services": ["api"], "for_s": 600.0, "why": "x"}),
    ("POST", "/alerts/api%2Fcpu/acknowledge", {"why": "seen"}),
    ("POST", "/scale", {"service": "api", "instances": 6, "why": "x"}),
)  # fmt: skip


def _written(method: str, path: str, body: Any) -> bytes:
    return f"{method} {PREFIX}{path}\n".encode() + (
        b"" if body is None else json.dumps(body).encode()
    )


class AnswerError(Exception):
    """The API answered that it failed itself."""


def _read() -> Callable[[bytes], object]:
    engine = of_tests("unit/engine/api/conftest.py").engine_in(folder(), ApiConfig(limits={
        "reads": {"per_s": 1e6, "burst": 1_000_000}, "writes": {"per_s": 1e6, "burst": 1_000_000},
    }))  # fmt: skip
    engine.step(Plan(forecasts=(Forecast("api", 900.0, 150.0, 220.0, 300.0),), floors={"api": 3}))
    token = engine.token("pat", *Role)["authorization"].encode()
    app = application(engine.context)
    loop = asyncio.new_event_loop()

    async def asked(scope: dict[str, Any], body: bytes) -> int:
        status = [0]

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                status[0] = int(message["status"])

        await app(scope, receive, send)  # type: ignore[arg-type]
        return status[0]

    def read(given: bytes) -> object:
        line, _, body = given.partition(b"\n")
        method, _, target = line.partition(b" ")
        path, _, query = target.partition(b"?")
        if b"/events" in path:
            return None  # a stream, which ends when its client goes
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": method.decode("latin-1").upper()[:10] or "GET", "query_string": query,
            "path": path.decode("utf-8", "replace") or "/", "raw_path": path, "root_path": "",
            "client": ("127.0.0.1", 40_000), "server": ("127.0.0.1", 80), "state": {},
            "headers": [(b"host", b"127.0.0.1"), (b"content-type", b"application/json"),
                        (b"authorization", token), (b"content-length", str(len(body)).encode())],
        }  # fmt: skip
        status = loop.run_until_complete(asked(scope, body))
        if status >= 500 and status != 503:
            raise AnswerError(f"{status}")
        return status

    return read


TARGET = FuzzTarget("api", tuple(_written(*one) for one in BODIES), _read, (), limit_s=5.0)
