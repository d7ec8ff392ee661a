"""Run one world of the guard and keep what is looked at, with or without something planted."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from engine.record.files import write_atomically
from engine.runtime.errors import ControllerError
from twin.config import parse
from twin.guard.figures import controls_of, digest_of, figures_of
from twin.guard.plants import Plant, planted
from twin.runs.sweep import NOT_THE_RUN
from twin.world.world import ConservationError, RealisedLoad, World

ROUNDING = 1e-12
"""Relative size of what another machine rounds otherwise, as worked into the load."""
NUDGE = 1e-3
"""Relative size of a change of the load that nobody would notice, by which chance is measured."""

PARTS = (
    "engine", "scenarios", "twin/world", "twin/queues", "twin/effects", "twin/runs/summary.py",
    "twin/guard/figures.py",
)  # fmt: skip
"""The code that a run's figures depend on."""
NOT_DECIDING = ("api", "commands", "security", "planning", "adapters")
"""Folders of the engine that nothing of a simulated run comes through."""


@dataclass(frozen=True, slots=True)
class GuardRow:
    """What is kept of one run.

    `error` is what the engine raised, or which balance was broken; empty is as it should be, and
    without figures otherwise.  `digest` is the same for two runs that decided the same.
    """

    seed: int
    figures: Mapping[str, float | None]
    controls: Mapping[str, float]
    digest: str
    error: str = ""

    def plain(self) -> dict[str, Any]:
        """As JSON has it, to nine digits: exact enough, and legible in a diff."""
        return {
            "seed": self.seed,
            "digest": self.digest,
            "figures": {name: _short(value) for name, value in self.figures.items()},
            "controls": {name: _short(value) for name, value in self.controls.items()},
            **({"error": self.error} if self.error else {}),
        }


def row_of(plain: Mapping[str, Any]) -> GuardRow:
    """The inverse of `GuardRow.plain`; raises KeyError or TypeError where it is none."""
    return GuardRow(
        seed=int(plain["seed"]),
        figures={str(name): value for name, value in plain["figures"].items()},
        controls={str(name): float(value) for name, value in plain["controls"].items()},
        digest=str(plain["digest"]),
        error=str(plain.get("error", "")),
    )


@dataclass(frozen=True, slots=True)
class Task:
    """A world (its composed `settings`) to run with `seed`.

    `moved` is the relative size of the noise that the load is multiplied by; `plant` is None for
    the engine as it is.  With a `folder` the row is kept there, and taken from there the next time.
    """

    world: str
    settings: Mapping[str, Any]
    seed: int
    moved: float = 0.0
    plant: Plant | None = None
    folder: Path | None = None


def run(task: Task) -> GuardRow:
    """The row of `task`.  Raises ConfigError where the plant makes no legal configuration."""
    if task.folder is None:
        return _run(task)
    path = task.folder / f"{_key(task)}.json"
    if path.exists():
        return row_of(json.loads(path.read_text()))
    row = _run(task)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(row.plain()) + "\n")
    return row_of(json.loads(path.read_text()))


def _run(task: Task) -> GuardRow:
    settings = copy.deepcopy(dict(task.settings)) | {"seed": task.seed, "replications": 1}
    if task.plant is not None:
        task.plant.change(settings)

    def moved(load: RealisedLoad) -> RealisedLoad:
        if not task.moved:
            return load
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([task.seed, 0x6D])))
        factor = 1.0 + task.moved * rng.standard_normal(load.arrivals.shape)
        return RealisedLoad(load.demand, load.arrivals * factor)

    with planted(task.plant):
        world = World(parse(settings), change_load=moved)
        try:
            world.run()
        except (ControllerError, ConservationError) as error:
            return GuardRow(task.seed, {}, {}, "", str(error))
        return GuardRow(task.seed, figures_of(world), controls_of(world), digest_of(world))


def _key(task: Task) -> str:
    """Of everything that the row depends on."""
    plant = "" if task.plant is None else repr(task.plant)
    settings = {key: value for key, value in task.settings.items() if key not in NOT_THE_RUN}
    text = json.dumps([settings, task.seed, task.moved, plant, code()], sort_keys=True, default=str)
    return f"{task.world}-{hashlib.blake2b(text.encode(), digest_size=12).hexdigest()}"


@cache
def code() -> str:
    """A digest of every source file that a run's figures depend on."""
    digest = hashlib.blake2b(digest_size=12)
    for part in PARTS:
        package, _, below = part.partition("/")
        with resources.as_file(resources.files(package)) as folder:
            root = folder / below
            for path in sorted(root.rglob("*.py")) if root.is_dir() else [root]:
                if path.relative_to(folder).parts[0] not in NOT_DECIDING or package != "engine":
                    digest.update(path.read_bytes())
    return digest.hexdigest()


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.9g}")
