"""What the guard compares with: the figures of each world by seed, and how much chance moves them.

The file has, for each world, `REFERENCE` seeds of the engine as it was when the file was made, and
for each figure its *noise*: the root mean square by which it differs when the load of the same seed
is moved by one part in a thousand.  That is what a change does that changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.record.files import write_atomically
from twin.guard import runs, worlds
from twin.guard.errors import GuardError
from twin.guard.runs import NUDGE, GuardRow, Task
from twin.runs.seeds import seed_of
from twin.runs.workers import spread

SCHEMA = 1
SEED = 1
REFERENCE = 12
"""Seeds of the baseline; the guard itself runs the first ones of them."""
NUDGED = 3
"""The first so many of them are also run with the load moved, for the noise."""
SAME_WORLD = 1e-6
"""Relative difference of a world's controls that rounding explains."""


@dataclass(frozen=True, slots=True)
class WorldBaseline:
    """One world: by which overrides it is made, its rows, and the noise of each figure."""

    overrides: tuple[str, ...]
    rows: tuple[GuardRow, ...]
    noise: Mapping[str, float]

    def row(self, seed: int) -> GuardRow | None:
        """The row of `seed`, if it has one."""
        return next((row for row in self.rows if row.seed == seed), None)


Baseline = Mapping[str, WorldBaseline]


def make(
    there: Mapping[str, worlds.GuardWorldConfig], advance: Callable[[float], None]
) -> Baseline:
    """Run every world `there` as often as a baseline needs; `advance` is told how many are done.

    Raises GuardError where the engine fails in one.
    """
    tasks = [
        Task(name, settings, seed_of(SEED, k), moved)
        for name, world in there.items()
        for settings in [worlds.settings(world)]
        for k in range(REFERENCE)
        for moved in ((0.0, NUDGE) if k < NUDGED else (0.0,))
    ]
    rows: dict[int, GuardRow] = {}
    for place, row in spread(runs.run, tasks):
        if row.error:
            raise GuardError(f"{tasks[place].world}, seed {row.seed}: {row.error}")
        rows[place] = row
        advance(len(rows))
    result = {}
    for name, world in there.items():
        own = [(task, rows[place]) for place, task in enumerate(tasks) if task.world == name]
        plain = {row.seed: row for task, row in own if not task.moved}
        pairs = [(plain[row.seed], row) for task, row in own if task.moved]
        result[name] = WorldBaseline(world.overrides, tuple(plain.values()), _noise(pairs))
    return result


def runs_of(count: int) -> int:
    """How many runs a baseline of `count` worlds takes."""
    return count * (REFERENCE + NUDGED)


def read(path: Path) -> Baseline:
    """The baseline in `path`; raises GuardError."""
    try:
        content = json.loads(path.read_text())
        if content["schema"] != SCHEMA:
            raise GuardError(f"{path}: is no baseline of schema {SCHEMA}")
        return {
            str(name): WorldBaseline(
                tuple(map(str, world["overrides"])),
                tuple(map(runs.row_of, world["runs"])),
                {str(figure): float(value) for figure, value in world["noise"].items()},
            )
            for name, world in content["worlds"].items()
        }
    except OSError as error:
        raise GuardError(f"{path}: {error.strerror}; make baselines writes one") from None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, GuardError):
            raise
        raise GuardError(f"{path}: is no baseline of the guard ({error!r})") from None


def write(baseline: Baseline, path: Path) -> None:
    """Store `baseline`, in a form whose differences can be read."""
    content = {
        "schema": SCHEMA,
        "worlds": {
            name: {
                "overrides": list(world.overrides),
                "noise": {figure: float(f"{value:.3g}") for figure, value in world.noise.items()},
                "runs": [row.plain() for row in world.rows],
            }
            for name, world in baseline.items()
        },
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def check(baseline: Baseline, there: Mapping[str, worlds.GuardWorldConfig]) -> None:
    """Raise GuardError where a world of `there` is not the one that the baseline is of."""
    for name, world in there.items():
        if name not in baseline:
            raise GuardError(f"{name}: is not in the baseline; make baselines renews it")
        if baseline[name].overrides != world.overrides:
            raise GuardError(
                f"{name}: is another world than that of the baseline; make baselines renews it"
            )


def check_world(name: str, before: GuardRow, after: GuardRow) -> None:
    """Raise GuardError where the world of a seed is not what it was, whoever scales in it."""
    for control, value in before.controls.items():
        now = after.controls.get(control, math.nan)
        if not abs(now - value) <= SAME_WORLD * abs(value):
            raise GuardError(
                f"{name}, seed {after.seed}: the world itself has changed ({control} was "
                f"{value:.6g} and is {now:.6g}), so nothing can be said of the engine; "
                "make baselines renews what it is compared with"
            )


def _noise(pairs: Sequence[tuple[GuardRow, GuardRow]]) -> dict[str, float]:
    noise = {}
    for figure in pairs[0][0].figures:
        squares = [
            (now - before) ** 2
            for one, other in pairs
            if (before := one.figures[figure]) is not None
            and (now := other.figures[figure]) is not None
        ]
        if squares:
            noise[figure] = math.sqrt(math.fsum(squares) / len(squares))
    return noise
