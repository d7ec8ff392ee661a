"""Real engines, a real database, real faults: each shard finds an owner in time, and only one.

`python tools/many_engines/faults.py --faults N [--seed K] [--json FILE]`

One fault after the other befalls the engine that has most shards: it is stopped (SIGSTOP), killed
(SIGKILL), cut off from the database, or loses what it sends to it or hears of it.  A take-over is
from the fault until another engine has told the actuator that it begins, for the last of the
shards that the engine had.  What the actuator carried out says whether anything was done twice, or
under an epoch that was over.  Exit code 1 if so, or if a shard finds no owner within 15 s.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import signal
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tools.many_engines.place import SERVER, Place, place  # noqa: E402

ENGINES = ("e1", "e2", "e3")
PROCESS, NETWORK = ("stopped", "killed"), ("cut off", "questions lost", "answers lost")
LATEST_S = 15.0
SETTLED_S = 240.0


def wrong(log: Sequence[Mapping[str, Any]]) -> list[str]:
    """What in the actuator's log must not be: judged from what it carried out alone."""
    complaints: list[str] = []
    newest: dict[str, int] = defaultdict(int)
    counts: dict[str, int] = {}
    decisions: Counter[str] = Counter()
    for row in log:
        name, epoch = row["service"], row["epoch"]
        if row["what"] != "act":
            continue
        if epoch < newest[name]:
            complaints.append(f"{name}: carried out under {epoch} after {newest[name]}")
        if counts.get(name, row["before"]) != row["before"]:
            complaints.append(f"{name}: {row['id']} counted on a count that was gone")
        newest[name] = max(newest[name], epoch)
        counts[name] = row["after"]
        decisions[row["id"]] += 1
    return complaints + [f"{one} counted {n} times" for one, n in decisions.items() if n > 1]


def owners(here: Place) -> dict[str, tuple[str, int]]:
    """Who began last for each shard, as the actuator heard it, and when (its clock)."""
    last: dict[str, tuple[str, int]] = {}
    epochs: dict[str, int] = defaultdict(int)
    for row in here.log():
        if row["what"] == "claim" and row["epoch"] >= epochs[row["service"]]:
            epochs[row["service"]] = row["epoch"]
            last[row["service"]] = row["by"], row["at"]
    return last


def settled(here: Place) -> None:
    """Wait until each engine has a shard at least, and nothing moves; or long enough."""
    until_s = time.monotonic() + SETTLED_S
    shards = len(set(here.shard_of.values()))
    before: Any = None
    while time.monotonic() < until_s:
        now = owners(here)
        names = {by.partition(".")[0] for by, _ in now.values()}
        held = here.ask(
            "SELECT COUNT(*) FROM shard_lease WHERE until_s > EXTRACT(EPOCH FROM clock_timestamp())"
        ) if now else [(0,)]  # fmt: skip
        if len(now) == shards and names == set(ENGINES) and now == before and held == [(shards,)]:
            return
        before = now
        time.sleep(2.0)


def befall(here: Place, kind: str, engine: str) -> None:
    """Let it happen."""
    if kind in PROCESS:
        here.stop(engine, signal.SIGSTOP if kind == "stopped" else signal.SIGKILL)
    else:
        assert here.networks is not None
        here.networks.cut(
            engine, sends=kind != "answers lost", hears=kind != "questions lost", peer=SERVER
        )


def mend(here: Place, kind: str, engine: str) -> None:
    """Let it be over."""
    if kind == "stopped":
        here.processes[engine].send_signal(signal.SIGCONT)
    elif kind == "killed":
        here.start_engine(engine)
    else:
        assert here.networks is not None
        here.networks.mend(engine)


def fault(here: Place, kind: str, latest_s: float = LATEST_S) -> float:
    """One fault; how long (s) until all shards of the engine have another, inf if they do not."""
    by = Counter(name for name, _ in owners(here).values())
    engine = by.most_common(1)[0][0].partition(".")[0]
    had = [shard for shard, (name, _) in owners(here).items() if name.startswith(f"{engine}.")]
    begun_s = time.monotonic()
    befall(here, kind, engine)
    took_s = math.inf
    while time.monotonic() < begun_s + latest_s:
        time.sleep(0.2)
        now = owners(here)
        if not any(now[shard][0].startswith(f"{engine}.") for shard in had):
            took_s = max(now[shard][1] for shard in had) - begun_s
            break
    mend(here, kind, engine)
    return took_s


def run(
    folder: Path, faults: int, seed: int, only: Sequence[str] = (), *, latest_s: float = LATEST_S
) -> dict[str, Any]:
    """So many faults, of all kinds or `only` of some; what came of them."""
    draw = random.Random(seed)
    taken: dict[str, list[float]] = defaultdict(list)
    with place(folder, ENGINES) as here:
        kinds = only or [*PROCESS, *(NETWORK if here.networks is not None else ())]
        settled(here)
        if not owners(here):
            raise TimeoutError(f"no engine began within {SETTLED_S:g} s: see {folder}/e1.log")
        for number in range(faults):
            kind = kinds[number % len(kinds)]
            time.sleep(draw.uniform(0.0, 2.0))
            took_s = fault(here, kind, latest_s)
            taken[kind].append(took_s)
            print(f"{number + 1}: {kind}: {took_s:.1f} s", file=sys.stderr, flush=True)
            if number + 1 < faults:
                settled(here)
        log = here.log()
    all_s = sorted(one for each in taken.values() for one in each)
    return {
        "faults": faults, "networks": here.networks is not None,
        "take_over_s": {kind: [round(one, 2) for one in each] for kind, each in taken.items()},
        "median_s": all_s[len(all_s) // 2], "p99_s": all_s[math.ceil(0.99 * len(all_s)) - 1],
        "actions": sum(row["what"] == "act" for row in log),
        "refused": sum(row["what"] == "refused" for row in log),
        "wrong": wrong(log),
    }  # fmt: skip


def main() -> int:
    """As the module says."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--faults", type=int, default=20, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="K")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))  # and take everything down
    with tempfile.TemporaryDirectory(prefix="wedtwin-engines-", dir="/tmp") as folder:
        figures = run(Path(folder), options.faults, options.seed)
    if options.json is not None:
        options.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    print(f"{figures['faults']} faults: take-over median {figures['median_s']:.1f} s, p99 "
          f"{figures['p99_s']:.1f} s; {figures['actions']} actions, {figures['refused']} refused, "
          f"{len(figures['wrong'])} wrong")  # fmt: skip
    for complaint in figures["wrong"][:20]:
        print(f"  {complaint}")
    return 1 if figures["wrong"] or math.isinf(figures["p99_s"]) else 0


if __name__ == "__main__":
    raise SystemExit(main())
