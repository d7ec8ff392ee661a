"""How long the API takes to answer while hundreds listen, and what that does to the engine's steps.

    python benchmarks/api_latency.py                    # 30 s at 500 requests/s, 200 streams
    python benchmarks/api_latency.py --rate 1000 --seconds 10
    python benchmarks/api_latency.py --url http://127.0.0.1:8700 --token-file token   # a real one

The server is a process of its own: the API over the five services of `wedsync`, with a step every
5 s of a made-up day whose snapshots are as large as an engine's.  Requests come from another
process at fixed times, whatever becomes of those before (an open loop), and each is counted from
when it was due: what waits for a slow answer counts as slow too.  One in ten asks for what it has
(`If-None-Match`).  With `wrk` on the machine it also says how many requests a second there are at
the most.  What else the machine does while this runs is in the figures; its load is printed.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

CONNECTIONS = 16
"""Requests are spread over so many, each in its turn."""
STEP_S = 5.0
PATH = "/api/scalability/metrics/realtime?timeRange=15m"
LIMIT_MS = 20.0


def main() -> None:
    """Measure and print; exit 1 if the 99th percentile is above the limit."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rate", type=float, default=500.0, help="requests a second")
    parser.add_argument("--streams", type=int, default=200, help="clients of the event stream")
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--wrk", type=float, default=5.0, help="seconds of wrk, 0: without it")
    parser.add_argument("--url", default="", help="measure this engine instead of one of its own")
    parser.add_argument("--token-file", type=Path, help="with the token for --url")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.serve is not None:
        serve(given.serve)
        return
    load = os.getloadavg()
    print(f"{os.cpu_count()} cores, load before {load[0]:.2f}")
    with tempfile.TemporaryDirectory() as folder:
        if given.url:
            token = given.token_file.read_text(encoding="utf-8").strip()
            worst = measured(given, given.url, token)
        else:
            worst = own(given, Path(folder))
    print(f"load after {os.getloadavg()[0]:.2f}")
    sys.exit(1 if worst > LIMIT_MS else 0)


def own(given: argparse.Namespace, folder: Path) -> float:
    """Measure a server that is started for it."""
    command = [sys.executable, __file__, "--serve", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        url, token = server.stdout.readline().split()
        try:
            worst = measured(given, url, token)
        finally:
            server.terminate()
            print(server.stdout.read().strip())
    return worst


# --- the clients


def measured(given: argparse.Namespace, url: str, token: str) -> float:
    """Print the figures; returns the 99th percentile in milliseconds."""
    took_ms, events, errors = asyncio.run(
        _load(url, token, given.rate, given.seconds, given.streams)
    )
    took_ms.sort()

    def at(share: float) -> float:
        return took_ms[min(int(share * len(took_ms)), len(took_ms) - 1)]

    print(
        f"realtime at {given.rate:g}/s for {given.seconds:g} s with {given.streams} streams: "
        f"p50 {at(0.5):.1f} ms, p95 {at(0.95):.1f} ms, p99 {at(0.99):.1f} ms, "
        f"max {took_ms[-1]:.1f} ms; {len(took_ms)} answers, {errors} errors, {events} events heard"
    )
    if given.wrk and shutil.which("wrk"):
        _wrk(url, token, given.wrk)
    return at(0.99)


async def _load(
    url: str, token: str, rate: float, seconds: float, streams: int
) -> tuple[list[float], int, int]:
    host, port = urlsplit(url).hostname or "", urlsplit(url).port or 80
    heard = [0]
    listening = [asyncio.create_task(_listen(host, port, token, heard)) for _ in range(streams)]
    while heard[0] < streams:
        await asyncio.sleep(0.05)
    took_ms: list[float] = []
    errors = [0]
    queue: asyncio.Queue[float | None] = asyncio.Queue()
    asking = [
        asyncio.create_task(_ask(host, port, token, queue, took_ms, errors))
        for _ in range(CONNECTIONS)
    ]
    begin = time.perf_counter() + 0.5
    for k in range(int(rate * seconds)):
        due = begin + k / rate
        wait_s = due - time.perf_counter()
        if wait_s > 0.0:
            await asyncio.sleep(wait_s)
        queue.put_nowait(due)
    for _ in asking:
        queue.put_nowait(None)
    await asyncio.gather(*asking)
    for task in listening:
        task.cancel()
    await asyncio.gather(*listening, return_exceptions=True)
    return took_ms, heard[0], errors[0]


async def _listen(host: str, port: int, token: str, heard: list[int]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(_request("/api/scalability/events", host, token))
    try:
        while line := await reader.readline():
            heard[0] += line.startswith(b"event: ")
    finally:
        writer.close()


async def _ask(
    host: str,
    port: int,
    token: str,
    queue: asyncio.Queue[float | None],
    took_ms: list[float],
    errors: list[int],
) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    etag, count = "", 0
    while (due := await queue.get()) is not None:
        count += 1
        writer.write(_request(PATH, host, token, etag if count % 10 == 0 else ""))
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        length = re.search(rb"content-length: (\d+)", head, re.I)
        if length and status != 304:
            await reader.readexactly(int(length[1]))
        given_etag = re.search(rb"etag: (\S+)", head, re.I)
        etag = given_etag[1].decode() if given_etag else ""
        errors[0] += status not in (200, 304)
        took_ms.append(1000.0 * (time.perf_counter() - due))
    writer.close()


def _request(path: str, host: str, token: str, etag: str = "") -> bytes:
    condition = f"If-None-Match: {etag}\r\n" if etag else ""
    return (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n{condition}\r\n"
    ).encode()


def _wrk(url: str, token: str, seconds: float) -> None:
    ended = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds:g}s", "--latency", "-H",
         f"Authorization: Bearer {token}", url + PATH],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    figures = re.findall(r"^\s+(50%|99%)\s+(\S+)$|Requests/sec:\s+(\S+)", ended.stdout, re.M)
    shown = [f"{share} {took}" if share else f"{rate} requests/s" for share, took, rate in figures]
    print(f"wrk, 16 connections as fast as it goes: {', '.join(shown)}")


