"""The platform of a soak: machines that boot and go, and servers that the engine asks and tells.

Load is the same in each round, as are the bookings relative to now.  The servers are real ones, on
the loopback interface and in the engine's own loop: Prometheus's HTTP API, a source of bookings,
and whoever is told (webhooks, an Alertmanager).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

from engine.model import Action, ActionResult, ServiceSpec, Status
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import NO_FENCE, Fence
from tools.soak.faults import Faults

BOOT_S, DRAIN_S = 8.0, 20.0
KEPT = 24
"""Samples that the played Prometheus has of each service."""
WEDDING_EVERY_S, WEDDINGS = 1200.0, 36
HUGE = b"x" * (9 << 20)
"""More than the engine takes of one answer."""


@dataclass
class Fleet:
    """Instances of a service: when each begins to serve, and when those that leave are gone."""

    spec: ServiceSpec
    ready_s: list[float] = field(default_factory=list)
    gone_s: list[float] = field(default_factory=list)

    def counts(self, now_s: float) -> Counts:
        """As an infrastructure says them."""
        self.gone_s = [gone_s for gone_s in self.gone_s if gone_s > now_s]
        ready = sum(ready_s <= now_s for ready_s in self.ready_s)
        return Counts(len(self.ready_s), ready, len(self.ready_s) - ready, len(self.gone_s))

    def be(self, count: int, now_s: float) -> None:
        """Launch or end instances."""
        while len(self.ready_s) < count:
            self.ready_s.append(now_s + BOOT_S)
        while len(self.ready_s) > count:
            self.ready_s.pop()
            self.gone_s.append(now_s + DRAIN_S)


class Machines:
    """`engine.ports.infrastructure.Infrastructure`."""

    def __init__(self, specs: Sequence[ServiceSpec]) -> None:
        self.fleets = {spec.name: Fleet(spec, [0.0] * spec.min_instances) for spec in specs}
        self._fence = NO_FENCE
        self._results: list[ActionResult] = []
        self._decided: deque[str] = deque(maxlen=200)
        self.applied = 0

    async def observe(self) -> Sighting:
        """What there is, and what became of commands."""
        results, self._results = tuple(self._results), []
        now_s = time.time()
        services = {name: fleet.counts(now_s) for name, fleet in self.fleets.items()}
        return Sighting(services, results, self._fence)

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Do it at once, each decision once."""
        now_s = time.time()
        if fence < self._fence:
            words = "the fence is over"
            return tuple(ActionResult(a.decision_id, Status.FAILED, now_s, words) for a in actions)
        self._fence = fence
        answers = []
        for action in actions:
            fleet = self.fleets[action.service]
            if action.decision_id not in self._decided:
                self._decided.append(action.decision_id)
                if len(fleet.ready_s) != action.from_instances:
                    answers.append(
                        ActionResult(action.decision_id, Status.FAILED, now_s, "another count")
                    )
                    continue
                fleet.be(action.to_instances, now_s)
                self.applied += 1
                done = ActionResult(action.decision_id, Status.COMPLETED, now_s)
                self._results.append(done)
            answers.append(ActionResult(action.decision_id, Status.ACCEPTED, now_s))
        return tuple(answers)

    async def close(self) -> None:
        """The machines stay."""

    def lose(self) -> None:
        """One instance of each service that has several is gone and comes again."""
        for fleet in self.fleets.values():
            if len(fleet.ready_s) > 1:
                fleet.ready_s[0] = time.time() + BOOT_S


