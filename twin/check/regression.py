"""Did it get worse?  A run with replications against a stored baseline, paired by seed.

With the same seed both met the same weddings, arrivals, boots and faults, so the difference of a
figure is the change's doing.  A figure counts as worse only if the mean of the paired differences
is beyond its margin with 99 % confidence (Student's t, one-sided): noise does not fail a build, and
neither does a difference that is certain but too small to matter.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from scipy.special import stdtrit

from engine.record.files import write_atomically
from engine.record.schema import summary
from twin.check.errors import BaselineError
from twin.runs.replications import headline_figures

SCHEMA = 1
CONFIDENCE = 0.99
NOT_THE_WORLD = (
    "engine", "controller", "output", "replications", "seed", "thresholds", "request", "sweep",
)  # fmt: skip
"""Sections of the configuration that may differ: what is judged, and what does not matter."""


@dataclass(frozen=True, slots=True)
class Guard:
    """Which way a figure is worse, and by how much it may be.

    The margin is a share of the baseline's mean and an amount on top of it.
    """

    higher_is_worse: bool
    relative: float
    absolute: float

    def margin(self, baseline: float) -> float:
        """The amount by which the figure may be worse."""
        return abs(baseline) * self.relative + self.absolute


GUARDS: Mapping[str, Guard] = {
    "slo.violation_ratio": Guard(True, 0.05, 1e-5),
    "slo.violation_minutes": Guard(True, 0.05, 0.5),
    "slo.availability": Guard(False, 0.0, 1e-5),
    "cost.total_usd": Guard(True, 0.01, 0.0),
    "decision.actions": Guard(True, 0.25, 5.0),
    "decision.reversals": Guard(True, 0.25, 2.0),
}
SERVICE_GUARD = Guard(True, 0.05, 0.0)  # p95 of each service
WAPE_GUARD = Guard(True, 0.05, 0.005)  # of each forecast horizon


@dataclass(frozen=True, slots=True)
class Runs:
    """One configuration's figures by seed, and the world that they are of."""

    controller: str
    world: Mapping[str, Any]
    by_seed: Mapping[int, Mapping[str, float | None]]


@dataclass(frozen=True, slots=True)
class Change:
    """One figure then and now: means over the pairs, the mean difference with its 99 % bound.

    `bound` is the end of the one-sided interval towards zero; None with a single pair.
    """

    figure: str
    before: float
    after: float
    difference: float
    bound: float | None
    margin: float
    worse: bool
    better: bool


def read(path: Path) -> Runs:
    """A run record's folder or a baseline file; raises BaselineError."""
    try:
        return _from_record(path) if path.is_dir() else _from_file(path)
    except OSError as error:
        raise BaselineError(f"{error.filename or path}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, BaselineError):
            raise
        raise BaselineError(f"{path}: is neither a run record nor a baseline ({error})") from error


def write(runs: Runs, path: Path) -> None:
    """Store `runs` as a baseline, in a form whose differences can be read."""
    content = {
        "schema": SCHEMA,
        "controller": runs.controller,
        "world": runs.world,
        "runs": [
            {"seed": seed, "figures": {key: _short(value) for key, value in figures.items()}}
            for seed, figures in runs.by_seed.items()
        ],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content, indent=1) + "\n")


def compare(before: Runs, after: Runs) -> list[Change]:
    """Every guarded figure, paired by seed.

    Raises BaselineError when the worlds differ or no seed is in both.
    """
    difference = _first_difference(before.world, after.world)
    if difference:
        raise BaselineError(f"the worlds differ, so nothing can be said: {difference}")
    seeds = [seed for seed in before.by_seed if seed in after.by_seed]
    if not seeds:
        raise BaselineError("no seed is in both: run with the baseline's seed and replications")
    changes = []
    for figure in sorted({key for seed in seeds for key in before.by_seed[seed]}):
        guard = guard_of(figure)
        if guard is None:
            continue
        pairs = [
            (old, new)
            for seed in seeds
            if (old := before.by_seed[seed].get(figure)) is not None
            and (new := after.by_seed[seed].get(figure)) is not None
        ]
        if pairs:
            changes.append(_judge(figure, guard, pairs))
    return changes


def gone(before: Runs, after: Runs) -> list[str]:
    """Guarded figures that the baseline has and `after` has in no seed, of the same controller.

    What nobody measures any more has not got better.
    """
    seeds = [seed for seed in before.by_seed if seed in after.by_seed]
    if before.controller != after.controller:
        return []
    return [
        figure
        for figure in sorted({key for seed in seeds for key in before.by_seed[seed]})
        if guard_of(figure) is not None
        and any(before.by_seed[seed].get(figure) is not None for seed in seeds)
        and all(after.by_seed[seed].get(figure) is None for seed in seeds)
    ]


def guard_of(figure: str) -> Guard | None:
    """How a figure is guarded; None if it is not."""
    if figure.startswith("services.") and figure.endswith(".p95_s"):
        return SERVICE_GUARD
    if figure.startswith("prediction.") and figure.endswith(".wape"):
        return WAPE_GUARD
    return GUARDS.get(figure)


