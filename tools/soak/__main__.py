"""A day of `engine serve` in minutes, with every port in trouble: nothing may grow.

    python -m tools.soak --hours 24 --output outputs/soak

The engine is the product's, composed as the command line composes it: its cycle, monitor, alerts,
store, lease, audit log, records and API.  What it asks and tells over HTTP it asks and tells over
HTTP; machines and load are played (`tools.soak.place`).  Time in which nobody works is left out
(`tools.soak.clock`).  Exits with 1 if something grows, with a line for each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from tools.soak.clock import SkippingClock


def main(arguments: list[str]) -> int:
    """Run it; returns the exit code."""
    read = argparse.ArgumentParser(prog="python -m tools.soak", description=__doc__)
    read.add_argument("--hours", type=float, default=24.0, help="of the engine's time")
    read.add_argument("--round", type=float, default=3600.0, help="seconds of a round of faults")
    read.add_argument("--seed", type=int, default=1, help="of the order of the faults")
    read.add_argument("--output", type=Path, help="folder for the figures")
    read.add_argument("--plant", action="append", default=[], help="a leak: list, task, file")
    given = read.parse_args(arguments)
    # Before anything is imported that keeps `time.time` as a default.
    SkippingClock().install()

    from tools.soak.faults import Faults
    from tools.soak.growth import LIMITS, complaints, growing_types, not_judged, slopes
    from tools.soak.served import Soak

    faults = Faults(given.seed, given.round, tuple(given.plant))
    memory = Path("/dev/shm")
    place = memory if memory.is_dir() else None  # a disk that is slow to sync only costs time
    with tempfile.TemporaryDirectory(prefix="wedtwin-soak-", dir=place) as folder:
        soak = Soak(given.hours, given.round, Path(folder), faults)
        code = soak.run()
    wrong = complaints(soak.looks)
    grown = slopes(soak.looks)
    print(f"\nthe engine ended with {code}; answers of the API: {soak.answers}")
    print(f"faults played: {sum(faults.played.values())} calls of {len(faults.played)} kinds")
    print(f"{'measure':32} {'first':>12} {'last':>12} {'an hour':>12} {'allowed':>9}")
    for name, value in soak.looks[-1].measures.items():
        limit = f"{LIMITS[name].per_hour:g}" if name in LIMITS else "-"
        print(f"{name:32} {soak.looks[0].measures.get(name, 0):12.0f} {value:12.0f} "
              f"{grown[name]:12.2f} {limit:>9}")  # fmt: skip
    for name, by in growing_types(soak.looks):
        print(f"  {by:8.2f} an hour more of {name}")
    for name, why in not_judged(soak.looks).items():
        print(f"not judged  {name}: {why}")
    for name, why in wrong.items():
        print(f"GROWS  {name}: {why}")
    if given.output is not None:
        given.output.mkdir(parents=True, exist_ok=True)
        shown = [{"hour": one.hour, **one.measures} for one in soak.looks]
        (given.output / "soak.json").write_text(json.dumps(shown, indent=1) + "\n")
    return 1 if wrong or code else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
