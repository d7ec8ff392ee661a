"""How fast the store keeps, and what a crash leaves of it: `python benchmarks/store.py`.

Commits under a steady load of rows (each waits until its row is on the disk); the size of the
journal meanwhile; how long a restart takes with a month stored, after a kill; then real kills and
simulated losses of power, of which none may lose what was acknowledged (tests/store_crashes.py).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CRASHES = ROOT / "tests" / "store_crashes.py"
CONTENT = '{"service": "api", "explanation": "' + "x" * 800 + '"}'


async def commits(folder: Path, rate: float, seconds: float) -> tuple[list[float], int]:
    """How long (s) rows offered at `rate` (1/s) waited, and the largest journal (bytes)."""
    from engine.adapters.store.halves import SqlStore
    from engine.adapters.store.sqlite import FILE, SqliteFile
    from engine.ports.lease import Fence
    from engine.ports.store import HistoryRow, Kept, RowKind

    store = SqlStore(SqliteFile(folder))
    journal, largest = folder / f"{FILE}-wal", 0
    waited: list[float] = []

    async def keep(number: int) -> None:
        began = time.perf_counter()
        row = HistoryRow(RowKind.INTENT, f"d-{number}", float(number), CONTENT)
        await store.keep(Kept(rows=(row,)), Fence(1))
        waited.append(time.perf_counter() - began)

    await keep(-1)
    waited.clear()
    begun_s, number = time.perf_counter(), 0
    under_way: set[asyncio.Task[None]] = set()
    # Offered when it is due, whatever became of those before.
    while (passed_s := time.perf_counter() - begun_s) < seconds:
        while number < passed_s * rate:
            task = asyncio.create_task(keep(number))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            number += 1
        if number % 100 < rate / 500.0 and journal.exists():
            largest = max(largest, journal.stat().st_size)
        await asyncio.sleep(0.001)
    await asyncio.gather(*under_way)
    await store.close()
    return sorted(waited), largest


def month(folder: Path, days: int, decisions_a_day: int) -> int:
    """Store so many days, end as a kill does, and return how many rows there are."""
    from engine.adapters.store import statements
    from engine.adapters.store.sqlite import SqliteFile
    from engine.ports.lease import Fence
    from engine.ports.store import HistoryRow, Kept, RowKind

    kinds = (RowKind.DECISION, RowKind.INTENT, RowKind.RESULT, RowKind.RESULT)
    child = os.fork()
    if child == 0:
        try:
            file = SqliteFile(folder)
            for day in range(days):
                rows = [
                    HistoryRow(kind, f"d-{day}-{k}-{part}", float(k), CONTENT)
                    for k in range(decisions_a_day)
                    for part, kind in enumerate(kinds)
                ]
                for first in range(0, len(rows), 2000):
                    kept = Kept('"' + "m" * 50_000 + '"', (), tuple(rows[first : first + 2000]))
                    file.write(lambda to, kept=kept: statements.keep(to, kept, Fence(1))).result()
        finally:
            os._exit(0)  # nothing is closed: the journal stays as it is
    os.waitpid(child, 0)
    return days * decisions_a_day * len(kinds)


async def restart(folder: Path) -> float:
    """Seconds until a new engine has what it needs, and has kept something itself."""
    from engine.adapters.store.halves import SqlStore
    from engine.adapters.store.sqlite import SqliteFile
    from engine.ports.lease import Fence
    from engine.ports.store import Kept

    began = time.perf_counter()
    store = SqlStore(SqliteFile(folder))
    await store.newest()
    memory = await store.memory()
    await store.requests(time.time())
    await store.keep(Kept(memory), Fence(2))
    took_s = time.perf_counter() - began
    await store.close()
    return took_s


def crashed(what: str, times: int) -> None:
    """Crash it, in a process of its own, and print what came of that."""
    began = time.perf_counter()
    ended = subprocess.run(
        [sys.executable, str(CRASHES), what, str(times)],
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        sys.exit(ended.stderr)
    tally = json.loads(ended.stdout)
    print(f"{times:,} times {what}: {tally['rows']:,} acknowledged rows, none lost, none twice; "
          f"{tally['unsure']:,} more were there; longest opening {tally['longest_ms']} ms "
          f"({time.perf_counter() - began:.0f} s)")  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="of each load")
    parser.add_argument("--kills", type=int, default=500, help="real ones, by SIGKILL")
    parser.add_argument("--crashes", type=int, default=10_000, help="simulated ones")
    parser.add_argument("--folder", help="on the disk to be measured (default: a temporary one)")
    wanted = parser.parse_args()
    print("rows/s offered   kept/s   p50 ms   p99 ms   max ms   largest journal MiB")
    for rate in (100.0, 1000.0, 3000.0):
        with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
            waited, largest = asyncio.run(commits(Path(folder), rate, wanted.seconds))
        p50, p99 = (1e3 * waited[int(share * len(waited))] for share in (0.5, 0.99))
        print(f"{rate:14,.0f}{len(waited) / wanted.seconds:9,.0f}{p50:9.1f}{p99:9.1f}"
              f"{1e3 * waited[-1]:9.1f}{largest / 2**20:22.1f}")  # fmt: skip
    with tempfile.TemporaryDirectory(dir=wanted.folder) as folder:
        rows = month(Path(folder), 30, 2500)
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        took_s = asyncio.run(restart(Path(folder)))
    print(f"restart after a kill with {rows:,} rows of 30 days ({size / 2**20:,.0f} MiB) stored: "
          f"{took_s:.2f} s")  # fmt: skip
    if wanted.kills:
        crashed("kill", wanted.kills)
    if wanted.crashes:
        crashed("simulate", wanted.crashes)


if __name__ == "__main__":
    main()
