"""`python -m twin hunt`: what it takes, and what it says."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from engine.config.strict import ConfigError
from twin.hunt.shells import ADVERSARIES, LIVE, METRICS, PLATFORM, SHELLS, SIMULATED

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from twin.hunt.campaign import HuntTally

KEEP = Path("tests/regression/worlds")
MOST_SHOWN = 12


def run(arguments: Sequence[str]) -> int:
    """Hunt, or replay one world; returns the exit code: 0 clean, 1 something was found."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.adversary == METRICS and options.shell == LIVE:
        parser.error(
            f"--adversary {METRICS} needs --shell {SIMULATED}: two runs are compared there"
        )
    if options.replay is not None:
        return _replay(options.replay)
    # Only now: a world takes seconds to import, and a wrong option should not wait for it.
    from rich.console import Console

    from twin.hunt import campaign

    console = Console(stderr=True)
    with _progress(console, options.worlds, options.seconds) as advance:
        tally = campaign.hunt(
            options.seed,
            shell=options.shell,
            adversary=options.adversary,
            most_worlds=options.worlds,
            most_s=options.seconds,
            workers=options.workers,
            advance=advance,
        )
    if tally.failures and not tally.interrupted:
        campaign.keep(tally, options.keep, lambda text: console.print(text, highlight=False))
    if options.json is not None:
        _write_json(tally, options.json)
    _show(tally)
    if tally.interrupted:
        print("interrupted: what was examined so far is counted", file=sys.stderr)
        return 130
    return 1 if tally.failures else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m twin hunt",
        description="Run the real engine in random worlds and check invariants in every cycle.",
        allow_abbrev=False,
    )
    cores = os.cpu_count() or 1
    number = {"type": _at_least(1), "metavar": "N"}
    parser.add_argument("--worlds", default=1000, help="how many (default 1000)", **number)  # type: ignore[arg-type]
    parser.add_argument(
        "--seconds", type=_seconds, default=float("inf"), metavar="S", help="stop after so long"
    )
    parser.add_argument("--workers", default=cores, help=f"processes (here {cores})", **number)  # type: ignore[arg-type]
    parser.add_argument(
        "--seed", type=_at_least(0), default=1, metavar="K", help="of the swarm (default 1)"
    )
    parser.add_argument(
        "--shell", choices=SHELLS, default=SIMULATED,
        help="what drives the engine: the SimPy process, or the asyncio loop of production on a "
        f"virtual clock, with faults of its ports (default {SIMULATED})",
    )  # fmt: skip
    parser.add_argument(
        "--adversary", choices=ADVERSARIES, default=PLATFORM,
        help="what goes wrong: anything around the engine, or the metrics alone; those worlds are "
        f"compared with themselves without it (default {PLATFORM})",
    )  # fmt: skip
    parser.add_argument(
        "--keep", type=Path, default=KEEP, metavar="DIR",
        help=f"where failing worlds are kept as scenario files (default {KEEP})",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the tally there as JSON")
    parser.add_argument(
        "--replay", type=Path, metavar="FILE", help="examine one kept world instead of hunting"
    )
    return parser


def _at_least(low: int) -> Callable[[str], int]:
    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value < 2**63:
            raise argparse.ArgumentTypeError(f'"{text}" is not allowed (a whole number ≥ {low})')
        return value

    return whole


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not value > 0.0:
        raise argparse.ArgumentTypeError(f'"{text}" is not allowed (seconds, more than 0)')
    return value


def _replay(path: Path) -> int:
    if not path.is_file():
        print(f"error: --replay: {path}: there is no such file", file=sys.stderr)
        return 2
    from twin.hunt import worlds
    from twin.hunt.examine import examine

    try:
        outcome = examine(worlds.read(path))
    except (ConfigError, ValueError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for violation in outcome.violations:
        print(f"{violation.at_s:8.0f} s  {violation.invariant}: {violation.detail}")
    if not outcome.violations:
        print(f"{path}: every invariant holds")
    return 1 if outcome.violations else 0


@contextlib.contextmanager
def _progress(
    console: Console, most_worlds: int, most_s: float
) -> Iterator[Callable[[HuntTally], None]]:
    """A bar over the worlds, or over the time where that is what ends the hunt."""
    if not console.is_terminal:
        yield lambda _: None
        return
    from rich.progress import (
        BarColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("hunting"),
        BarColumn(),
        TextColumn("{task.fields[said]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, said="loading kernels")

        def advance(tally: HuntTally) -> None:
            share = max(tally.examined / most_worlds, min(tally.wall_s / most_s, 1.0))
            said = f"{tally.examined:,} worlds, {tally.rate:.0f}/s, {tally.failing} failing"
            bar.update(task, completed=share, said=said)

        yield advance


def _show(tally: HuntTally) -> None:
    """The coverage on stdout: what was found, which faults fired, what the engine did."""
    from rich.console import Console

    from scenarios.faults.registry import KINDS

    console = Console(width=None if sys.stdout.isatty() else 110)
    console.print(
        f"{tally.examined:,} worlds of seed {tally.seed} ({tally.shell} shell) in "
        f"{tally.wall_s:.0f} s ({tally.rate:.1f} a second), {tally.repeated:,} of them run twice: "
        + (f"{tally.failing:,} failing" if tally.failing else "every invariant held"),
        highlight=False,
    )
    for failure in tally.failures[:MOST_SHOWN]:
        violation = failure.violation
        kept = "" if failure.path is None else f"\n    kept as {failure.path}"
        console.print(
            f"  world {failure.index}: {violation.invariant} at {violation.at_s:.0f} s, "
            f"{violation.detail}{kept}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    if tally.adversary == METRICS:
        console.print(_apart(tally))
    console.print(_table("fault", "fault: ", tally, [*KINDS], counted="met"))
    console.print(_table("resolution", "resolution: ", tally))
    console.print(_table("action: reason, category, outcome", "action: ", tally))
    console.print(_table("recommendation of the engine", "engine: ", tally))
    console.print(_table("why it was declined", "declined: ", tally))
    console.print(_table("command failed", "failed: ", tally))
    console.print(_table("the cloud", "cloud: ", tally))
    if tally.shell == LIVE:
        console.print(_table("port and how it failed", "port: ", tally))


def _apart(tally: HuntTally) -> Table:
    """How far each kind of fault of the metrics took the counts from those without it, at worst."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("fault of the metrics", no_wrap=True, min_width=44)
    for title in ("worlds", "highest order", "lowest count", "apart for"):
        table.add_column(title, justify="right")
    for kind, apart in sorted(tally.apart.items()):
        table.add_row(
            kind,
            f"{tally.worlds[f'metrics: {kind}']:,}",
            f"× {apart.over:.2f}",
            f"× {apart.under:.2f}",
            f"{apart.recovery_s:.0f} s",
        )
    return table


def _table(
    title: str, prefix: str, tally: HuntTally, always: Sequence[str] = (), *, counted: str = "times"
) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column(title, no_wrap=True, min_width=60)
    table.add_column("worlds", justify="right")
    table.add_column(counted, justify="right")
    names = {name.removeprefix(prefix) for name in tally.worlds if name.startswith(prefix)}
    for name in sorted(names | set(always)):
        worlds_with, times = tally.worlds[prefix + name], tally.times[prefix + name]
        mark = "" if worlds_with else "[yellow]never[/yellow]"
        table.add_row(name, mark or f"{worlds_with:,}", f"{times:,}")
    return table


def _write_json(tally: HuntTally, path: Path) -> None:
    document = {
        "seed": tally.seed,
        "shell": tally.shell,
        "adversary": tally.adversary,
        "worlds": tally.examined,
        "run_twice": tally.repeated,
        "failing": tally.failing,
        "wall_s": tally.wall_s,
        "found": [
            {
                "world": failure.index,
                "invariant": failure.violation.invariant,
                "at_s": failure.violation.at_s,
                "detail": failure.violation.detail,
                "kept": str(failure.path) if failure.path else None,
            }
            for failure in tally.failures
        ],
        "apart": {
            kind: {"over": far.over, "under": far.under, "recovery_s": far.recovery_s}
            for kind, far in sorted(tally.apart.items())
        },
        "covered": {
            name: {"worlds": tally.worlds[name], "times": tally.times[name]}
            for name in sorted(tally.worlds)
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
