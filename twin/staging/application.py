"""The ASGI application of a worker: WedSync-like endpoints with the capacity of one instance.

Each request takes a slot, does its real work there (a row in PostgreSQL, an update in Redis, a
photo on the disk) and holds the slot until its drawn service time is over.  Calls to other services
follow when the slot is free again, as in the twin (docs/decisions/0003-asynchronous-workers.md).

    GET  /weddings/{id} | …/guests | …/timeline | …/seating           api
    POST /weddings/{id}/rsvp | …/songs | …/check-ins | …/timeline     api
    GET  /weddings/{id}/updates    POST /weddings/{id}/messages       real-time
    WS   /weddings/{id}/live                                          real-time
    POST /weddings/{id}/photos                                        file-storage
    /{service}/{operation}/{id}                                       calls between services
    GET /health   GET /metrics   POST /drain                          not through HAProxy
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from engine.model import Call
from engine.record.files import write_atomically
from twin.staging.calls import Caller, CallError
from twin.staging.exposition import CONTENT_TYPE, WorkerCounters
from twin.staging.forms import FormError, file_of
from twin.staging.layout import StagedService
from twin.staging.slots import GaveUp, ServiceTimes, Shed, Slots
from twin.staging.stores import READS, WRITES, Jobs, Rows, StoreError, Updates
from twin.staging.watching import Receive, Scope, Send, Watching, refuse
from twin.staging.working_off import WorkingOff

MEMORY_LIMIT_BYTES = 256 * 2**20
"""What an instance is said to have; its memory metric is a share of it."""

LARGEST_BODY = 4 * 2**20

PAGES = {
    ("GET", ""): "wedding",
    ("GET", "guests"): "guests",
    ("GET", "timeline"): "timeline",
    ("GET", "seating"): "seating",
    ("POST", "rsvp"): "rsvp",
    ("POST", "songs"): "songs",
    ("POST", "check-ins"): "check-ins",
    ("POST", "timeline"): "shift",
    ("GET", "updates"): "updates",
    ("POST", "messages"): "messages",
    ("POST", "photos"): "photos",
}
"""Method and last part of the path below a wedding -> operation."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of the service."""

    operation: str
    wedding: int
    body: bytes = b""


class NotFound(Exception):
    """There is no such page."""


@dataclass(slots=True)
class Stores:
    """What this service keeps things in; None where it has no use for it."""

    photos: Path
    rows: Rows | None = None
    updates: Updates | None = None
    jobs: Jobs | None = None


