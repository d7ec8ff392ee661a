"""The same run with other seeds, for a confidence interval around each headline figure.

Replication 0 is the run itself; replication k has a seed that follows from the run's seed and k
alone.  So two controllers, or two settings, that are run with the same seed and number of
replications meet the same weddings, arrivals and faults in each (common random numbers), and their
difference can be taken replication by replication.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.record.schema.paths import figures_of, headlines
from engine.record.schema.summary import Figures, Interval, Replications
from engine.record.schema.tables import REPLICATIONS
from engine.runtime.errors import ControllerError
from twin.config import parse
from twin.runs.seeds import seed_of
from twin.runs.summary import summarise
from twin.runs.workers import spread
from twin.world.world import World

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Replication:
    """One run's figures, by their path in the summary; None where a figure does not exist."""

    number: int
    seed: int
    figures: Mapping[str, float | None]


def headline_figures(summary: Figures) -> dict[str, float | None]:
    """The figures of one summary that replications are compared by."""
    return as_floats(summary, headlines(summary.services, summary.prediction))


def as_floats(summary: Figures, paths: Iterable[str]) -> dict[str, float | None]:
    """The figures at these paths; None where there is none."""
    values = figures_of(summary)
    return {path: None if (value := values.get(path)) is None else float(value) for path in paths}


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
    return REPLICATIONS.rows(
        [{"replication": r.number, "seed": r.seed, **r.figures} for r in replications]
    )


def interval(values: Sequence[float]) -> Interval:
    """Mean, standard deviation, 95 % interval of the mean, and range of `values`.

    Student's t: mean ± t(0.975, n - 1) s / sqrt(n), exact for normally distributed figures (Law,
    "Simulation Modeling and Analysis", 5th ed., section 4.5); a single value has no interval.
    """
    figures = np.asarray(values, dtype=np.float64)
    count = len(figures)
    mean = math.fsum(figures) / count
    low, high = float(figures.min()), float(figures.max())
    if count == 1:
        return Interval(mean=mean, sd=None, low=None, high=None, min=low, max=high)
    sd = math.sqrt(math.fsum((figures - mean) ** 2) / (count - 1))
    from scipy.special import stdtrit  # only here: a single run has no interval

    half = float(stdtrit(count - 1, 0.5 + CONFIDENCE / 2.0)) * sd / math.sqrt(count)
    return Interval(mean=mean, sd=sd, low=mean - half, high=mean + half, min=low, max=high)


def section(replications: Sequence[Replication]) -> Replications:
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
    return Replications(**nested)


def _parts(path: str) -> list[str]:
    """A path's keys; a service's name may have a dot in it."""
    head, _, rest = path.partition(".")
    if head == "services":
        name, _, figure = rest.rpartition(".")
        return [head, name, figure]
    return path.split(".")


def _run(task: tuple[Mapping[str, Any], int, int]) -> Replication:
    """One replication, in a process of its own."""
    settings, number, seed = task
    world = World(parse({**settings, "seed": seed, "replications": 1}))
    try:
        world.run()
    except ControllerError as error:
        raise ControllerError(f"replication {number} (seed {seed}): {error}") from None
    return Replication(number, seed, headline_figures(summarise(world)))
