"""Write the run record, and find out beforehand whether that will be possible."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml

from engine.record.figures import SCHEMA, judge, percentiles
from engine.record.folders import write_whole
from engine.record.machine import peak_rss_mib, versions
from engine.record.prescaling import table as prescaling_table
from twin.config import RunConfig
from twin.queues.port import TRUTH_FIELDS
from twin.runs.replications import Replication, headline_figures, section, table
from twin.runs.summary import prescaling, summarise
from twin.world.recorder import COUNTS
from twin.world.world import World

PER_SAMPLE = ("served", "failed", "shed", "timed_out", "slow", "queued", "in_flight")
METRICS = {"cpu": 1, "memory": 2, "p50_s": 4, "p95_s": 5, "p99_s": 6}
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}


def check_thresholds(world: World) -> None:
    """Find out before the run whether each threshold names a figure; raises ValueError if not."""
    skeleton = summarise(world)
    skeleton["decision"]["compute_s"] = percentiles([])
    skeleton["simulation"] = _simulation(world, 0.0, 0.0)
    if world.config.replications > 1:
        skeleton["replications"] = section([Replication(0, 0, headline_figures(skeleton))] * 2)
    known = {
        name: threshold
        for name, threshold in world.config.thresholds.items()
        # horizons are known after the run
        if not threshold.metric.startswith(("prediction.", "replications.prediction."))
    }
    judge(skeleton, known)


def write(
    world: World,
    raw: dict[str, Any],
    *,
    command: str,
    started: dt.datetime,
    wall_s: float,
    compile_s: float,
    partial: bool,
    others: Sequence[Replication],
    render: Callable[[Path], None],
) -> Path:
    """Write the record of `world`, let `render` add the reports; returns the record's folder.

    `others` are its replications with other seeds, if it has any.

    Raises OutputError when that is impossible, ValueError when a threshold names no figure.
    """
    config = world.config
    base = Path(config.output) / config.scenario.name
    summary = _summary(world, command, started, wall_s, compile_s, partial, others)
    name = f"{started:%Y%m%dT%H%M%SZ}-{config.controller.name}-{config.seed}"

    def fill(folder: Path) -> None:
        _write_files(world, config, raw, summary, folder)
        if others:
            everyone = [_replication(world, summary), *others]
            table(everyone).to_parquet(folder / "replications.parquet", index=False)

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
            "service": pd.Categorical([spec.name] * samples, categories=names),
            "demand_rate": demand[i],
            "arrival_rate": truth[:, T["arrived"]] / step_s,
        }
        columns |= {name: truth[:, T[name]] for name in PER_SAMPLE}
        columns |= {name: metrics[:, k] for name, k in METRICS.items()}
        counts = world.recorder.counts[i, :samples]
        columns |= {name: counts[:, k] for k, name in enumerate(COUNTS)}
        columns["needed"] = truth[:, T["needed"]].astype(np.int32)
        forecast = world.recorder.forecast[i, :samples]
        columns |= {f"forecast_q{q}": forecast[:, k] for k, q in enumerate((10, 50, 90))}
        columns["wedding_floor"] = world.recorder.floors[i, :samples]
        columns["cost_per_hour"] = counts[:, 1:].sum(axis=1) * spec.price_per_hour
        frames.append(pd.DataFrame(columns))
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
    return pd.DataFrame(columns)


def _write_files(
    world: World, config: RunConfig, raw: dict[str, Any], summary: dict[str, Any], folder: Path
) -> None:
    resolved = raw | {"faults": [fault.model_dump() for fault in config.faults.values()]}
    text = yaml.safe_dump(resolved, sort_keys=False, allow_unicode=True, width=100)
    (folder / "config.yaml").write_text(text)
    timeline(world).to_parquet(folder / "timeline.parquet", index=False)
    world.recorder.decision_table().to_parquet(folder / "decisions.parquet", index=False)
    weddings(world).to_parquet(folder / "weddings.parquet", index=False)
    prescaling_table(prescaling(world)).to_parquet(folder / "prescaling.parquet", index=False)
    with (folder / "events.jsonl").open("w") as lines:
        for event in world.recorder.events:
            lines.write(json.dumps(event) + "\n")
    (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")


def _summary(
    world: World,
    command: str,
    started: dt.datetime,
    wall_s: float,
    compile_s: float,
    partial: bool,
    others: Sequence[Replication],
) -> dict[str, Any]:
    config = world.config
    figures = summarise(world)
    figures["decision"]["compute_s"] = percentiles(world.recorder.compute_s)
    summary: dict[str, Any] = {
        "schema": SCHEMA,
        "scenario": config.scenario.name,
        "description": config.scenario.description,
        "noun": dataclasses.asdict(world.script.noun),
        "controller": config.controller.name,
        "foresight": config.controller.foresight,
        "seed": config.seed,
        "resolution": config.resolution,
        "world": "twin",
        "started_at": started.isoformat(timespec="seconds"),
        "partial": partial,
        "versions": versions(),
        "command": command,
        **figures,
    }
    if others:
        summary["replications"] = section([_replication(world, summary), *others])
    simulation = _simulation(world, wall_s, compile_s)
    judged = judge({**summary, "simulation": simulation}, config.thresholds)
    return {**summary, "thresholds": judged, "simulation": simulation}


def _replication(world: World, summary: dict[str, Any]) -> Replication:
    """The run itself as the first of its replications."""
    return Replication(0, world.config.seed, headline_figures(summary))


def _simulation(world: World, wall_s: float, compile_s: float) -> dict[str, float | None]:
    """How fast it went: `wall_s` builds and runs the world, with the kernels loaded before."""
    return {
        "wall_s": wall_s,
        "compile_s": compile_s,
        "simulated_s": world.now_s,
        "speedup": world.now_s / wall_s if wall_s > 0.0 else None,
        "peak_rss_mib": peak_rss_mib(),
    }
