"""`python -m twin compare`: who does best in a scenario, and by how much."""

from __future__ import annotations

import dataclasses
import datetime as dt
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from engine.config import assignments
from engine.config.complaints import close
from engine.config.composition import composed
from engine.config.hydra_errors import choices
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

EVERYBODY = (
    "engine", "hpa", "kpa", "predictive_hpa", "scheduled", "target_tracking", "static",
    "clairvoyant",
)  # fmt: skip
OWN = ("controllers", "hpa_targets", "kpa_delays")
HPA_TARGETS = (40, 50, 60, 70, 80, 90)
KPA_DELAYS_S = (300, 900)
SCHEMA = 1


@dataclass(frozen=True, slots=True)
class CompareArguments:
    """What the command line asks: whom to compare, in what."""

    controllers: tuple[str, ...]
    hpa_targets: tuple[int, ...]
    kpa_delays_s: tuple[int, ...]
    overrides: tuple[str, ...]
    config_dirs: tuple[str, ...]


def read(arguments: Sequence[str]) -> CompareArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    words = assignments.read(
        arguments, OWN, config_dirs=True,
        refused={"controller": "write controllers=[…] to compare"},
    )  # fmt: skip
    controllers: Sequence[str] = EVERYBODY
    if "controllers" in words.own:
        controllers = assignments.listed("controllers", words.own["controllers"])
        there = choices("controller", [f"--config-dir={folder}" for folder in words.config_dirs])
        for name in controllers:
            if name not in there:
                raise ConfigError(
                    f'controllers: "{name}" is not allowed ({", ".join(there)}){close(name, there)}'
                )
        if not controllers:
            raise ConfigError("controllers: is empty")
    targets: Sequence[int] = HPA_TARGETS
    if "hpa_targets" in words.own:
        texts = assignments.listed("hpa_targets", words.own["hpa_targets"])
        targets = [assignments.whole("hpa_targets", text, 1, 100) for text in texts]
    delays_s: Sequence[int] = KPA_DELAYS_S
    if "kpa_delays" in words.own:
        texts = assignments.listed("kpa_delays", words.own["kpa_delays"])
        delays_s = [assignments.whole("kpa_delays", text, 0, 3600) for text in texts]
    return CompareArguments(
        tuple(controllers), tuple(targets), tuple(delays_s), words.overrides, words.config_dirs
    )


def run(arguments: Sequence[str], command: str, render: Callable[[Path], None]) -> Path:
    """Compare and write the record; returns its folder.

    Raises ConfigError, ControllerError or OutputError.
    """
    options = read(arguments)
    configs = compose_all(options)
    contestants = [Contestant(name, settings) for name, settings in configs.items()]
    runs_config = parse(contestants[0].settings)
    folders.check_writable(Path(runs_config.output))
    started = dt.datetime.now(dt.UTC)
    try:
        with terminal.compiling():
            load_kernels(runs_config)
        for contestant in contestants[1:]:
            World(parse(contestant.settings).small())
    except ValueError as error:
        raise ConfigError(str(error)) from error
    seed, replications = runs_config.seed, runs_config.replications
    total = len(contestants) * replications
    with terminal.progress(f"{len(contestants)} controllers × {replications}", total) as advance:
        runs = run_all(contestants, seed, replications, advance)
    content = comparison(contestants, runs, runs_config, command, started)

    def fill(folder: Path) -> None:
        _write(folder, content, contestants[0], runs)

    base = Path(runs_config.output) / runs_config.scenario.name
    name = f"{started:%Y%m%dT%H%M%SZ}-compare-{seed}"
    folder = folders.write_whole(base, name, fill, render)
    terminal.show_comparison(content, folder)
    return folder


def compose_all(options: CompareArguments) -> dict[str, dict[str, Any]]:
    """The configuration of each contestant by name; with `hpa` and `kpa` come further settings.

    What a rival is judged by is the best that its users could choose.
    """
    configs: dict[str, dict[str, Any]] = {}
    for name in options.controllers:
        configs[name] = _compose(options, f"controller={name}")
    if "hpa" in configs:
        own = configs["hpa"]["controller"]["options"]["target_cpu"]
        for target in options.hpa_targets:
            if target != own:
                more = f"controller.options.target_cpu={target}"
                configs[f"hpa@{target}"] = _compose(options, "controller=hpa", more)
    if "kpa" in configs:
        own = configs["kpa"]["controller"]["options"]["scale_down_delay_s"]
        for delay_s in options.kpa_delays_s:
            if delay_s != own:
                more = f"controller.options.scale_down_delay_s={delay_s}"
                configs[f"kpa@{delay_s}s"] = _compose(options, "controller=kpa", more)
    return configs


def comparison(
    contestants: Sequence[Contestant],
    runs: Sequence[Run],
    config: RunConfig,
    command: str,
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
        "noun": dataclasses.asdict(noun(config)),
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


def _compose(options: CompareArguments, *more: str) -> dict[str, Any]:
    return composed([*options.overrides, *more], options.config_dirs, own=OWN)
