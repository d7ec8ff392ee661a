"""Many engines as one, in figures: `python benchmarks/many_engines.py leases|services|faults`.

`leases` plays simulated worlds of the lease protocol, and says how many in a CPU second; the
planted faults each have to be seen.  `services` steps 5,000 services on four
engines over one PostgreSQL, and says how long each engine's full cycle takes in processor and in
wall time.  `faults` lets real faults befall three real engines, each in a network of its own
(tools/many_engines/faults.py).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

CYCLE_S = 15.0
ENGINES = ("e1", "e2", "e3", "e4")


def services(count: int, calls: int, cycles: int) -> dict[str, Any]:
    """So many services on four engines: what their steps of full cycles took."""
    from tools.many_engines.place import place

    with tempfile.TemporaryDirectory(prefix="wedtwin-engines-", dir="/tmp") as folder:
        names = list(ENGINES)
        with place(
            Path(folder), names, services=count, calls=calls, sample_s=5.0, cycle_s=CYCLE_S
        ) as here:
            shards = len(set(here.shard_of.values()))
            _spread(here, shards, len(names))
            before = {name: _cpu_s(here.processes[name].pid) for name in names}
            begun_s = time.monotonic()
            took = _watch(here, cycles * CYCLE_S)
            passed_s = time.monotonic() - begun_s
            used = {name: _cpu_s(here.processes[name].pid) - before[name] for name in names}
            held = dict(here.ask("SELECT holder, COUNT(*) FROM shard_lease GROUP BY holder"))
    full = sorted(s for (_, at_s), s in took.items() if at_s % CYCLE_S == 0.0)
    return {
        "services": count, "shards": shards, "shards_of": sorted(held.values()),
        "cycles": passed_s / CYCLE_S,
        "cpu_s_of_a_cycle": {name: used[name] / (passed_s / CYCLE_S) for name in names},
        "steps_seen": len(took), "cycles_seen": len(full),
        "cycle_step_s_median": full[len(full) // 2], "cycle_step_s_max": full[-1],
    }  # fmt: skip


def _spread(here: Any, shards: int, engines: int) -> None:
    """Wait until each engine has about its share; they hand over one shard in each cycle."""
    until_s = time.monotonic() + 600.0
    while time.monotonic() < until_s:
        with contextlib.suppress(Exception):
            held = dict(here.ask("SELECT holder, COUNT(*) FROM shard_lease GROUP BY holder"))
            if len(held) == engines and "" not in held and max(held.values()) <= 1.3 * shards / 4:
                return
        time.sleep(5.0)
    raise TimeoutError("the shards did not spread over the engines")


def _cpu_s(pid: int) -> float:
    """Processor time of a process."""
    import psutil

    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def _watch(here: Any, seconds: float) -> dict[tuple[str, float], float]:
    """What each step of each engine took (s), by engine and time, as the status says it."""
    took: dict[tuple[str, float], float] = {}
    until_s = time.monotonic() + seconds
    while time.monotonic() < until_s:
        for (text,) in here.ask("SELECT text FROM shown"):
            status = json.loads(text)
            took[status["engine"], status["time_s"]] = status["step_s"]
        time.sleep(0.05)
    return took


def main() -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "what", nargs="?", default="leases", choices=("leases", "services", "faults")
    )
    parser.add_argument("--worlds", type=int, default=1000, metavar="N")
    parser.add_argument("--services", type=int, default=5000, metavar="N")
    parser.add_argument("--calls", type=int, default=25, metavar="N", help="services of a shard")
    parser.add_argument("--cycles", type=int, default=4, metavar="N")
    parser.add_argument("--faults", type=int, default=500, metavar="N")
    options = parser.parse_args()
    if options.what == "services":
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # and take everything down
        print(json.dumps(services(options.services, options.calls, options.cycles), indent=1))
        return 0
    command = {
        "leases": ["-m", "twin", "leases", f"worlds={options.worlds}", "plants=600"],
        "faults": ["tools/many_engines/faults.py", "--faults", str(options.faults)],
    }[options.what]
    process = subprocess.Popen(
        [sys.executable, *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    try:
        return process.wait()
    except KeyboardInterrupt:
        process.send_signal(signal.SIGINT)
        return process.wait()


if __name__ == "__main__":
    raise SystemExit(main())