class Application:
    """One instance of one service."""

    def __init__(
        self,
        service: StagedService,
        callees: Mapping[str, StagedService],
        instance: str,
        zone: str,
        *,
        stores: Stores,
        caller: Caller,
        rng: np.random.Generator,
    ) -> None:
        spec = service.spec
        self.ready = False
        self.draining = False
        self.boot_s = 0.0
        self.ready_s = 0.0
        self.name = spec.name
        self._service = service
        self._callees = callees
        self._stores = stores
        self._caller = caller
        self._rng = rng
        self._loop = asyncio.get_running_loop()
        self._slots = Slots(spec.slots, service.queue_limit)
        self._times = ServiceTimes(spec.service_s, spec.service_scv, rng)
        self._counts = WorkerCounters(spec.slo_p95_s, [call.service for call in spec.calls])
        self._labels = {"service": spec.name, "instance": instance, "zone": zone}
        self._process = psutil.Process()
        self._watching = Watching(stores.updates, self._say) if stores.updates else None
        self._jobs = (
            WorkingOff(service, stores.jobs, self._slots, self._times, counts=self._counts)
            if stores.jobs
            else None
        )
        self._background: set[asyncio.Task[None]] = set()
        self._dice: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "websocket":
            if self._watching is None:
                await refuse(receive, send)
            else:
                await self._watching.serve(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        try:
            request = self._read(method, path)
        except NotFound:
            await self._aside(method, path, send)
            return
        if method == "POST":
            kind = dict(scope["headers"]).get(b"content-type", b"")
            body = await _body(receive)
            if len(body) > LARGEST_BODY:
                await _respond(send, 413, b'{"error":"too large"}')
                return
            try:
                if request.operation == "photos":
                    body = file_of(body, kind)
            except FormError as error:
                await _respond(send, 400, json.dumps({"error": str(error)}).encode())
                return
            request = replace(request, body=body)
        await _respond(send, *await self._serve(request))

    def start(self) -> None:
        """Warm: take requests from now on."""
        self.ready = True
        if self._jobs is not None:
            self._jobs.start()

    def drain(self) -> None:
        """Ask those who are connected for long to connect elsewhere, take no further jobs."""
        self.draining = True
        if self._watching is not None:
            self._watching.drain()
        if self._jobs is not None:
            self._jobs.drain()

    async def finish(self) -> None:
        """Let what was begun come to its end."""
        self.drain()
        if self._watching is not None:
            await self._watching.finish()
        if self._jobs is not None:
            await self._jobs.finish()
        while self._background:
            await asyncio.sleep(0.02)

    def _read(self, method: str, path: str) -> Request:
        parts = path.split("/")
        try:
            if parts[1] == "weddings" and len(parts) in (3, 4):
                page = parts[3] if len(parts) == 4 else ""
                return Request(PAGES[method, page], int(parts[2]))
            if parts[1] == self.name and len(parts) == 4:
                return Request(parts[2], int(parts[3]))
        except (IndexError, KeyError, ValueError):
            pass
        raise NotFound

    async def _serve(self, request: Request) -> tuple[int, bytes]:
        """Answer one request and count it: its status and body."""
        began_s = self._loop.time()
        counts = self._counts
        counts.arrived += 1
        try:
            if self._jobs is not None:
                return 202, await self._jobs.accept(request.wedding)  # counted when it is done
            answer = await self._call_others(request, await self._hold(request, began_s))
        except Shed:
            status, answer, outcome = 503, b'{"error":"too busy"}', "shed"
        except GaveUp:
            status, answer, outcome = 504, b'{"error":"waited too long"}', "timed_out"
        except (CallError, StoreError) as error:
            status, outcome = 502, "failed"
            answer = json.dumps({"error": str(error)}).encode()
        else:
            status, outcome = 200, "served"
            counts.responded(self._loop.time() - began_s)
        counts.outcomes[outcome] += 1
        return status, answer

    async def _hold(self, request: Request, began_s: float) -> bytes | None:
        """Do the work, and hold a slot for the drawn time meanwhile."""
        await self._slots.take(self._service.timeout_s)
        start_s = self._loop.time()
        self._counts.waited.observe(start_s - began_s)
        until_s = start_s + self._times.draw_s()
        try:
            answer = await self._work(request)
            left_s = until_s - self._loop.time()
            if left_s > 0.0:
                await asyncio.sleep(left_s)
        finally:
            self._slots.give_back()
            self._counts.held.observe(self._loop.time() - start_s)
        return answer

    async def _work(self, request: Request) -> bytes | None:
        """The answer, or None where it is a callee that knows it."""
        stores = self._stores
        if stores.rows is not None:
            named = request.operation in READS or request.operation in WRITES
            return await stores.rows.run(
                request.operation if named else "session", request.wedding, request.body
            )
        if stores.updates is not None:
            if request.operation == "messages":
                return await stores.updates.publish(request.wedding, _text(request.body))
            return await stores.updates.latest(request.wedding)
        if request.operation == "photos":
            return self._keep_photo(request)
        return None

    def _keep_photo(self, request: Request) -> bytes:
        """Kept by its content, so that the same photo again takes no further room."""
        photo = request.body
        digest = hashlib.blake2b(photo, digest_size=12).hexdigest()
        path = self._stores.photos / digest
        if not path.exists():
            write_atomically(path, photo, durable=False)  # a disk's sync is no part of a request
        return b'{"photo":"%s"}' % digest.encode()

    async def _call_others(self, request: Request, answer: bytes | None) -> bytes:
        """Make the calls of the platform file; the first may bring the answer itself."""
        for call in self._service.spec.calls:
            times = self._how_often(call.per_request)
            self._counts.calls[call.service] += times
            for _ in range(times):
                if call.asynchronous:
                    self._do(self._call_later(call, request))
                elif answer is None:
                    answer = await self._call(call, request.operation, request)
                else:
                    await self._call(call, "session", request)
        return answer if answer is not None else b'{"wedding":%d}' % request.wedding

    def _how_often(self, per_request: float) -> int:
        whole = int(per_request)
        if per_request == whole:
            return whole
        if not self._dice:
            self._dice = self._rng.random(512).tolist()
        return whole + (self._dice.pop() < per_request - whole)

    async def _call(self, call: Call, operation: str, request: Request) -> bytes:
        callee = self._callees[call.service]
        began_s = self._loop.time()
        answer = await self._caller.request(
            "POST",
            f"/{call.service}/{operation}/{request.wedding}",
            request.body if operation in WRITES else b"",
            callee.timeout_s,
        )
        self._counts.called.observe(self._loop.time() - began_s)
        if answer.status >= 400:
            raise CallError(f"{call.service} answered {answer.status}")
        return answer.body

    async def _call_later(self, call: Call, request: Request) -> None:
        """A call that nobody waits for; what is refused is lost, as its counters there say."""
        try:
            await self._call(call, "jobs", request)
        except CallError:
            return

    async def _say(self, wedding: int, said: bytes) -> tuple[int, bytes]:
        """What a guest says over a WebSocket."""
        return await self._serve(Request("messages", wedding, said))

    # --- what does not come through HAProxy

    async def _aside(self, method: str, path: str, send: Send) -> None:
        match method, path:
            case "GET", "/health":
                await _respond(send, 200 if self.ready else 503, b"{}")
            case "GET", "/metrics":
                text = self._counts.expose(self._labels, self._gauges())
                await _respond(send, 200, text, CONTENT_TYPE)
            case "POST", "/drain":
                self.drain()
                await _respond(send, 200, b"{}")
            case _:
                await _respond(send, 404, b'{"error":"no such page"}')

    def _gauges(self) -> dict[str, tuple[float, str]]:
        slots, spec = self._slots, self._service.spec
        memory = float(self._process.memory_info().rss)
        processor = self._process.cpu_times()
        waiting = slots.waiting + (self._jobs.share if self._jobs else 0.0)
        guests = float(self._watching.guests if self._watching else 0)
        return {
            "wedtwin_slots": (slots.size, "Requests that can be served at once."),
            "wedtwin_slots_busy": (slots.busy, "Slots that are taken now."),
            "wedtwin_slots_busy_seconds_total": (slots.busy_s, "Slot-seconds that were taken."),
            "wedtwin_queue_depth": (waiting, "Requests that wait for a slot now."),
            "wedtwin_queue_limit": (self._service.queue_limit, "Requests that may wait."),
            "wedtwin_memory_bytes": (memory, "Resident memory."),
            "wedtwin_memory_ratio": (memory / MEMORY_LIMIT_BYTES, "… as a share of the limit."),
            "wedtwin_cpu_seconds_total": (processor.user + processor.system, "Processor time."),
            "wedtwin_ready": (float(self.ready and not self.draining), "1: takes requests."),
            "wedtwin_boot_seconds": (self.boot_s, "From launch to listening."),
            "wedtwin_ready_seconds": (self.ready_s, "From launch to ready."),
            "wedtwin_slo_seconds": (spec.slo_p95_s, "What 95 % of the responses should keep."),
            "wedtwin_live_connections": (guests, "Guests who watch over a WebSocket."),
        }

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


def _text(body: bytes) -> str:
    """What somebody said: JSON with a `text`, or the text itself."""
    try:
        said = json.loads(body)
        return str(said["text"]) if isinstance(said, dict) else str(said)
    except (ValueError, KeyError):
        return body.decode(errors="replace")


async def _body(receive: Receive) -> bytes:
    """The body; of one that is too large, a little more than what is allowed."""
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body") and len(body) <= LARGEST_BODY:
        message = await receive()
        body += message.get("body", b"")
    return body


async def _respond(send: Send, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
