"""Run each contestant in each replication, under common random numbers.

Replication k has the same seed for everybody, so all meet the same weddings, arrivals, boots and
faults, and figures can be compared replication by replication.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from engine.record.schema.summary import Elasticity
from engine.runtime.errors import ControllerError
from twin.config import parse
from twin.runs.replications import as_floats, headline_figures
from twin.runs.seeds import seed_of
from twin.runs.summary import BAD, T, done_requests, summarise
from twin.runs.workers import spread
from twin.world.world import World

MINUTE_S = 60

COMPARED = (
    "slo.longest_violation_s",
    "decision.flaps",
    *(f"prescaling.{name}" for name in ("ready_share", "worst_ready_ratio", "excess_share")),
    *(f"elasticity.{name}" for name in Elasticity.model_fields),
)
"""Figures of a run besides the headlines."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """A controller with its whole configuration, under the name that reports give it."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Run:
    """One contestant in one replication; `minutes` only for replication 0."""

    name: str
    number: int
    seed: int
    figures: Mapping[str, float | None]
    minutes: pd.DataFrame | None


def run_all(
    contestants: Sequence[Contestant],
    seed: int,
    replications: int,
    advance: Callable[[int], None],
    *,
    workers: int | None = None,
) -> list[Run]:
    """All runs, in the order of the contestants and replications.

    `advance` is told how many are done.  Raises ControllerError, with the contestant's name, when a
    controller raises or returns nonsense.
    """
    tasks = [
        (contestant.name, contestant.settings, k, seed_of(seed, k))
        for k in range(replications)
        for contestant in contestants
    ]
    done: list[tuple[int, Run]] = []
    for at, run in spread(_run, tasks, workers):
        done.append((at, run))
        advance(len(done))
    order = {contestant.name: i for i, contestant in enumerate(contestants)}
    return sorted((run for _, run in done), key=lambda run: (order[run.name], run.number))


def _run(task: tuple[str, Mapping[str, Any], int, int]) -> Run:
    name, settings, number, seed = task
    world = World(parse({**settings, "seed": seed, "replications": 1}))
    try:
        world.run()
    except ControllerError as error:
        raise ControllerError(f"{name}, seed {seed}: {error}") from None
    summary = summarise(world)
    figures = headline_figures(summary) | as_floats(summary, COMPARED)
    return Run(name, number, seed, figures, _minutes(world) if number == 0 else None)


def _minutes(world: World) -> pd.DataFrame:
    """One row for each minute and service: counts as means, requests as sums."""
    step_s = world.recorder.interval_s
    per_minute = max(MINUTE_S // step_s, 1)
    minutes = world.platform.samples // per_minute
    until = minutes * per_minute
    frames = []
    for i, spec in enumerate(world.specs):
        truth = world.platform.truth[i, :until].reshape(minutes, per_minute, -1)
        counts = world.recorder.counts[i, :until].reshape(minutes, per_minute, -1)
        bad = sum(truth[..., T[name]].sum(axis=1) for name in BAD)
        frames.append(
            pd.DataFrame(
                {
                    "time_s": world.start_s + per_minute * step_s * np.arange(1.0, minutes + 1.0),
                    "service": spec.name,
                    "user_facing": spec.user_facing,
                    "needed": np.maximum(truth[..., T["needed"]], spec.min_instances).mean(axis=1),
                    "ready": counts[..., 1].mean(axis=1),
                    "billed": counts[..., 1:].sum(axis=2).mean(axis=1),
                    "usd_per_hour": counts[..., 1:].sum(axis=2).mean(axis=1) * spec.price_per_hour,
                    "bad": bad,
                    "done": done_requests(truth).sum(axis=1),
                }
            )
        )
    return pd.concat(frames, ignore_index=True)
