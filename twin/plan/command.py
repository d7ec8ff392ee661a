"""`python -m twin plan`: what the next months need, what to buy, and what gives way first."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from engine.config import assignments, composition
from engine.config.secrets import recordable
from engine.config.strict import ConfigError
from engine.record import folders

OWN = ("date", "months", "risk", "check", "margin", "paths", "drawn", "growth_sd")
"""Keys of `plan` that may be given without their group."""


def run(arguments: Sequence[str], command: str, render: Callable[[Path], None]) -> Path:
    """Plan and write the record; returns its folder.

    Raises ConfigError or OutputError.
    """
    raw = composed(arguments)

    from scenarios.seasons.config import check_country
    from twin.plan.config import parse, run_settings

    config = parse(raw)
    settings = run_settings(raw)
    base = Path(config.output) / "plans"
    folders.check_writable(base)
    check_country(config.seasons)

    from twin.commands import terminal
    from twin.plan import checks as twin_checks
    from twin.plan.content import content
    from twin.plan.planning import STAGES, make

    started = dt.datetime.now(dt.UTC)
    with terminal.progress("plan", STAGES) as advance:
        planned = make(config, advance)
    checked = None
    if config.plan.check:
        with terminal.compiling():
            _load(settings)
        total = len(twin_checks.probes_of(planned))
        with terminal.progress("twin at the limits", total) as advance:
            checked = twin_checks.check(planned, settings, advance)
    answer = content(planned, checked, command)

    def fill(folder: Path) -> None:
        (folder / "plan.json").write_text(json.dumps(answer, indent=2, allow_nan=False) + "\n")
        text = yaml.safe_dump(recordable(raw), sort_keys=False, allow_unicode=True, width=100)
        (folder / "config.yaml").write_text(text)

    name = f"{started:%Y%m%dT%H%M%SZ}-plan-{config.seed}"
    folder = folders.write_whole(base, name, fill, render)
    terminal.show_plan(answer, folder)
    return folder


def composed(arguments: Sequence[str]) -> dict[str, Any]:
    """The configuration that the arguments ask for; raises ConfigError for what cannot be read."""
    words = assignments.read(arguments, OWN, config_dirs=True)
    own = [f'plan.{key}="{value}"' if key == "date" else f"plan.{key}={value}"
           for key, value in words.own.items()]  # fmt: skip
    # Without a name of its own a sweep has one that the clock gives.
    overrides = ["sweep.name=plan", *own, *words.overrides]
    return composition.composed(overrides, words.config_dirs, root="plan", own=OWN)


def _load(settings: Mapping[str, Any]) -> None:
    from twin.config import parse as parse_run
    from twin.world.world import load_kernels

    try:
        load_kernels(parse_run(settings))
    except ValueError as error:
        raise ConfigError(str(error)) from error