@dataclass
class Load:
    """What Prometheus would have measured, every `sample_s`."""

    machines: Machines
    sample_s: float
    round_s: float
    samples: deque[tuple[float, dict[str, dict[str, float]]]] = field(
        default_factory=lambda: deque(maxlen=KEPT)
    )

    async def go_on(self) -> None:
        """Measure, for ever."""
        while True:
            now_s = time.time()
            due_s = (math.floor(now_s / self.sample_s) + 1) * self.sample_s
            await asyncio.sleep(due_s - now_s)
            if time.time() >= due_s:
                self.measure(due_s)

    def measure(self, at_s: float) -> None:
        """One sample of each service."""
        phase = at_s % self.round_s / self.round_s
        wave = 1.0 + 0.5 * math.sin(2.0 * math.pi * phase) + (0.8 if 0.6 < phase < 0.66 else 0.0)
        sample: dict[str, dict[str, float]] = {}
        for name, fleet in self.machines.fleets.items():
            spec, ready = fleet.spec, max(fleet.counts(at_s).ready, 1)
            middle = 0.35 * (spec.min_instances + spec.max_instances) / 2.0
            rate = middle * wave * spec.rate_per_instance
            busy = rate / (ready * spec.rate_per_instance)
            p95_s = 3.0 * spec.service_s / max(1.0 - min(busy, 0.98), 0.02)
            sample[name] = {
                "sampled": at_s, "scraped": 1.0, "cpu": min(busy, 1.0), "memory": 0.4,
                "request_rate": rate, "p50_s": p95_s / 3.0, "p95_s": p95_s, "p99_s": 1.5 * p95_s,
                "error_rate": max(1.0 - 1.0 / busy, 0.0),
                "queue_depth": max(busy - 1.0, 0.0) * 50.0,
            }  # fmt: skip
        self.samples.append((at_s, sample))

    def answer(self, form: Mapping[str, list[str]], *, over_time: bool) -> bytes:
        """Of Prometheus's API, to `soak_<figure>` or `soak_<figure>_instances`."""
        name = form["query"][0].removeprefix("soak_")
        single = name.endswith("_instances")
        figure = name.removesuffix("_instances")
        begin_s = float(form.get("start", ["0"])[0])
        rows = [(at_s, sample) for at_s, sample in self.samples if at_s >= begin_s]
        rows = rows if over_time else rows[-1:]
        result = []
        for service, fleet in self.machines.fleets.items():
            for k in range(len(fleet.ready_s) if single else 1):
                labels = {"service": service, **({"instance": f"{service}-{k}"} if single else {})}
                values = [[at_s, repr(sample[service][figure])] for at_s, sample in rows]
                if values:
                    shown = {"values": values} if over_time else {"value": values[-1]}
                    result.append({"metric": labels, **shown})
        kind = "matrix" if over_time else "vector"
        return json.dumps(
            {"status": "success", "data": {"resultType": kind, "result": result}}
        ).encode()


def booked(now_s: float) -> bytes:
    """Weddings from an hour ago to half a day ahead; each has its id while it is listed."""
    first = math.floor((now_s - 3600.0) / WEDDING_EVERY_S)
    items = [
        {
            "id": f"wedding-{k}", "starts_at": k * WEDDING_EVERY_S, "guests": 40 + k % 7 * 20,
            "vendors": 8, "status": "confirmed", "type": "luxury" if k % 5 == 0 else "classic",
        }
        for k in range(first, first + WEDDINGS)
    ]  # fmt: skip
    return json.dumps({"items": items}).encode()


class Servers:
    """One server for all that is asked and told over HTTP; the path says what is meant."""

    def __init__(self, faults: Faults, load: Load) -> None:
        self._faults = faults
        self._load = load
        self.port = 0
        self.requests = 0
        self._server: asyncio.Server | None = None

    async def start(self, port: int) -> None:
        """Listen on the loopback interface."""
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while await self._one(reader, writer):
                pass
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        length = 0
        for line in head.split("\r\n")[1:]:
            key, _, value = line.partition(":")
            if key.lower() == "content-length":
                length = int(value)
        path = head.split(" ")[1]
        body = await reader.readexactly(length)
        self.requests += 1
        port, content = self._content(path, body)
        way = self._faults.way(port)
        status = "200 OK"
        if way == "refuses":
            status, content = "503 Service Unavailable", b"{}"
        elif way == "garbage":
            content = b'{"items": [{}, 7, {"id": 1e400}], "status": "success", "data": [\xff'
        elif way == "huge":
            content = HUGE
        elif way == "silent":
            await reader.read(1)  # until whoever asked has had enough
            return False
        elif way == "slow":
            await asyncio.sleep(1.5)
        head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\n"
        writer.write(f"{head}content-length: {len(content)}\r\n\r\n".encode())
        writer.write(content[: len(content) // 2] if way == "cut" else content)
        await writer.drain()
        return way != "cut"

    def _content(self, path: str, body: bytes) -> tuple[str, bytes]:
        if path.startswith("/api/v1/query"):
            form = parse_qs(body.decode())
            over_time = path.startswith("/api/v1/query_range")
            return "prometheus", self._load.answer(form, over_time=over_time)
        if path.startswith("/bookings"):
            return "bookings", booked(time.time())
        return "receivers", b"{}"


def wrong_sighting() -> Any:
    """What an infrastructure that lies says."""
    return Sighting({"api": Counts(-1, 0, 0, 0)})


MADE: list[Machines] = []
"""Those that the engine was given."""


def machines(specs: Sequence[ServiceSpec]) -> Machines:
    """What `infrastructure.factory` names."""
    MADE.append(Machines(specs))
    return MADE[-1]
