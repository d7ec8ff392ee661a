"""Write the run record, and find out beforehand whether that will be possible."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import yaml

from engine.config.secrets import recordable
from engine.record import readiness
from engine.record.folders import Render, write_whole
from engine.record.machine import peak_rss_mib, versions
from engine.record.schema import events, thresholds
from engine.record.schema.paths import possible
from engine.record.schema.summary import FILE, VERSION, Figures, Simulation, Summary
from engine.record.schema.tables import (
    DECISIONS,
    FINDINGS,
    PRESCALING,
    REPLICATIONS,
    TIMELINE,
    WEDDINGS,
)
from twin.config import RunConfig
from twin.queues.port import TRUTH_FIELDS
from twin.runs.replications import Replication, headline_figures, section, table
from twin.runs.summary import asked, prescaling, scope, summarise
from twin.world.recorder import COUNTS
from twin.world.world import World

PER_SAMPLE = ("served", "failed", "shed", "timed_out", "slow", "queued", "in_flight")
METRICS = {"cpu": 1, "memory": 2, "p50_s": 4, "p95_s": 5, "p99_s": 6}
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}


def check_thresholds(world: World) -> None:
    """Find out before the run whether each threshold names a figure; raises ValueError if not."""
    thresholds.check(world.config.thresholds.items(), scope(world))


class RunTimes(NamedTuple):
    """When a run was started and how long it took, of which `compile_s` to compile kernels."""

    started: dt.datetime
    wall_s: float
    compile_s: float


def write(
    world: World,
    raw: dict[str, Any],
    *,
    command: str,
    times: RunTimes,
    partial: bool,
    others: Sequence[Replication],
    render: Render,
) -> Path:
    """Write the record of `world`, let `render` add the reports; returns the record's folder.

    `others` are its replications with other seeds, if it has any.

    It is on the disk when this returns.  Raises OutputError when that is impossible.
    """
    config = world.config
    base = Path(config.output) / config.scenario.name
    summary = _summary(world, command, times, partial=partial, others=others)
    name = f"{times.started:%Y%m%dT%H%M%SZ}-{config.controller.name}-{config.seed}"

    def fill(folder: Path) -> None:
        _write_files(world, config, raw, summary, folder=folder)
        if others:
            everyone = [_replication(world, summary), *others]
            REPLICATIONS.write(folder, table(everyone))

    return write_whole(base, name, fill, render)


def timeline(world: World) -> pd.DataFrame:
    """One row for each sample and service."""
    samples, step_s = world.platform.samples, world.recorder.interval_s
    frames = []
    names = [spec.name for spec in world.specs]
    time_s = world.start_s + step_s * np.arange(1.0, samples + 1.0)
    first = world.load.arrivals[:, : samples * step_s].reshape(len(names), samples, step_s)
    demand = first.sum(axis=2) / step_s
    for i, spec in enumerate(world.specs):
        truth, metrics = world.platform.truth[i, :samples], world.platform.metrics[i, :samples]
        columns: dict[str, Any] = {
            "time_s": time_s,
            "service": [spec.name] * samples,
            "demand_rate": demand[i],
            "arrival_rate": truth[:, T["arrived"]] / step_s,
        }
        columns |= {name: truth[:, T[name]] for name in PER_SAMPLE}
        columns |= {name: metrics[:, k] for name, k in METRICS.items()}
        counts = world.recorder.counts[i, :samples]
        columns |= {name: counts[:, k] for k, name in enumerate(COUNTS)}
        columns["needed"] = truth[:, T["needed"]]
        forecast = world.recorder.forecast[i, :samples]
        columns |= {f"forecast_q{q}": forecast[:, k] for k, q in enumerate((10, 50, 90))}
        columns["wedding_floor"] = world.recorder.floors[i, :samples]
        columns["cost_per_hour"] = counts[:, 1:].sum(axis=1) * spec.price_per_hour
        if any(one.warm is not None for one in world.specs):
            columns["warm"] = world.recorder.warm[i, :samples]
            columns["cost_per_hour"] += world.recorder.warm_usd_per_hour[i, :samples]
        frames.append(TIMELINE.frame(columns, names))
    return pd.concat(frames, ignore_index=True)


def weddings(world: World) -> pd.DataFrame:
    """One row for each minute: weddings in progress, in all and by phase."""
    until = int(world.now_s)
    demand = world.load.demand
    seconds = np.arange(0, max(until, 1), 60)
    columns: dict[str, Any] = {
        "time_s": world.start_s + seconds,
        "in_progress": demand.in_progress[seconds],
    }
    columns |= {name: demand.by_phase[k, seconds] for k, name in enumerate(world.script.phases)}
    return WEDDINGS.frame(columns)


def _write_files(
    world: World, config: RunConfig, raw: dict[str, Any], summary: Summary, *, folder: Path
) -> None:
    resolved = recordable(raw) | {
        "faults": [fault.model_dump() for fault in config.faults.values()]
    }
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=100)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    TIMELINE.write(folder, timeline(world))
    DECISIONS.write(folder, world.recorder.decision_table())
    WEDDINGS.write(folder, weddings(world))
    if world.watch is not None:
        FINDINGS.write(folder, world.watch.notes.table())
    PRESCALING.write(folder, readiness.table(prescaling(world)))
    events.write(folder, [events.Event(**event) for event in world.recorder.events])
    (folder / FILE).write_text(summary.text(), encoding="utf-8")


def _summary(
    world: World,
    command: str,
    times: RunTimes,
    *,
    partial: bool,
    others: Sequence[Replication],
) -> Summary:
    config = world.config
    figures = summarise(world)
    unjudged = Summary(
        schema=VERSION,
        scenario=config.scenario.name,
        description=config.scenario.description,
        noun=world.script.noun,
        controller=config.controller.name,
        foresight=config.controller.foresight,
        seed=config.seed,
        resolution=config.resolution,
        world="twin",
        started_at=times.started.isoformat(timespec="seconds"),
        partial=partial,
        versions=versions(),
        command=command,
        trace=world.script.trace,
        **dict(figures),
        replications=section([_replication(world, figures), *others]) if others else None,
        thresholds=(),
        simulation=_simulation(world, times),
    )
    judged = thresholds.judge(
        config.thresholds.items(), unjudged, possible(scope(world)), asked(world)
    )
    return unjudged.model_copy(update={"thresholds": judged})


def _replication(world: World, summary: Figures) -> Replication:
    """The run itself as the first of its replications."""
    return Replication(0, world.config.seed, headline_figures(summary))


def _simulation(world: World, times: RunTimes) -> Simulation:
    """How fast it went, with the kernels loaded before."""
    wall_s = times.wall_s
    return Simulation(
        wall_s=wall_s,
        compile_s=times.compile_s,
        simulated_s=world.now_s,
        speedup=world.now_s / wall_s if wall_s > 0.0 else None,
        peak_rss_mib=peak_rss_mib(),
    )
