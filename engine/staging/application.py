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
import os
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.model import Call
from engine.staging.calls import Caller, CallError
from engine.staging.exposition import Counts
from engine.staging.layout import StagedService
from engine.staging.slots import GaveUp, ServiceTimes, Shed, Slots
from engine.staging.stores import READS, WRITES, Jobs, Rows, StoreError, Updates

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

MEMORY_LIMIT_BYTES = 256 * 2**20
"""What an instance is said to have; its memory metric is a share of it."""

WATCHER_LIMIT = 1000
"""Updates that may wait for a guest who reads slowly."""

SETTLE_S = 0.3
"""So long an update may be under way from Redis when a guest is asked to connect elsewhere."""

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
    kind: bytes = b""
    """The body's content type."""


class NotFound(Exception):
    """There is no such page."""


@dataclass(slots=True, eq=False)
class Watcher:
    """One guest who watches a wedding: what is still to be told, None for the end of it.

    `saying` is how many of the guest's own messages are being served.
    """

    told: asyncio.Queue[bytes | None] = field(default_factory=lambda: asyncio.Queue(WATCHER_LIMIT))
    saying: int = 0

    def tell(self, update: bytes | None) -> None:
        """Tell an update; who does not read is not waited for."""
        if not self.told.full():
            self.told.put_nowait(update)


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
        self._counts = Counts(self._service.spec.slo_p95_s)
        self._labels = f'service="{spec.name}",instance="{instance}",zone="{zone}"'
        self._watchers: dict[int, set[Watcher]] = {}
        self._background: set[asyncio.Task[None]] = set()
        self._job_share = 0.0
        self._dice: list[float] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI's entry."""
        if scope["type"] == "websocket":
            await self._live(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        try:
            request = self._read(method, path)
        except NotFound:
            await self._aside(method, path, send)
            return
        if method == "POST":
            kind = dict(scope["headers"]).get(b"content-type", b"")
            request = replace(request, body=await _body(receive), kind=kind)
        await _respond(send, *await self._serve(request))

    def start(self) -> None:
        """Begin with what goes on beside the requests."""
        if self._stores.updates is not None:
            self._do(self._tell_listeners(self._stores.updates))
        if self._stores.jobs is not None:
            self._do(self._keep_jobs_alive(self._stores.jobs))
            for _ in range(self._slots.size):
                self._do(self._work_off(self._stores.jobs))

    async def finish(self) -> None:
        """Let what was begun in the background come to its end."""
        self.drain()
        if self._stores.jobs is not None:
            await self._stores.jobs.leave()
        endless = self._stores.updates is not None
        while len(self._background) > endless:
            await asyncio.sleep(0.02)

    def drain(self) -> None:
        """Ask those who are connected for long to connect elsewhere, take no further jobs."""
        self.draining = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                self._do(self._move_on(watcher))

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
            if self._stores.jobs is not None:
                return await self._accept_job(request, self._stores.jobs)
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
            known = request.operation in READS or request.operation in WRITES
            return await stores.rows.run(
                request.operation if known else "session", request.wedding, request.body
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
        photo = _photo(request)
        digest = hashlib.blake2b(photo, digest_size=12).hexdigest()
        path = self._stores.photos / digest
        if not path.exists():
            part = path.with_suffix(f".{os.getpid()}")
            part.write_bytes(photo)
            part.replace(path)
        return b'{"photo":"%s"}' % digest.encode()

    async def _call_others(self, request: Request, answer: bytes | None) -> bytes:
        """Make the calls of the platform file; the first may bring the answer itself."""
        for call in self._service.spec.calls:
            for _ in range(self._how_often(call.per_request)):
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

    # --- jobs

    async def _accept_job(self, request: Request, jobs: Jobs) -> tuple[int, bytes]:
        limit = self._service.queue_limit
        job = {"wedding": request.wedding, "asked_s": time.time(), "id": self._counts.arrived}
        # The limit is that of one instance, the queue that of all: compare the even share.
        if self._job_share >= limit or not await jobs.put(job, 1_000_000):
            raise Shed
        return 202, b'{"accepted":true}'

    async def _work_off(self, jobs: Jobs) -> None:
        """One slot: job after job."""
        while not self.draining:
            try:
                taken = await jobs.take() if self.ready else None
                if taken is None:
                    if not self.ready:
                        await asyncio.sleep(0.1)
                    continue
                job = json.loads(taken)
                waited_s = max(0.0, time.time() - job["asked_s"])
                if waited_s > self._service.timeout_s:
                    self._counts.outcomes["timed_out"] += 1
                    await jobs.finish(taken, job["wedding"], "given up")
                    continue
                await self._slots.take(self._service.timeout_s)
                start_s = self._loop.time()
                self._counts.waited.observe(waited_s)
                try:
                    await asyncio.sleep(self._times.draw_s())
                finally:
                    self._slots.give_back()
                held_s = self._loop.time() - start_s
                self._counts.held.observe(held_s)
                await jobs.finish(taken, job["wedding"], '{"tags":["couple","cake"]}')
                self._counts.responded(waited_s + held_s)
                self._counts.outcomes["served"] += 1
            except StoreError:
                await asyncio.sleep(0.5)

    async def _keep_jobs_alive(self, jobs: Jobs) -> None:
        while not self.draining:
            try:
                if self.ready:
                    self._job_share = await jobs.heartbeat()
            except StoreError:
                self._job_share = 0.0
            await asyncio.sleep(1.0)

    # --- live updates

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One guest who watches a wedding: told what happens, may say something."""
        updates = self._stores.updates
        await receive()
        parts = scope["path"].split("/")
        if updates is None or len(parts) != 4 or parts[3] != "live" or not parts[2].isdecimal():
            await send({"type": "websocket.close", "code": 1008})
            return
        await send({"type": "websocket.accept"})
        wedding, watcher = int(parts[2]), Watcher()
        watchers = self._watchers.setdefault(wedding, set())
        watchers.add(watcher)
        listening = self._loop.create_task(self._listen_to(wedding, receive, watcher))
        if self.draining:
            self._do(self._move_on(watcher))
        try:
            if len(watchers) == 1:
                await updates.follow(wedding)
            while (update := await watcher.told.get()) is not None:
                await send({"type": "websocket.send", "text": update.decode()})
            if not listening.done():
                # "Service restart": the client is to connect again, and gets another instance.
                await send({"type": "websocket.close", "code": 1012})
        except StoreError:
            await send({"type": "websocket.close", "code": 1011})
        except OSError:
            pass  # the guest left while something was being told
        finally:
            listening.cancel()
            watchers.discard(watcher)
            if not watchers and self._watchers.pop(wedding, None) is watchers:
                await _quietly(updates.unfollow(wedding))

    async def _listen_to(self, wedding: int, receive: Receive, watcher: Watcher) -> None:
        """What the guest says is a request like any other."""
        while (message := await receive())["type"] == "websocket.receive":
            said = message.get("text") or message.get("bytes") or b""
            body = said.encode() if isinstance(said, str) else said
            watcher.saying += 1
            status, answer = await self._serve(Request("messages", wedding, body))
            watcher.saying -= 1
            if status >= 400:
                watcher.tell(answer)
        watcher.tell(None)

    async def _move_on(self, watcher: Watcher) -> None:
        """Ask a guest to connect elsewhere, once what was said is served and told."""
        await asyncio.sleep(SETTLE_S)
        while watcher.saying:
            await asyncio.sleep(SETTLE_S)
        watcher.tell(None)

    async def _tell_listeners(self, updates: Updates) -> None:
        async for wedding, update in updates.heard():
            for watcher in self._watchers.get(wedding, ()):
                watcher.tell(update)

    # --- what does not come through HAProxy

    async def _aside(self, method: str, path: str, send: Send) -> None:
        match method, path:
            case "GET", "/health":
                await _respond(send, 200 if self.ready else 503, b"{}")
            case "GET", "/metrics":
                text = self._counts.expose(self._labels, self._gauges())
                await _respond(send, 200, text.encode(), b"text/plain; version=0.0.4")
            case "POST", "/drain":
                self.drain()
                await _respond(send, 200, b"{}")
            case _:
                await _respond(send, 404, b'{"error":"no such page"}')

    def _gauges(self) -> dict[str, tuple[float, str]]:
        slots, spec = self._slots, self._service.spec
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        memory = float(pages * os.sysconf("SC_PAGE_SIZE"))
        processor = os.times()
        waiting = slots.waiting + self._job_share
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
            "wedtwin_live_connections": (
                float(sum(map(len, self._watchers.values()))),
                "Guests who watch over a WebSocket.",
            ),
        }

    def _do(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)


async def _quietly(command: Awaitable[None]) -> None:
    try:
        await command
    except StoreError:
        return


def _text(body: bytes) -> str:
    """What somebody said: JSON with a `text`, or the text itself."""
    try:
        said = json.loads(body)
        return str(said["text"]) if isinstance(said, dict) else str(said)
    except (ValueError, KeyError):
        return body.decode(errors="replace")


def _photo(request: Request) -> bytes:
    """The file of a multipart form, or the whole body when it is none."""
    kind, _, boundary = request.kind.partition(b"boundary=")
    if not kind.startswith(b"multipart/form-data") or not boundary:
        return request.body
    for part in request.body.split(b"--" + boundary.strip(b'"')):
        head, _, content = part.partition(b"\r\n\r\n")
        if b"filename=" in head:
            return content.removesuffix(b"\r\n")
    return b""


async def _body(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > LARGEST_BODY:
            return body[:LARGEST_BODY]
    return body


async def _respond(send: Send, status: int, body: bytes, kind: bytes = b"application/json") -> None:
    headers = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", b"1"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
