"""Rows that are notices: from a bad sample through the live engine to receivers over loopback HTTP.

The engine is the live one: its shell, monitor, alerts, store and outbox, and its signed webhooks.
What it watches is written down (services that become bad at known times), and so is what is wrong
with the receivers: while incidents end they are down for a while, and then some of their answers
are lost.  Some incidents are acknowledged by whoever is told first.  The engine's clock runs
`SPEED` times as fast as the machine's, so that each delay of the machine counts so many times.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import http.server
import json
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from engine import Autoscaler, EngineSettings
from engine.adapters.lease_file import FileLease, take_lead
from engine.adapters.notices.webhook import WebhookNotices, signature
from engine.adapters.store.halves import SqlDesk, SqlStore
from engine.adapters.store.sqlite import SqliteFile
from engine.model import (
    SAMPLE_DTYPE,
    Action,
    ActionResult,
    AlertAnswer,
    BootTime,
    Budget,
    Outlook,
    ServiceSpec,
)
from engine.monitoring.alerts.machine import Alerts, NoticeKind
from engine.monitoring.alerts.settings import AlertSettings, EscalationLevel
from engine.monitoring.beside import MonitorStage, incident_id
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import MonitorSettings
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import Fence
from engine.ports.metrics import Reading
from engine.ports.notifier import Alert
from engine.runtime.cycle import Cycle
from engine.runtime.ports import Ports
from engine.runtime.settings import LiveSettings
from engine.runtime.shell import LiveShell
from engine.runtime.watch import LiveMonitor, deliver
from scenarios.streams import Streams
from twin.evidence.measures.ingest import SilentNotes
from twin.serve.clock import FastClock

SPEED = 10.0
SAMPLE_S = 5.0
BAD, WELL = 20, 5
"""Services of a story."""
BREAKS_S = 30.0
"""The first services become bad so long after the beginning, the others within half a minute."""
BAD_S = 75.0
"""For so long."""
CLEAR_S, RESOLVE_S = 20.0, 10.0
NEXT_S = 30.0
"""Until the second level is told."""
DOWN_S = 30.0
"""The receivers are down for so long, from the time on when the first incidents may be over."""
STORY_S = 190.0
DRAIN_S = 200.0
"""For what waits then; nobody waits longer."""
ON_CALL, SECOND = "on-call", "second"
KINDS: Mapping[str, float] = {"cpu": 0.99, "memory": 0.99, "p95_s": 5.0, "error_rate": 0.5}
"""What a bad service shows."""
RATE = 200.0
ACKNOWLEDGED = 4
"""Each so many-th bad service's incidents are taken on."""
LOST_ANSWER = 5
"""Each so many-th notice that ends an incident is taken without its answer arriving."""
SECRET = "loopback-only-secret"

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AlertStory:
    """What happens to each service: `begin_s` and the times are epoch seconds of the fast clock."""

    begin_s: float
    kinds: Mapping[str, str]
    """What a bad service shows, by its name."""
    breaks_s: Mapping[str, float]
    names: tuple[str, ...]

    @classmethod
    def of(cls, begin_s: float, rng: np.random.Generator) -> AlertStory:
        """A story, drawn."""
        names = tuple(f"service-{k:02d}" for k in range(BAD + WELL))
        bad = names[:BAD]
        first_s = (begin_s + BREAKS_S) // SAMPLE_S * SAMPLE_S
        kinds = [list(KINDS)[int(k)] for k in rng.permutation(np.arange(BAD) % len(KINDS))]
        later = [SAMPLE_S * float(k) for k in rng.integers(0, 6, BAD)]
        return cls(
            begin_s,
            dict(zip(bad, kinds, strict=True)),
            {name: first_s + after_s for name, after_s in zip(bad, later, strict=True)},
            names,
        )

    def is_bad(self, name: str, times_s: np.ndarray) -> np.ndarray:
        """Whether a service's samples of these times are bad."""
        since_s = self.breaks_s.get(name, np.inf)
        bad: np.ndarray = (times_s >= since_s) & (times_s < since_s + BAD_S)
        return bad

    @property
    def down_s(self) -> tuple[float, float]:
        """From when to when the receivers are down."""
        over_s = min(self.breaks_s.values()) + BAD_S + CLEAR_S
        return over_s, over_s + DOWN_S

    def acknowledges(self, name: str) -> bool:
        """Whether somebody takes the incidents of this service on."""
        return name in self.kinds and self.names.index(name) % ACKNOWLEDGED == 0


