"""The engine of a soak, put together as `engine serve` is, and what is around it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import secrets
import socket
import sqlite3
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from engine.adapters.alert_everybody import Everybody
from engine.adapters.bookings.feed import Feed
from engine.adapters.lease_file import LEADER, FileLease
from engine.adapters.prometheus import PrometheusSource
from engine.adapters.store.aside import StoreWithAside
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.sqlite import FILE
from engine.commands import assembly
from engine.config.composition import composed
from engine.config.live import parse
from engine.ports.lease import NotLeadingError
from tools.soak.faults import Faults
from tools.soak.growth import LookAtProcess, look
from tools.soak.place import MADE, Load, Machines, Servers, wrong_sighting

FIGURES = ("sampled", "scraped", "cpu", "request_rate", "p95_s", "queue_depth")
SINGLE = ("sampled", "cpu")
LOCKED_S = 6.0
"""For which somebody else has the store's file."""
VISIT_S = 120.0
"""Between two visits of the API's clients."""
READS = (
    "overview", "services", "services/api", "decisions", "alerts", "findings", "floors", "health",
    "readiness", "metrics/realtime", "bottlenecks", "troubles", "records", "nowhere",
    "decisions?limit=wrong",
)  # fmt: skip


class Soak:
    """One run: the engine, what is around it, and the looks at the process."""

    def __init__(self, hours: float, round_s: float, folder: Path, faults: Faults) -> None:
        self.hours = hours
        self.round_s = round_s
        self.folder = folder
        self.faults = faults
        self.looks: list[LookAtProcess] = []
        self.answers: dict[int, int] = {}
        """How many answers of the API had each status."""
        self._url, self._token = "", ""
        self._tasks: list[asyncio.Task[None]] = []
        self._locked: sqlite3.Connection | None = None

    def run(self) -> int:
        """The exit code of the engine."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = int(free.getsockname()[1])
        settings = self._settings(port)
        config = parse(settings)
        self._spoil()
        assembly.asyncio = _Runs(self._beside(port))  # type: ignore[assignment, attr-defined]
        return assembly.run(config, settings, "soak", serves=True)

    # --- the engine

    def _settings(self, port: int) -> dict[str, Any]:
        settings = composed(
            ["infrastructure=haproxy", "bookings=http", "bookings.options.url=http://127.0.0.1:1/"],
            root="live",
        )
        at = f"http://127.0.0.1:{port}"
        settings["infrastructure"] = {"factory": "tools.soak.place:machines", "options": {}}
        settings["metrics"] |= {
            "url": at, "totals": {}, "first_served": "",
            "queries": {figure: f"soak_{figure}" for figure in FIGURES},
            "instances": {figure: f"soak_{figure}_instances" for figure in SINGLE},
        }  # fmt: skip
        settings["bookings"]["options"]["url"] = f"{at}/bookings"
        settings["output"] = str(self.folder / "records")
        settings["reporter"] = None
        settings["live"] |= {
            "state": str(self.folder / "state"),
            "duration_s": self.hours * 3600.0,
            "record_every_s": self.round_s / 2.0,
        }
        settings["api"] |= {"port": 0}
        # What is kept for so long or up to so many has to be full within the first rounds.
        settings["api"]["limits"] |= {
            "range_s": 2.0 * self.round_s,
            "decisions": 500,
            "events": 500,
        }
        settings["notifiers"] = [{
            "factory": "engine.adapters.alert_webhook:WebhookNotifier",
            "options": {"url": f"{at}/notifier", "secret": "whsec_" + "c29hayBzb2FrIHNvYWsgc29hayBz"
                                                           "b2Fr"},
        }]  # fmt: skip
        settings["alerts"]["repeat_s"] = 600.0
        settings["alerts"]["receivers"] |= {
            "on-call": {
                "factory": "engine.adapters.notices.webhook:WebhookNotices",
                "options": {"url": f"{at}/hook", "secret": secrets.token_hex(16)},
            },
            "second": {
                "factory": "engine.adapters.notices.alertmanager:AlertmanagerNotices",
                "options": {"url": at},
            },
        }
        return settings

    def _spoil(self) -> None:
        for port, kind, methods, lies in (
            ("metrics", PrometheusSource, ("read",), lambda: None),
            ("infrastructure", Machines, ("observe",), wrong_sighting),
            ("commands", Machines, ("apply",), lambda: None),
            ("schedule", Feed, ("outlook",), lambda: None),
            ("requests", StoreWithAside, ("requests",), lambda: None),
            ("memory", StoreWithAside, ("memory", "newest"), None),
            ("store", StoreWithAside, ("keep",), None),
            ("status", StoreWithAside, ("show_status",), None),
            ("lease", FileLease, ("hold",), None),
            ("notifier", Everybody, ("notify",), None),
        ):
            for name in methods:
                setattr(kind, name, self.faults.spoil(port, lies)(getattr(kind, name)))
        hold = FileLease.hold

        async def held(lease: FileLease, *arguments: Any, **named: Any) -> Any:
            if self.faults.way("lease") == "lost":
                raise NotLeadingError("another engine leads", "another engine")
            return await hold(lease, *arguments, **named)

        FileLease.hold = held  # type: ignore[method-assign]
        staged = SqlDesk.staged

        def read_staged(desk: SqlDesk, limit: int) -> Any:
            if self.faults.way("audit") == "raises":
                raise OSError(28, "No space left on device", "audit")
            return staged(desk, limit)

        SqlDesk.staged = read_staged  # type: ignore[method-assign]
        assembly._announce = self._announced

    def _announced(self, url: str, token: str) -> None:
        self._url, self._token = url, token

    # --- what is beside it

    def _beside(self, port: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def begin() -> None:
            machines = MADE[-1]
            load = Load(machines, 5.0, self.round_s)
            servers = Servers(self.faults, load)
            await servers.start(port)
            acts = {
                ("infrastructure", "loses"): lambda begins: machines.lose() if begins else None,
                ("lease", "taken"): self._take_lead,
                ("file", "locked"): self._lock,
                ("record", "in_the_way"): self._be_in_the_way,
            }
            for beside in (load.go_on(), self.faults.play(acts), self._visit(), self._look()):
                self._tasks.append(asyncio.get_running_loop().create_task(beside))

        return begin

    def _take_lead(self, begins: bool) -> None:
        if begins:
            (self.folder / "state" / LEADER).unlink(missing_ok=True)

    def _lock(self, begins: bool) -> None:
        if begins:
            self._locked = sqlite3.connect(self.folder / "state" / FILE, isolation_level=None)
            with contextlib.suppress(sqlite3.Error):
                self._locked.execute("BEGIN EXCLUSIVE")
            # What waits for it waits in a thread, in real time.
            asyncio.get_running_loop().call_later(LOCKED_S, self._lock, False)
        elif self._locked is not None:
            self._locked.close()
            self._locked = None

    def _be_in_the_way(self, begins: bool) -> None:
        records, aside = self.folder / "records", self.folder / "aside"
        if begins:
            if records.exists():
                records.rename(aside)
            records.write_text("a file where records should go\n")
        else:
            records.unlink()
            if aside.exists():
                aside.rename(records)

    async def _look(self) -> None:
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        rounds = 0
        while True:
            rounds += 1
            at_s = began_s + rounds * self.round_s - 0.02 * self.round_s
            await asyncio.sleep(at_s - loop.time())
            hour = (loop.time() - began_s) / 3600.0
            self.looks.append(look(hour, len(asyncio.all_tasks(loop)), self.folder / "state"))
            shown = {k: round(v) for k, v in self.looks[-1].measures.items()}
            print(f"{hour:6.2f} h  {shown}", flush=True)

    async def _visit(self) -> None:
        number = 0
        while True:
            await asyncio.sleep(VISIT_S)
            number += 1
            await asyncio.to_thread(self._asked, number)

    def _asked(self, number: int) -> None:
        host = self._url.removeprefix("http://")
        with contextlib.closing(http.client.HTTPConnection(host, timeout=30.0)) as client:
            for path in READS:
                self._ask(client, "GET", path)
            floor = {"service": "api", "instances": 3, "for_s": 300.0, "why": "a soak"}
            key = {"Idempotency-Key": f"soak-{number}"}
            self._ask(client, "POST", "floors", body=json.dumps(floor), headers=key)
            self._ask(client, "POST", "floors", body=json.dumps(floor), headers=key)
            self._ask(client, "POST", "floors", body='{"service": ')
            if number % 3 == 0:
                self._ask(client, "DELETE", "floors/api?why=over")
        # Somebody who follows what happens, and goes without a word.
        stream = http.client.HTTPConnection(host, timeout=30.0)
        stream.request("GET", "/api/scalability/events", headers=self._headers())
        stream.sock.close()

    def _ask(
        self, client: http.client.HTTPConnection, method: str, path: str, *,
        body: str | None = None, headers: dict[str, str] | None = None,
    ) -> None:  # fmt: skip
        given = {**self._headers(), **(headers or {})}
        try:
            client.request(method, f"/api/scalability/{path}", body, given)
            answer = client.getresponse()
            answer.read()
            self.answers[answer.status] = self.answers.get(answer.status, 0) + 1
        except (OSError, http.client.HTTPException):
            client.close()
            self.answers[0] = self.answers.get(0, 0) + 1

    def _headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"}


class _Runs:
    """The module `asyncio`, whose `run` first begins what is around the engine."""

    def __init__(self, begin: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self._begin = begin

    def __getattr__(self, name: str) -> Any:
        return getattr(asyncio, name)

    def run(self, main: Coroutine[Any, Any, Any]) -> Any:
        async def both() -> Any:
            await self._begin()
            return await main

        return asyncio.run(both())
