"""Rows that are seconds of clients who ask the API while hundreds listen to its events.

The server is a process of its own: the API over the five services of `wedsync`, with a step every
5 s of a made-up day whose snapshots are as large as an engine's.  Requests come from another
process at fixed times, whatever becomes of those before (an open loop), and each is counted from
when it was due: what waits for a slow answer counts as slow too.  One in ten asks for what it has
(`If-None-Match`).
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

CONNECTIONS = 16
"""Requests are spread over so many, each in its turn."""
STEP_S = 5.0
"""Between two snapshots of the engine."""
WARM_S = 1.0
"""So long the clients ask before anything counts."""
PATH = "/api/scalability/metrics/realtime?timeRange=15m"
SERVE = "import sys; from twin.evidence.measures.answers import serve; serve(sys.argv[1])"


def latencies(
    *, rows: int, seed: int, rate: float = 500.0, streams: int = 200, seconds: float = 2.0,
    paused_s: float = 0.0,
) -> list[dict[str, Any]]:  # fmt: skip
    """`rows` rows of so many `seconds`: `p99_ms` of what was due in them, `asked`, `errors`.

    With `paused_s` the server is stopped for so long in each second (SIGSTOP).  Nothing of it is
    random; `seed` only tells rows apart.
    """
    with tempfile.TemporaryDirectory(prefix="wt-answers-") as name, served(Path(name)) as server:
        whole = asyncio.run(
            paused(server, rate, WARM_S + rows * seconds, streams, paused_s=paused_s)
        )
    made = []
    for row in range(rows):
        from_s = WARM_S + row * seconds
        due = [one for one in whole.answers if from_s <= one.due_s < from_s + seconds]
        made.append(
            {
                "seed": seed + row,
                "p99_ms": float(np.quantile([one.took_ms for one in due], 0.99)),
                "asked": len(due), "errors": sum(not one.good for one in due),
            }
        )  # fmt: skip
    return made


# --- the clients


@dataclass(frozen=True, slots=True)
class TimedAnswer:
    """One answer: when its request was due, from the first, and what it took from then."""

    due_s: float
    took_ms: float
    good: bool


@dataclass(frozen=True, slots=True)
class Load:
    """What came of a load."""

    answers: Sequence[TimedAnswer]
    events: int
    """That all streams heard."""


async def load(url: str, token: str, rate: float, seconds: float, *, streams: int) -> Load:
    """Ask `rate` times a second for `seconds` while `streams` clients listen."""
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    heard = [0]
    listening = [asyncio.create_task(_listen(host, port, token, heard)) for _ in range(streams)]
    while heard[0] < streams:
        for one in listening:
            if one.done():  # it only ends by being refused or cut
                one.result()
                raise ConnectionError(f"{url}: ended an event stream before its first event")
        await asyncio.sleep(0.05)
    answers: list[TimedAnswer] = []
    queue: asyncio.Queue[float | None] = asyncio.Queue()
    begin_s = time.perf_counter() + 0.5
    asking = [
        asyncio.create_task(_ask(host, port, token, queue, answers=answers, begin_s=begin_s))
        for _ in range(CONNECTIONS)
    ]
    for k in range(int(rate * seconds)):
        due_s = k / rate
        wait_s = begin_s + due_s - time.perf_counter()
        if wait_s > 0.0:
            await asyncio.sleep(wait_s)
        queue.put_nowait(due_s)
    for _ in asking:
        queue.put_nowait(None)
    await asyncio.gather(*asking)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return Load(answers, heard[0])


async def _listen(host: str, port: int, token: str, heard: list[int]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(_request("/api/scalability/events", host, token))
    try:
        while line := await reader.readline():
            heard[0] += line.startswith(b"event: ")
    finally:
        writer.close()


async def _ask(
    host: str, port: int, token: str, queue: asyncio.Queue[float | None],
    *, answers: list[TimedAnswer], begin_s: float,
) -> None:  # fmt: skip
    reader, writer = await asyncio.open_connection(host, port)
    etag, count = "", 0
    while (due_s := await queue.get()) is not None:
        count += 1
        writer.write(_request(PATH, host, token, etag if count % 10 == 0 else ""))
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = re.search(rb"content-length: (\d+)", head, re.I)
        if length and status != 304:
            await reader.readexactly(int(length[1]))
        given_etag = re.search(rb"etag: (\S+)", head, re.I)
        etag = given_etag[1].decode() if given_etag else ""
        took_ms = 1000.0 * (time.perf_counter() - begin_s - due_s)
        answers.append(TimedAnswer(due_s, took_ms, status in (200, 304)))
    writer.close()


def _request(path: str, host: str, token: str, etag: str = "") -> bytes:
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{condition}\r\n"
    ).encode()


async def paused(
    server: Server, rate: float, seconds: float, streams: int, *, paused_s: float
) -> Load:
    """The same with the server stopped for `paused_s` of each second; 0: never."""
    pausing = asyncio.create_task(_pauses(server.pid, paused_s)) if paused_s else None
    try:
        return await load(server.url, server.token, rate, seconds, streams=streams)
    finally:
        if pausing is not None:
            pausing.cancel()
            await asyncio.gather(pausing, return_exceptions=True)


async def _pauses(pid: int, paused_s: float) -> None:
    try:
        while True:
            os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(paused_s)
            os.kill(pid, signal.SIGCONT)
            await asyncio.sleep(1.0 - paused_s)
    finally:
        os.kill(pid, signal.SIGCONT)


# --- the server


@dataclass(frozen=True, slots=True)
class Server:
    """A server of its own process, and how it is reached."""

    pid: int
    url: str
    token: str


@contextmanager
def served(folder: Path, say: Callable[[str], object] = len) -> Iterator[Server]:
    """The API, until the block ends; `say` is told what it says then."""
    command = [sys.executable, "-c", SERVE, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline().split()
            if len(said) != 2:
                raise RuntimeError(f"the server did not start (exit code {process.wait()})")
            yield Server(process.pid, *said)
        finally:
            process.terminate()
            say(process.stdout.read().strip())


def serve(folder: str) -> None:
    """Serve until SIGTERM; stdout begins with the URL and a token, and ends with figures."""
    from engine.api.assembly import assembled
    from engine.api.local_office import local_office, local_tokens
    from engine.api.serving import serving
    from engine.config.api import ApiConfig, ApiLimits, RateLimit
    from engine.config.composition import composed
    from engine.config.platform import PlatformConfig
    from engine.config.strict import validated
    from engine.security.roles import Role
    from engine.settings import EngineSettings
    from twin.evidence.measures.ingest import SilentNotes

    tree = composed(["platform=wedsync"], root="live")
    specs = validated(PlatformConfig, tree["platform"]).specs()
    plenty = RateLimit(per_s=100_000.0, burst=1_000_000)
    config = ApiConfig(port=0, limits=ApiLimits(reads=plenty), predictions=None)
    context = assembled(
        SilentNotes(),
        specs,
        EngineSettings(),
        config,
        office=local_office(Path(folder)),
        tree={},
    )
    token, _ = local_tokens(Path(folder)).create(
        "a client", [Role.VIEWER], None, now_s=time.time(), for_s=86_400.0, made_by="evidence"
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    took_ms = []
    for k in range(180):  # a quarter of an hour of samples
        _step(context.board, specs, time.time() - STEP_S * (180 - k))
    with serving(context) as url:
        sys.stdout.write(f"{url} {token}\n")
        sys.stdout.flush()
        while not stop.wait(STEP_S):
            began_s = time.perf_counter()
            _step(context.board, specs, time.time())
            took_ms.append(1000.0 * (time.perf_counter() - began_s))
    longest = max(took_ms, default=0.0)
    sys.stdout.write(
        f"the engine's thread left {len(took_ms)} snapshots, the slowest in {longest:.1f} ms\n"
    )


def _step(board: Any, specs: Sequence[Any], now_s: float) -> None:
    from engine.model import SAMPLE_DTYPE, Forecast, Observation, Outlook, Plan, ServiceObservation
    from engine.ports.metrics import Reading

    rng = np.random.default_rng(int(now_s))
    windows = {}
    for one in specs:
        window = np.zeros(60, SAMPLE_DTYPE)
        window["time_s"] = now_s - 1.0 - STEP_S * np.arange(60)[::-1]
        for name in ("cpu", "memory", "request_rate", "p50_s", "p95_s", "p99_s", "error_rate"):
            window[name] = rng.random(60)
        windows[one.name] = window
    load = np.ones((len(specs), 2880))
    events = np.ones(2880)
    rows = {one.name: i for i, one in enumerate(specs)}
    outlook = Outlook(now_s, now_s - 86_400.0, 60.0, rows, load, load, events, events, 0.1)
    seen = tuple(ServiceObservation(one, 40, 38, 2, 0, windows[one.name]) for one in specs)
    forecasts = tuple(
        Forecast(one.name, horizon_s, 90.0, 100.0, 110.0)
        for one in specs
        for horizon_s in (300.0, 900.0, 1800.0, 3600.0, 7200.0, 14_400.0)
    )
    plan = Plan(forecasts=forecasts, floors=dict.fromkeys(rows, 10))
    board.step(now_s, Observation(now_s, seen, outlook), plan, 0.01, reading=Reading(windows))
    board.status(
        {"time_s": now_s, "acts": True, "steps": 1, "skipped": 0, "troubles": {}, "awaiting": []}
    )
