"""The same run with other seeds, for a confidence interval around each headline figure.

Replication 0 is the run itself; replication k has a seed that follows from the run's seed and k
alone.  So two controllers, or two settings, that are run with the same seed and number of
replications meet the same weddings, arrivals and faults in each (common random numbers), and their
difference can be taken replication by replication.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from engine.runtime.ask import ControllerError
from twin.config import parse
from twin.runs.summary import summarise
from twin.runs.workers import spread
from twin.world.world import World

CONFIDENCE = 0.95

HEADLINES = (
    "slo.violation_ratio",
    "slo.violation_minutes",
    "slo.availability",
    "cost.total_usd",
    "cost.per_wedding_usd",
    "requests.total",
    "requests.failed",
    "requests.peak_rate_per_s",
    "weddings.peak_simultaneous",
    "decision.actions",
    "decision.emergency_s.count",
)
"""Paths in the summary; with them come p95, cost and instance-hours of each service and the WAPE of
each forecast horizon."""


@dataclass(frozen=True, slots=True)
class Replication:
    """One run's figures, by their path in the summary; None where a figure does not exist."""

    number: int
    seed: int
    figures: Mapping[str, float | None]


def seed_of(seed: int, number: int) -> int:
    """The seed of replication `number`: 63 bits of the `number`-th child of `seed`."""
    if number == 0:
        return seed
    child = np.random.SeedSequence(seed, spawn_key=(number - 1,))
    return int(child.generate_state(1, np.uint64)[0] >> np.uint64(1))


def headline_figures(summary: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of one summary that replications are compared by."""
    figures = {path: _at(summary, path) for path in HEADLINES}
    for name in summary["services"]:
        for figure in ("p95_s", "cost_usd", "instance_hours", "violation_ratio"):
            figures[f"services.{name}.{figure}"] = _at(summary["services"][name], figure)
    for horizon in summary["prediction"]:
        path = f"prediction.{horizon}.wape"
        figures[path] = _at(summary, path)
    return figures


def run_others(
    settings: Mapping[str, Any], seed: int, count: int, advance: Callable[[int], None]
) -> list[Replication]:
    """Run replications 1 … `count` - 1 of a run with `settings` in as many processes as cores.

    `advance` is told how many are done.  After an interrupt those done so far are returned.
    Raises ControllerError, with the replication's seed, when a controller fails in one.
    """
    done: list[Replication] = []
    tasks = [(settings, k, seed_of(seed, k)) for k in range(1, count)]
    try:
        for _, replication in spread(_run, tasks):
            done.append(replication)
            advance(len(done))
    except KeyboardInterrupt:
        pass
    return sorted(done, key=lambda replication: replication.number)


def table(replications: Sequence[Replication]) -> pd.DataFrame:
    """One row for each replication: its number, its seed, and a column for each figure."""
    rows = [{"replication": r.number, "seed": r.seed, **r.figures} for r in replications]
    frame = pd.DataFrame(rows)
    figures = [column for column in frame.columns if column not in ("replication", "seed")]
    return frame.astype(
        {"replication": "int64", "seed": "int64"} | dict.fromkeys(figures, "float64")
    )


def interval(values: Sequence[float]) -> dict[str, float | None]:
    """Mean, standard deviation, 95 % interval of the mean, and range of `values`.

    Student's t: mean ± t(0.975, n - 1) s / sqrt(n), exact for normally distributed figures (Law,
    "Simulation Modeling and Analysis", 5th ed., section 4.5); a single value has no interval.
    """
    figures = np.asarray(values, dtype=np.float64)
    count = len(figures)
    mean = math.fsum(figures) / count
    result: dict[str, float | None] = {
        "mean": mean, "sd": None, "low": None, "high": None,
        "min": float(figures.min()), "max": float(figures.max()),
    }  # fmt: skip
    if count > 1:
        sd = math.sqrt(math.fsum((figures - mean) ** 2) / (count - 1))
        quantile = float(stats.t.ppf(0.5 + CONFIDENCE / 2.0, count - 1))
        half = quantile * sd / math.sqrt(count)
        result |= {"sd": sd, "low": mean - half, "high": mean + half}
    return result


def section(replications: Sequence[Replication]) -> dict[str, Any]:
    """What the summary says of the replications; figures nested as in the summary itself."""
    nested: dict[str, Any] = {"count": len(replications), "confidence": CONFIDENCE}
    for path in replications[0].figures if replications else ():
        values = [
            value
            for replication in replications
            if (value := replication.figures.get(path)) is not None
        ]
        if not values:
            continue
        inner = nested
        *parents, last = _parts(path)
        for parent in parents:
            inner = inner.setdefault(parent, {})
        inner[last] = interval(values)
    return nested


def _parts(path: str) -> list[str]:
    """A path's keys; a service's name may have a dot in it."""
    head, _, rest = path.partition(".")
    if head == "services":
        name, _, figure = rest.rpartition(".")
        return [head, name, figure]
    return path.split(".")


def _at(summary: Mapping[str, Any], path: str) -> float | None:
    value: Any = summary
    for key in path.split("."):
        value = value[key]
    return float(value) if value is not None and math.isfinite(value) else None


def _run(task: tuple[Mapping[str, Any], int, int]) -> Replication:
    """One replication, in a process of its own."""
    settings, number, seed = task
    world = World(parse({**settings, "seed": seed, "replications": 1}))
    try:
        world.run()
    except ControllerError as error:
        raise ControllerError(f"replication {number} (seed {seed}): {error}") from None
    return Replication(number, seed, headline_figures(summarise(world)))
