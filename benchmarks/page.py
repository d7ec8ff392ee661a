"""What the live page weighs, how soon it is there, and what a day with it open does to the browser.

    python benchmarks/page.py                    # 50 services, a day in two minutes
    python benchmarks/page.py --services 5 --speed 60 --begin peak-3600 --seconds 60

A real `twin serve` of `june_peak` and Debian's Chromium: the platform's own services, and further
ones that the api calls.  From a step to the pixel is from when a listener in this process has the
step's event to the frame after the one that shows its time of day or a later one; with more steps
than drawings most are never drawn themselves.  Heap is what is left after the browser has collected
its garbage.  Times are of this machine with whatever else it does: its load is printed.
"""

from __future__ import annotations

import argparse
import bisect
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests/integration/page")]

import yaml
from browser import INSTALL, PROGRAM, Browser, browsing

from engine.page import files

WEIGHT, FIRST_MS, PIXEL_MS, HEAP, FRAMES, TRIED_MS = 150e3, 500.0, 1000.0, 5e6, 30.0, 5000.0
PATIENCE_S = 300.0
LOOK_S = 2.0
VISITS = 5
DAY_S = 86_400
PROBE = """
globalThis.probe = { shown: [], frames: 0, there: 0 };
(() => {
  let [text, waits] = ["", ""];
  const look = () => {
    const now = document.querySelector("header time")?.textContent ?? "";
    if (waits) probe.shown.push([waits, Date.now()]);
    waits = now === text ? "" : now;
    text = now;
    probe.frames += 1;
    if (probe.there === 1) probe.there = performance.now();
    if (!probe.there && document.querySelector("table.services tbody tr")) probe.there = 1;
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})();
"""


def main() -> None:
    """Measure and print; exit 1 where a limit is passed."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--services", type=int, default=50)
    parser.add_argument("--speed", type=float, default=720.0, help="seconds of the day in one")
    parser.add_argument("--begin", default="60", help="as `twin serve` has it")
    parser.add_argument("--seconds", type=float, default=1e9, help="look so long; else the day")
    given = parser.parse_args()
    if PROGRAM is None:
        sys.exit(INSTALL)
    print(f"{os.cpu_count()} cores, load before {os.getloadavg()[0]:.1f}")
    passed = [
        said("weight of all files, kB", sum(len(f.content) for f in files().values()), WEIGHT, 1e3)
    ]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "profile").mkdir()
        with served(folder, given) as (address, token), browsing(folder / "profile") as browser:
            browser.command("Page.addScriptToEvaluateOnNewDocument", source=PROBE)
            browser.screen(1440)
            passed += measured(browser, address, token, given)
        assert not browser.complaints, browser.complaints
        hosts = {one.split("/")[2] for one in browser.addresses if one.startswith("http")}
        assert hosts == {address.split("/")[2]}, hosts
    print(f"load after {os.getloadavg()[0]:.1f}")
    sys.exit(0 if all(passed) else 1)


def measured(browser: Browser, address: str, token: str, given: argparse.Namespace) -> list[bool]:
    """Print the figures of a logged-in tab; returns which limits were kept."""
    browser.open(address)
    browser.type("#token", token)
    browser.press("Enter")
    browser.until("probe.there > 1")
    first, there = [], []
    for _ in range(VISITS):
        browser.command("Page.reload")
        browser.until("performance.getEntriesByType('paint').length > 1 && probe.there > 1")
        first.append(browser.value("performance.getEntriesByType('paint').at(-1).startTime"))
        there.append(browser.value("probe.there"))
    passed = [
        said(f"first paint, ms, the slowest of {VISITS} visits", max(first), FIRST_MS),
        said("… with all services, the slowest", max(there), FIRST_MS),
        said("… with all services, the median", sorted(there)[VISITS // 2], FIRST_MS),
    ]
    browser.go("if")
    browser.choose("#if-zone", "b")
    browser.type("#if-load", "api")
    browser.value("performance.mark('asked')")
    browser.click("#if-try")
    browser.until("/Tried out in|given up/.test(document.querySelector('main').innerText)")
    took_ms = browser.value(
        "performance.now() - performance.getEntriesByName('asked')[0].startTime"
    )
    if not browser.text().count("Tried out in"):
        took_ms = float("inf")  # the engine gave it up
    passed.append(said("what if a zone is lost and the load triples, ms", took_ms, TRIED_MS))
    browser.go("now")
    browser.until("document.querySelector('table.services tbody tr') !== null")
    sent: list[tuple[float, float]] = []
    threading.Thread(target=listen, args=(address, token, sent), daemon=True).start()
    return passed + watched(browser, sent, given)


def watched(
    browser: Browser, sent: list[tuple[float, float]], given: argparse.Namespace
) -> list[bool]:
    """The rest of the day with the page open."""
    shown: list[tuple[str, float]] = []
    browser.value("probe.shown.length = 0")
    began, frames, slowest = time.monotonic(), browser.value("probe.frames"), float("inf")
    before, heaps = began, [heap(browser)]
    while not sent:
        time.sleep(0.1)
    start_s = sent[0][0]
    end_s = start_s - start_s % DAY_S + 8 * 3600 + DAY_S - 3600  # an hour before the day is over
    lasts_s = min(given.seconds, 2 * DAY_S / given.speed)
    while sent[-1][0] < end_s and time.monotonic() < began + lasts_s:
        time.sleep(LOOK_S)
        shown += [(text, at / 1e3) for text, at in browser.value("probe.shown.splice(0)")]
        now, there = time.monotonic(), browser.value("probe.frames")
        slowest = min(slowest, (there - frames) / (now - before))
        before, frames = now, there
        heaps.append(heap(browser))
        before, frames = time.monotonic(), browser.value("probe.frames")  # collecting is no frame
    took_ms = sorted(1e3 * one for one in delays(sent, shown))
    hours = (sent[-1][0] - start_s) / 3600
    print(f"{hours:.1f} h of the day in {time.monotonic() - began:.0f} s, {len(sent):,} steps, "
          f"{len(shown):,} of them drawn")  # fmt: skip
    middle, p95 = (took_ms[int(share * len(took_ms))] for share in (0.5, 0.95))
    print(f"heap, kB: {', '.join(f'{one / 1e3:.0f}' for one in heaps[:: max(len(heaps) // 8, 1)])}")
    return [
        said("from a step to the pixel, ms, median", middle, PIXEL_MS),
        said("… p95", p95, PIXEL_MS),
        said("frames a second, the fewest in two seconds", slowest, FRAMES, least=True),
        said("growth of the heap, kB", heaps[-1] - heaps[0], HEAP, 1e3),
    ]


def said(what: str, value: float, limit: float, unit: float = 1.0, *, least: bool = False) -> bool:
    """Print a figure beside its limit; returns whether that is kept."""
    kept = value >= limit if least else value <= limit
    word = "at least" if least else "at most"
    print(f"{'ok  ' if kept else 'MISS'}  {what}: {value / unit:,.0f} ({word} {limit / unit:,.0f})")
    return kept


def heap(browser: Browser) -> float:
    """Bytes of the page's heap that are still in use."""
    browser.command("HeapProfiler.collectGarbage")
    return float(browser.command("Runtime.getHeapUsage")["usedSize"])


