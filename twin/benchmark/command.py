"""`python -m twin benchmark`: what it takes, what it works out, and what it says."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.config import assignments
from engine.config.complaints import close
from engine.config.strict import ConfigError
from engine.record.folders import check_writable, write_whole

NAMES = ("nab", "microsoft", "nezha")
KEYS = ("data", "output", "freeze", "thresholds")
FILE = "benchmark.json"
GRID = 240
"""So many thresholds are tried when one is chosen."""
HALVES = 30
ASKED = " judged"
"""The figure of a benchmark that says how many faults of a kind there are ends so."""


@dataclasses.dataclass(frozen=True, slots=True)
class BenchmarkArguments:
    """What the command line asks for; without `thresholds` those of the product."""

    name: str
    data: Path
    output: Path
    freeze: Path | None
    thresholds: Path | None


def read(arguments: Sequence[str]) -> BenchmarkArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    name = arguments[0] if arguments else ""
    if name not in NAMES:
        raise ConfigError(
            f'benchmark: "{name}" is not allowed ({", ".join(NAMES)}){close(name, NAMES)}'
        )
    own = assignments.read(arguments[1:], KEYS, tree=False).own
    if "data" not in own:
        raise ConfigError("data: is missing; give the folder of the benchmark's series")
    if "freeze" in own and "thresholds" in own:
        raise ConfigError("freeze: chooses thresholds, and thresholds=… gives them; give one")
    return BenchmarkArguments(
        name=name,
        data=Path(own["data"]),
        output=Path(own.get("output", "outputs")),
        freeze=Path(own["freeze"]) if "freeze" in own else None,
        thresholds=Path(own["thresholds"]) if "thresholds" in own else None,
    )


def run(options: BenchmarkArguments, line: str) -> Path:
    """Judge the detectors; returns the folder with `benchmark.json`.

    Raises ConfigError for data that are not the benchmark's, OutputError.
    """
    from importlib import import_module

    from twin.benchmark import frozen

    check_writable(options.output)
    thresholds = None
    if options.freeze is None:
        thresholds = frozen.read(options.thresholds).get(options.name)
        if thresholds is None:
            raise ConfigError(f"thresholds: {options.thresholds}: has none for {options.name}")
    benchmark = import_module(f"twin.benchmark.{options.name}")
    cases = benchmark.read(options.data)
    rows, chosen = judged(benchmark, cases, None if thresholds is None else thresholds.thresholds)
    names = [benchmark.name_of(case) for case in cases]
    results = {
        "command": line,
        "benchmark": options.name,
        "files": len(names),
        "chosen_on": None if thresholds is None else thresholds.date.isoformat(),
        "chosen_with": None
        if thresholds is None
        else sum(name in set(thresholds.files) for name in names),
        "detectors": rows,
    }
    if options.freeze is not None:
        frozen.write(options.freeze, options.name, chosen, names)
    name = f"{dt.datetime.now(dt.UTC):%Y%m%dT%H%M%SZ}-{options.name}"

    def fill(folder: Path) -> None:
        text = json.dumps(results, indent=2, allow_nan=False) + "\n"
        (folder / FILE).write_text(text, encoding="utf-8")

    folder = write_whole(options.output / "benchmark", name, fill)
    for said in lines(results):
        print(said, file=sys.stderr)
    return folder


def judged(
    benchmark: ModuleType, cases: Sequence[Any], thresholds: dict[str, float] | None
) -> tuple[list[dict[str, Any]], dict[str, float]]:
    """A row for each detector, and its threshold: the one given, or else the best of these cases.

    Raises ConfigError for a detector without a threshold.
    """
    import numpy as np

    from twin.benchmark import courses

    every = [list(benchmark.courses_of(case)) for case in cases]
    rows, chosen = [], {}
    for detector in benchmark.DETECTORS:
        if thresholds is not None and detector not in thresholds:
            raise ConfigError(f"thresholds: {detector} is missing")
        flat = courses.scores(detector, [course for own in every for course in own])
        scores, at = [], 0
        for own in every:
            part = flat[at : at + len(own)]
            scores.append([benchmark.prepared(detector, scored) for scored in part])
            at += len(own)
        positive = np.concatenate([scored[scored > 0.0] for own in scores for scored in own])
        tail = 1.0 - np.geomspace(1.0, 1e-5, GRID)
        grid = np.unique(np.quantile(positive, tail)) if len(positive) else np.array([1.0])
        if thresholds is not None:
            grid = np.unique(np.append(grid, thresholds[detector]))
        counts = np.array([
            benchmark.counts(case, own, grid) for case, own in zip(cases, scores, strict=True)
        ])  # fmt: skip
        best = _best(benchmark, counts.sum(axis=0))
        at = best if thresholds is None else int(np.searchsorted(grid, thresholds[detector]))
        chosen[detector] = float(grid[at])
        row = {
            "detector": detector,
            "threshold": float(grid[at]),
            "figures": benchmark.figures(counts[:, at].sum(axis=0)),
            "best_threshold": float(grid[best]),
            "best_figures": benchmark.figures(counts[:, best].sum(axis=0)),
        }
        if len(cases) >= 4:
            of_halves = []
            for half in courses.halves(len(cases), HALVES):
                there = _best(benchmark, counts[half].sum(axis=0))
                of_halves.append(benchmark.figures(counts[~half, there].sum(axis=0)))
            main = next(iter(of_halves[0]))
            figures = np.array([one[main] for one in of_halves])
            row["split_half"] = {"mean": float(figures.mean()), "sd": float(figures.std())}
        rows.append(row)
    return rows, chosen


def _best(benchmark: ModuleType, counts: Any) -> int:
    """The row of `counts` (thresholds, counts) that is worth most."""
    worth = [benchmark.worth(benchmark.figures(row)) for row in counts]
    return max(range(len(worth)), key=worth.__getitem__)


def lines(results: dict[str, Any]) -> list[str]:
    """The results as a table of text."""
    from twin.benchmark.courses import WORDS

    rows = results["detectors"]
    kinds = [name.removesuffix(ASKED) for name in rows[0]["figures"] if name.endswith(ASKED)]
    names = [
        name for name in rows[0]["figures"] if not any(name.startswith(f"{k} ") for k in kinds)
    ]
    wide = [max(len(name), 7) for name in names]
    head = "  ".join(f"{name:>{width}}" for name, width in zip(names, wide, strict=True))
    said = [f"{'detector':38}  {head}"]
    for row in rows:
        for figures, label in (
            (row["figures"], WORDS[row["detector"]]),
            (row["best_figures"], "  with the best threshold of these"),
        ):
            shown = "  ".join(
                f"{_number(figures[name]):>{width}}"
                for name, width in zip(names, wide, strict=True)
            )
            said.append(f"{label:38}  {shown}")
        if "split_half" in row:
            own = row["split_half"]
            said.append(
                f"{'  threshold of one half, other half':38}  {_number(own['mean']):>{wide[0]}}"
                f" ± {_number(own['sd'])}"
            )
    if kinds:
        said.append(f"{'fault':38}  {'judged':>7}  {'noticed':>7}  {'first':>7}")
    for row in rows if kinds else ():
        for kind in kinds:
            shown = "  ".join(
                f"{row['figures'][f'{kind} {count}']:7.0f}"
                for count in ("judged", "noticed", "first")
            )
            said.append(f"{row['detector'] + ', ' + kind:38}  {shown}")
    if results["chosen_on"] is None:
        said.append(f"thresholds chosen on these {results['files']} files")
    else:
        said.append(
            f"thresholds of {results['chosen_on']}; {results['chosen_with']} of these "
            f"{results['files']} files were used to choose them"
        )
    return said


def _number(value: float) -> str:
    return f"{value:.0f}" if value == round(value) else f"{value:.3g}"
