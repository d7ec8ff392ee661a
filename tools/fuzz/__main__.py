"""Spoilt bytes for whatever reads bytes of others: nothing may crash, hang or grow.

    python -m tools.fuzz                          20,000 inputs of each target
    python -m tools.fuzz --inputs 1000000 bookings_csv traces --output outputs/fuzz

Each target is a file in `tools/fuzz/targets`.  The same seed makes the same inputs.  Exits with 1
if anything went wrong; with `--output` the smallest input of each place is kept there.
"""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

import structlog

from tools.fuzz.target import FuzzOutcome, fuzz
from tools.fuzz.targets import names, target_of


def main(arguments: list[str]) -> int:
    """Run it; returns the exit code."""
    read = argparse.ArgumentParser(
        prog="python -m tools.fuzz", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    read.add_argument("targets", nargs="*", metavar="TARGET", help=", ".join(names()))
    read.add_argument("--inputs", type=int, default=20_000, help="of each target")
    read.add_argument("--seconds", type=float, help="of processor time, for each target at most")
    read.add_argument("--seed", type=int, default=1)
    read.add_argument(
        "--output", type=Path, help="folder for inputs that something went wrong with"
    )
    given = read.parse_args(arguments)
    if unknown := [name for name in given.targets if name not in names()]:
        print(f"TARGET: {unknown[0]} is not allowed ({', '.join(names())})", file=sys.stderr)
        return 2
    logging.disable(logging.CRITICAL)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    outcomes = []
    print(HEADING, flush=True)
    for name in given.targets or names():
        outcomes.append(fuzz(target_of(name), given.inputs, given.seed, given.seconds))
        print(row(outcomes[-1]), flush=True)
        for crash in outcomes[-1].crashes.values():
            print(f"    {crash.times:,} times {crash.where}: {crash.words}", flush=True)
            if given.output is not None:
                given.output.mkdir(parents=True, exist_ok=True)
                (given.output / f"{name}-{time.time_ns()}").write_bytes(crash.given)
    return int(any(outcome.crashes for outcome in outcomes))


HEADING = (
    f"{'target':20} {'inputs':>10} {'refused':>8} {'slowest':>10} {'grown':>8} {'a second':>9} "
    f"{'wrong':>6}"
)


def row(outcome: FuzzOutcome) -> str:
    """A line of the table."""
    share = outcome.refused / max(outcome.inputs, 1)
    return (
        f"{outcome.name:20} {outcome.inputs:10,} {share:8.0%} {1000.0 * outcome.slowest_s:7.0f} ms "
        f"{outcome.grown_mib:4.0f} MiB {outcome.inputs / max(outcome.seconds, 1e-9):9,.0f} "
        f"{len(outcome.crashes):6}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