class _Platform:
    """The ports to a platform on which nothing is done: samples, counts and calendar."""

    def __init__(self, story: AlertStory) -> None:
        self._story = story
        bins = 48
        nothing = np.zeros(bins)
        load = np.full((len(story.names), bins), RATE)
        self._outlook = Outlook(
            story.begin_s, story.begin_s - 3600.0, 300.0,
            {name: k for k, name in enumerate(story.names)},
            load, np.zeros_like(load), nothing, nothing, 0.1,
        )  # fmt: skip

    async def read(self, now_s: float) -> Reading:
        newest_s = now_s // SAMPLE_S * SAMPLE_S
        windows = {}
        for name in self._story.names:
            window = np.zeros(12, SAMPLE_DTYPE)
            window["time_s"] = newest_s - SAMPLE_S * np.arange(12)[::-1]
            window["cpu"], window["memory"], window["request_rate"] = 0.5, 0.4, RATE
            window["p50_s"], window["p95_s"], window["p99_s"] = 0.1, 0.2, 0.3
            if name in self._story.kinds:
                figure = self._story.kinds[name]
                window[figure][self._story.is_bad(name, window["time_s"])] = KINDS[figure]
            windows[name] = window
        return Reading(windows)

    async def observe(self) -> Sighting:
        return Sighting({name: Counts(4, 4, 0, 0) for name in self._story.names})

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        del fence
        raise AssertionError(f"the engine only recommends, and asked for {actions}")

    async def outlook(self, now_s: float) -> Outlook:
        del now_s
        return self._outlook

    async def totals(self, begin_s: float, end_s: float) -> Mapping[str, Mapping[str, float]]:
        del begin_s, end_s
        return {}

    async def first_served(self, begin_s: float, end_s: float) -> Mapping[str, Sequence[float]]:
        del begin_s, end_s
        return {}

    async def notify(self, alert: Alert) -> None:
        """Troubles are nobody's here."""

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """A notice as it came, by the engine's clock."""

    receiver: str
    id: str
    incident: str
    kind: str
    made_s: float
    at_s: float

    @property
    def service(self) -> str:
        """Whose."""
        return self.incident.partition("/")[0]


@dataclass
class Receivers:
    """Those who are told, at one address: they know a notice by its id, and count it once."""

    story: AlertStory
    clock: FastClock
    desk: SqlDesk
    receipts: dict[tuple[str, str], Receipt] = field(default_factory=dict)
    forged: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def take(self, receiver: str, headers: Mapping[str, str], body: bytes) -> int | None:
        """The status to answer with; None: the answer is lost."""
        now_s = self.clock.now_s()
        begins_s, ends_s = self.story.down_s
        if begins_s <= now_s < ends_s:
            return 503
        signed = headers["x-wedtwin-signature"].removeprefix("sha256=")
        own = signature(SECRET.encode(), headers["x-wedtwin-timestamp"], body)
        if not hmac.compare_digest(signed, own):
            self.forged += 1
            return 401
        raw = json.loads(body)
        receipt = Receipt(
            receiver, raw["id"], raw["incident"], raw["kind"], float(raw["time_s"]), now_s
        )
        with self._lock:
            if (receiver, receipt.id) in self.receipts:
                return 204
            self.receipts[receiver, receipt.id] = receipt
            count = len(self.receipts)
        # What got worse is nobody's again.
        is_asked = receipt.kind in (NoticeKind.TRIGGERED, NoticeKind.WORSE)
        if is_asked and self.story.acknowledges(receipt.service):
            self._take_on(receipt)
        if receipt.kind == NoticeKind.RESOLVED and count % LOST_ANSWER == 0:
            return None
        return 204

    def _take_on(self, receipt: Receipt) -> None:
        self.desk.ask(
            AlertAnswer(
                secrets.token_hex(8), receipt.service, incident_id(receipt.incident), False,
                receipt.at_s + 3600.0, receipt.receiver, "on it",
            )
        )  # fmt: skip


