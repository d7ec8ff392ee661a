"""Who does best in a scenario, and by how much: run everybody, and write the comparison."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from engine.config.secrets import recordable
from engine.config.strict import ConfigError
from engine.record import folders
from engine.record.machine import versions
from twin.commands import terminal
from twin.compare import verdict
from twin.compare.contest import Contestant, Run, run_all
from twin.config import RunConfig, parse
from twin.world.script import noun
from twin.world.world import World, load_kernels

SCHEMA = 1


def run(
    settings: Mapping[str, dict[str, Any]],
    config: RunConfig,
    command: str,
    render: Callable[[Path], None],
) -> Path:
    """Compare everybody whose `settings` are given and write the record; returns its folder.

    `config` is the configuration of the first.  Raises ConfigError, ControllerError or OutputError.
    """
    contestants = [Contestant(name, own) for name, own in settings.items()]
    started = dt.datetime.now(dt.UTC)
    try:
        with terminal.compiling():
            load_kernels(config)
        for contestant in contestants[1:]:
            World(parse(contestant.settings).small())
    except ValueError as error:
        raise ConfigError(str(error)) from error
    seed, replications = config.seed, config.replications
    total = len(contestants) * replications
    with terminal.progress(f"{len(contestants)} controllers × {replications}", total) as advance:
        runs = run_all(contestants, seed, replications, advance)
    content = comparison(contestants, runs, config, command, started=started)

    def fill(folder: Path) -> None:
        _write(folder, content, contestants[0], runs)

    base = Path(config.output) / config.scenario.name
    name = f"{started:%Y%m%dT%H%M%SZ}-compare-{seed}"
    folder = folders.write_whole(base, name, fill, render)
    terminal.show_comparison(content, folder)
    return folder


def comparison(
    contestants: Sequence[Contestant],
    runs: Sequence[Run],
    config: RunConfig,
    command: str,
    *,
    started: dt.datetime,
) -> dict[str, Any]:
    """Everything that `comparison.json` says."""
    bounds = [c.name for c in contestants if c.settings["controller"].get("foresight")]
    figures = verdict.figures(runs)
    return {
        "schema": SCHEMA,
        "kind": "comparison",
        "scenario": config.scenario.name,
        "description": config.scenario.description,
        "noun": noun(config).model_dump(),
        "replay": config.trace is not None,
        "seed": config.seed,
        "replications": config.replications,
        "resolution": config.resolution,
        "started_at": started.isoformat(timespec="seconds"),
        "versions": versions(),
        "command": command,
        "controllers": {
            c.name: {
                "factory": c.settings["controller"]["factory"],
                "options": c.settings["controller"]["options"],
                "foresight": c.name in bounds,
            }
            for c in contestants
        },
        "faults": [{"name": fault.name, "kind": fault.kind} for fault in config.faults.values()],
        "figures": figures,
        "paired": verdict.paired(runs),
        "pareto": verdict.pareto(figures, bounds),
        "losses": {
            run.name: verdict.losses(run.minutes) for run in runs if run.minutes is not None
        },
    }


def _write(folder: Path, content: dict[str, Any], first: Contestant, runs: Sequence[Run]) -> None:
    (folder / "comparison.json").write_text(json.dumps(content, indent=2) + "\n")
    shared = {key: value for key, value in first.settings.items() if key != "controller"}
    text = yaml.safe_dump(recordable(shared), sort_keys=False, allow_unicode=True, width=100)
    (folder / "config.yaml").write_text(text)
    rows = [
        {"controller": run.name, "replication": run.number, "seed": run.seed, **run.figures}
        for run in runs
    ]
    pd.DataFrame(rows).to_parquet(folder / "runs.parquet", index=False)
    minutes = [run.minutes.assign(controller=run.name) for run in runs if run.minutes is not None]
    pd.concat(minutes, ignore_index=True).to_parquet(folder / "minutes.parquet", index=False)
