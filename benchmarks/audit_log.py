"""How fast the audit log takes rows, and how fast it is verified: `python benchmarks/audit_log.py`.

Rows/s for batches of several sizes, each on the disk and under a signed checkpoint when it counts;
then a log of a million rows is verified by the page of code that is exported with it.  With
`--edits COUNT` as many random edits are shown to it besides, about 2 ms of CPU each.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from engine.security.audit import verifier
from engine.security.audit.log import VERIFIER, AuditLog
from engine.security.audit.rows import AuditEntry
from twin.evidence.measures.audit import edits

BATCHES = (1, 10, 100, 1000)
LEAST_S = 2.0


def entry(number: int) -> AuditEntry:
    """A row like the engine's own."""
    return AuditEntry(
        at_ms=1_813_437_000_000 + number, actor="engine", action="scale", target="api",
        outcome="decided", why="forecast: 812 requests/s at 14:05, 31 weddings begin",
        before={"instances": 12}, after={"instances": 18, "cost_per_hour": 1.728},
    )  # fmt: skip


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the log that is verified")
    parser.add_argument("--edits", type=int, default=0, help="of a log, each shown to the verifier")
    parser.add_argument("--seed", type=int, default=1, help="of the edits")
    wanted = parser.parse_args()
    print("rows a batch   rows/s   CPU µs a row")
    for batch in BATCHES:
        with tempfile.TemporaryDirectory() as folder:
            log, rows = AuditLog(Path(folder)), 0
            began, cpu_s = time.perf_counter(), time.process_time()
            while (took_s := time.perf_counter() - began) < LEAST_S:
                log.append(*(entry(rows + i) for i in range(batch)))
                rows += batch
            cpu_s = time.process_time() - cpu_s
        print(f"{batch:12,}{rows / took_s:9,.0f}{1e6 * cpu_s / rows:15.1f}")
    with tempfile.TemporaryDirectory() as folder:
        log = AuditLog(Path(folder))
        for first in range(0, wanted.rows, 10_000):
            log.append(*(entry(i) for i in range(first, min(first + 10_000, wanted.rows))))
        key = (Path(folder) / VERIFIER).read_text(encoding="utf-8")
        began, cpu_s = time.perf_counter(), time.process_time()
        rows = verifier.verified(Path(folder), key)
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_s
    print(f"{rows:,} rows verified in {took_s:.1f} s ({cpu_s:.1f} s of CPU)")
    if wanted.edits:
        tried = edits(rows=wanted.edits, seed=wanted.seed)
        print(f"{sum(one['found'] for one in tried):,} of {len(tried):,} random edits found")


if __name__ == "__main__":
    main()