@contextlib.contextmanager
def _listening(receivers: Receivers) -> Iterator[str]:
    """Serve them on a free port of the loopback interface."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status = receivers.take(self.path.strip("/"), headers, body)
            if status is None:
                self.close_connection = True
                return
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def delivered(*, rows: int, seed: int, down: bool = False) -> list[Row]:
    """The rows of `rows` stories; with `down` nobody listens where the receivers should be.

    A row is what one receiver had to be told once, or what nobody was to be told.  `once` is 1 if
    it was so, else `astray` is 1; `alert_s` is from the first bad sample to the receipt of what
    begins an incident, `late_s` from the time at which the second level was due to its receipt,
    both by the engine's clock.
    """
    made: list[Row] = []
    for number in range(rows):
        rng = Streams(seed)(f"evidence.alerting.{number}")
        with tempfile.TemporaryDirectory(prefix="wt-alerts-") as name:
            made += asyncio.run(_played(Path(name), rng, down=down))
    return made


async def _played(folder: Path, rng: np.random.Generator, *, down: bool) -> list[Row]:
    """One story, from the first sample to the last notice."""
    clock = FastClock(time.time(), SPEED)
    story = AlertStory.of(clock.now_s(), rng)
    file = SqliteFile(folder)
    receivers = Receivers(story, clock, SqlDesk(file))
    specs = tuple(
        ServiceSpec(name, 1, 10, 100, 0.1, 1.0, BootTime(5.0, 9.0), 1.0, 0.5, 0.1)
        for name in story.names
    )
    alerts = AlertSettings(
        levels=(
            EscalationLevel(receivers=(ON_CALL,)),
            EscalationLevel(receivers=(SECOND,), after_s=NEXT_S),
        ),
        group_wait_s=0.0, resolve_after_s=RESOLVE_S,
    )  # fmt: skip
    monitor = Monitor(specs, MonitorSettings(clear_s=CLEAR_S))
    stage = MonitorStage(monitor, Alerts(specs, alerts))
    watch, platform = LiveMonitor(stage), _Platform(story)
    lead = take_lead(folder, clock.now_s())
    shell = LiveShell(
        Cycle(Autoscaler(EngineSettings()), specs, acts=False, budget=Budget()),
        specs,
        Ports(
            metrics=platform,
            infrastructure=platform,
            bookings=platform,
            store=SqlStore(file),
            lease=FileLease(folder, lead),
            notifier=platform,
        ),
        notes=SilentNotes(),
        clock=clock,
        settings=LiveSettings(state=str(folder), duration_s=STORY_S),
        sample_s=SAMPLE_S,
        watch=watch,
    )
    with _nowhere() if down else _listening(receivers) as address:
        senders = {name: WebhookNotices(f"{address}/{name}", SECRET) for name in (ON_CALL, SECOND)}
        delivering = asyncio.create_task(deliver(watch, senders, clock.now_s))
        try:
            await shell.run()
            until_s = clock.now_s() + (0.0 if down else DRAIN_S)
            while stage.waiting and clock.now_s() < until_s:
                await asyncio.sleep(0.05)
        finally:
            delivering.cancel()
            await asyncio.gather(delivering, return_exceptions=True)
            await shell.close()
    assert receivers.forged == 0
    return rows_of(story, list(receivers.receipts.values()))


@contextlib.contextmanager
def _nowhere() -> Iterator[str]:
    """An address at which nobody listens: it is held, so that nobody else is given it."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{held.getsockname()[1]}"


def rows_of(story: AlertStory, receipts: Sequence[Receipt]) -> list[Row]:
    """What was to be told in a story, and what came of it."""
    rows = []
    for name in story.names:
        own = [one for one in receipts if one.service == name]
        if name not in story.kinds:
            rows.append(_row(name, "nothing", "anybody", came=not own))
            continue
        began = _of(own, NoticeKind.TRIGGERED, ON_CALL)
        alert_s = min((one.at_s for one in began), default=None)
        if alert_s is not None:
            alert_s -= story.breaks_s[name]
        rows.append(_row(name, "triggered", ON_CALL, came=_once(began), alert_s=alert_s))
        rows.append(
            _row(name, "resolved", ON_CALL, came=_once(_of(own, NoticeKind.RESOLVED, ON_CALL)))
        )
        second = [one for one in own if one.receiver == SECOND]
        if story.acknowledges(name):
            rows.append(_row(name, "nothing", SECOND, came=not second))
            continue
        told_s = {one.incident: one.made_s for one in began}
        escalated = _of(own, NoticeKind.ESCALATED, SECOND)
        late_s = max(
            (one.at_s - told_s[one.incident] - NEXT_S for one in escalated
             if one.incident in told_s), default=None,
        )  # fmt: skip
        rows.append(_row(name, "escalated", SECOND, came=_once(escalated), late_s=late_s))
        rows.append(
            _row(name, "resolved", SECOND, came=_once(_of(own, NoticeKind.RESOLVED, SECOND)))
        )
    return rows


def _of(receipts: Sequence[Receipt], kind: NoticeKind, receiver: str) -> list[Receipt]:
    return [one for one in receipts if one.kind == kind and one.receiver == receiver]


def _once(receipts: Sequence[Receipt]) -> bool:
    """Whether there are some, and none of an incident twice."""
    incidents = [one.incident for one in receipts]
    return bool(incidents) and len(set(incidents)) == len(incidents)


def _row(
    service: str, what: str, who: str, *, came: bool, alert_s: float | None = None,
    late_s: float | None = None,
) -> Row:  # fmt: skip
    return {
        "service": service, "what": what, "who": who, "once": int(came), "astray": int(not came),
        "alert_s": alert_s, "late_s": late_s,
    }  # fmt: skip
