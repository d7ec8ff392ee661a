"""How long the API takes to answer while hundreds listen, and what that does to the engine's steps.

    python benchmarks/api_latency.py                    # 30 s at 500 requests/s, 200 streams
    python benchmarks/api_latency.py --rate 1000 --seconds 10
    python benchmarks/api_latency.py --url http://127.0.0.1:8700 --token-file token   # a real one

Server and clients are those of claim 3.4 (`twin/evidence/measures/answers.py`).  With `wrk` on the
machine it also says how many requests a second there are at the most.  What else the machine does
while this runs is in the figures; its load is printed.
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
from pathlib import Path

from twin.evidence.measures import answers

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
    given = parser.parse_args()
    print(f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.2f}")
    if given.url:
        worst = measured(given, given.url, given.token_file.read_text(encoding="utf-8").strip())
    else:
        with tempfile.TemporaryDirectory() as folder, answers.served(Path(folder), print) as server:
            worst = measured(given, server.url, server.token)
    print(f"load after {os.getloadavg()[0]:.2f}")
    sys.exit(1 if worst > LIMIT_MS else 0)


def measured(given: argparse.Namespace, url: str, token: str) -> float:
    """Print the figures; returns the 99th percentile in milliseconds."""
    load = asyncio.run(answers.load(url, token, given.rate, given.seconds, streams=given.streams))
    took_ms = sorted(one.took_ms for one in load.answers)
    errors = sum(not one.good for one in load.answers)

    def at(share: float) -> float:
        return took_ms[min(int(share * len(took_ms)), len(took_ms) - 1)]

    print(
        f"realtime at {given.rate:g}/s for {given.seconds:g} s with {given.streams} streams: "
        f"p50 {at(0.5):.1f} ms, p95 {at(0.95):.1f} ms, p99 {at(0.99):.1f} ms, "
        f"max {took_ms[-1]:.1f} ms; {len(took_ms)} answers, {errors} errors, "
        f"{load.events} events heard"
    )
    if given.wrk and shutil.which("wrk"):
        _wrk(url, token, given.wrk)
    return at(0.99)


def _wrk(url: str, token: str, seconds: float) -> None:
    ended = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds:g}s", "--latency", "-H",
         f"Authorization: Bearer {token}", url + answers.PATH],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    figures = re.findall(r"^\s+(50%|99%)\s+(\S+)$|Requests/sec:\s+(\S+)", ended.stdout, re.M)
    shown = [f"{share} {took}" if share else f"{rate} requests/s" for share, took, rate in figures]
    print(f"wrk, 16 connections as fast as it goes: {', '.join(shown)}")


if __name__ == "__main__":
    main()