def delays(sent: list[tuple[float, float]], shown: list[tuple[str, float]]) -> Iterator[float]:
    """Seconds from each step to the first frame that shows it or a later one."""
    day_s = sent[0][0] - sent[0][0] % DAY_S
    drawn, at = [], []
    for text, wall_s in shown:
        hour, minute, second = map(int, text.split(" ")[0].split(":"))
        time_s = day_s + 3600 * hour + 60 * minute + second
        if drawn and time_s < drawn[-1] - DAY_S / 2:  # after midnight
            day_s, time_s = day_s + DAY_S, time_s + DAY_S
        drawn.append(time_s)
        at.append(wall_s)
    for time_s, came_s in list(sent):
        k = bisect.bisect_left(drawn, int(time_s))
        if k < len(drawn):
            yield max(at[k] - came_s, 0.0)


def listen(address: str, token: str, sent: list[tuple[float, float]]) -> None:
    """Note when each step's event comes: its time in the day, and on the clock."""
    asked = urllib.request.Request(
        f"{address}/api/scalability/events", headers={"Authorization": f"Bearer {token}"}
    )
    with contextlib.suppress(OSError), urllib.request.urlopen(asked, timeout=60) as stream:
        kind = ""
        for line in stream:
            if line.startswith(b"event: "):
                kind = line[7:].strip().decode()
            elif line.startswith(b"data: ") and kind == "samples":
                sent.append((json.loads(line[6:])["at_s"], time.time()))


@contextlib.contextmanager
def served(folder: Path, given: argparse.Namespace) -> Iterator[tuple[str, str]]:
    """The address and the token of a served twin."""
    tree = yaml.safe_load((ROOT / "conf/platform/wedsync.yaml").read_text(encoding="utf-8"))
    like = {**tree["services"]["api"], "calls": {}, "user_facing": False}
    further = []
    for number in range(len(tree["services"]), given.services):
        name = f"service-{number + 1:02}"
        further += [
            f"+platform.services.{name}={written(like)}",
            f"+platform.services.api.calls.{name}={{per_request:0.2,asynchronous:true}}",
        ]
    printed = folder / "stderr"
    with printed.open("wb") as to:
        process = subprocess.Popen(
            [
                sys.executable, "-m", "twin", "serve", *further,
                "scenario=june_peak", "api.port=0", f"begin={given.begin}",
                f"speed={given.speed}", f"output={folder}",
            ],
            stdout=subprocess.DEVNULL, stderr=to, cwd=folder,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
    began = time.monotonic()
    try:
        place = token = None
        while not (place and token):
            text = printed.read_text(encoding="utf-8")
            assert process.poll() is None and time.monotonic() < began + PATIENCE_S, text
            place = re.search(r"the page is at (http://\S+?)/,", text)
            token = re.search(r"^token: (\S+)$", text, re.MULTILINE)
            time.sleep(0.1)
        print(f"{given.services} services; page and token after {time.monotonic() - began:.1f} s")
        yield place[1], token[1]
    finally:
        process.kill()
        process.wait()


def written(value: Any) -> str:
    """A value as an override has it."""
    if isinstance(value, dict):
        return "{" + ",".join(f"{key}:{written(one)}" for key, one in value.items()) + "}"
    return json.dumps(value)


if __name__ == "__main__":
    main()