def counted(seeds: int) -> str:
    """So many seeds, in words: 1 seed, 20 seeds."""
    return f"{seeds} seed" if seeds == 1 else f"{seeds} seeds"


def markdown(changes: Sequence[Change], before: Runs, after: Runs) -> str:
    """What changed, fit for a comment on a pull request."""
    worse = [change for change in changes if change.worse]
    better = [change for change in changes if change.better]
    seeds = sum(seed in after.by_seed for seed in before.by_seed)
    name = before.world.get("scenario", {}).get("name", "")
    if worse:
        verdict = f"**{len(worse)} of {len(changes)} figures got worse.**"
    else:
        verdict = f"No figure got worse ({len(changes)} compared)."
    lost = gone(before, after)
    if lost:
        verdict += f" **{len(lost)} of the baseline are not there any more.**"
    lines = [f"### Scaling behaviour: {name}", "", f"{verdict} {len(better)} got better.", ""]
    lines += [
        "| figure | before | after | difference | 99 % bound | margin | |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    order = sorted(changes, key=lambda c: (not c.worse, not c.better, c.figure))
    for change in order:
        mark = "✗ worse" if change.worse else "✓ better" if change.better else ""
        bound = "–" if change.bound is None else f"{change.bound:+.4g}"
        lines.append(
            f"| `{change.figure}` | {change.before:.6g} | {change.after:.6g} "
            f"| {change.difference:+.4g} | {bound} | {change.margin:.3g} | {mark} |"
        )
    lines += [f"| `{figure}` | | – | | | | ✗ not judged |" for figure in lost]
    lines += ["", f"Paired over {counted(seeds)}. A figure is worse if its mean difference is "
              "beyond the margin with 99 % confidence."]  # fmt: skip
    if seeds == 1:
        lines.append("With one pair nothing can be told from chance; run with replications.")
    return "\n".join(lines) + "\n"


def _judge(figure: str, guard: Guard, pairs: Sequence[tuple[float, float]]) -> Change:
    count = len(pairs)
    before = math.fsum(old for old, _ in pairs) / count
    after = math.fsum(new for _, new in pairs) / count
    differences = [new - old for old, new in pairs]
    mean = math.fsum(differences) / count
    margin = guard.margin(before)
    sign = 1.0 if guard.higher_is_worse else -1.0
    if count == 1:
        return Change(figure, before, after, mean, None, margin, False, False)
    sd = math.sqrt(math.fsum((d - mean) ** 2 for d in differences) / (count - 1))
    half = float(stdtrit(count - 1, CONFIDENCE)) * sd / math.sqrt(count)
    harm = sign * mean
    bound = mean - half if mean > 0.0 else mean + half
    return Change(
        figure, before, after, mean, bound, margin,
        worse=harm - half > margin, better=-harm - half > margin,
    )  # fmt: skip


def _from_record(folder: Path) -> Runs:
    run = summary.read(folder)
    config = yaml.safe_load((folder / "config.yaml").read_text())
    table = folder / "replications.parquet"
    by_seed: dict[int, dict[str, float | None]] = {}
    if table.exists():
        frame = pd.read_parquet(table)
        figures = [column for column in frame.columns if column not in ("replication", "seed")]
        for row in frame.to_dict("records"):
            by_seed[int(row["seed"])] = {
                str(key): None if pd.isna(row[key]) else float(row[key]) for key in figures
            }
    else:
        by_seed[run.seed] = headline_figures(run)
    world = {key: value for key, value in config.items() if key not in NOT_THE_WORLD}
    return Runs(run.controller, world, by_seed)


def _from_file(path: Path) -> Runs:
    content = json.loads(path.read_text())
    if content.get("schema") != SCHEMA:
        raise BaselineError(f"{path}: is no baseline of schema {SCHEMA}")
    return Runs(
        content["controller"],
        content["world"],
        {int(run["seed"]): run["figures"] for run in content["runs"]},
    )


def _first_difference(one: Any, other: Any, path: str = "") -> str:
    """Where two configurations differ first, "" if nowhere."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        for key in sorted({*one, *other}, key=str):
            here = f"{path}.{key}" if path else str(key)
            # A null is nothing: a key that came with a later version changes no older world.
            if one.get(key) is None and other.get(key) is None:
                continue
            if key not in one or key not in other:
                return f"{here} is only in one of them"
            difference = _first_difference(one[key], other[key], here)
            if difference:
                return difference
        return ""
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for i, (a, b) in enumerate(zip(one, other, strict=True)):
            difference = _first_difference(a, b, f"{path}[{i}]")
            if difference:
                return difference
        return ""
    return "" if one == other else f"{path} was {one!r} and is {other!r}"


def _short(value: float | None) -> float | None:
    """Nine significant digits: exact enough, and legible in a diff."""
    return None if value is None else float(f"{value:.9g}")