# --- the server


def serve(folder: Path) -> None:
    """Serve until SIGTERM; stdout begins with the URL and a token, and ends with figures."""
    import signal
    import threading

    from engine.adapters import cabinet_files
    from engine.adapters.store.sqlite import local_desk
    from engine.api.assembly import assembled, served
    from engine.config.api import ApiConfig, ApiLimits, RateLimit
    from engine.config.composition import composed
    from engine.config.platform import PlatformConfig
    from engine.config.security import SecurityConfig
    from engine.config.strict import validated
    from engine.security.audit.courier import Courier
    from engine.security.audit.log import opened
    from engine.security.roles import Role
    from engine.security.tokens import Tokens
    from engine.settings import EngineSettings

    tree = composed(["platform=wedsync"], root="live")
    specs = validated(PlatformConfig, tree["platform"]).specs()
    plenty = RateLimit(per_s=100_000.0, burst=1_000_000)
    config = ApiConfig(port=0, limits=ApiLimits(reads=plenty), predictions=None)
    desk = local_desk(folder)
    context = assembled(
        _Nobody(), specs, EngineSettings(), config, SecurityConfig(), folder, desk,
        Courier(desk, opened(folder / "audit")), acts=True, tree={},
    )  # fmt: skip
    token, _ = Tokens(cabinet_files.opened(folder), loopback=True).create(
        "bench", [Role.VIEWER], None, now_s=time.time(), for_s=86_400.0, made_by="bench"
    )
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    took_ms = []
    for k in range(180):  # a quarter of an hour of samples
        _step(context.board, specs, time.time() - STEP_S * (180 - k))
    with served(context, lambda url, _: print(url, token, flush=True)):
        while not stop.wait(STEP_S):
            began = time.perf_counter()
            _step(context.board, specs, time.time())
            took_ms.append(1000.0 * (time.perf_counter() - began))
    longest = max(took_ms, default=0.0)
    print(f"the engine's thread left {len(took_ms)} snapshots, the slowest in {longest:.1f} ms")


class _Nobody:
    """Takes no notes."""

    def step(self, *given: object) -> None:
        """Nothing."""

    def result(self, *given: object) -> None:
        """Nothing."""

    def event(self, *given: object) -> None:
        """Nothing."""

    def status(self, *given: object) -> None:
        """Nothing."""


def _step(board, specs, now_s: float) -> None:  # type: ignore[no-untyped-def]
    import numpy as np

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
    board.step(now_s, Observation(now_s, seen, outlook), plan, 0.01, Reading(windows))
    board.status(
        {"time_s": now_s, "acts": True, "steps": 1, "skipped": 0, "troubles": {}, "awaiting": []}
    )


if __name__ == "__main__":
    main()
