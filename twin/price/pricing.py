"""Run the engine with and without each rule under common random numbers, and write what came.

Replication k has the same seed in every variant of a place, so all of them meet the same weddings,
arrivals, boots and faults.  Each finished run is a small file in the output folder, under a
fingerprint of its configuration and of the code; the same command, started again, goes on there.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config.strict import ConfigError
from engine.record import folders
from engine.record.machine import versions
from engine.runtime.errors import ControllerError
from twin.commands import terminal
from twin.config import RunConfig, parse
from twin.price import worth
from twin.price.command import PriceArguments, PricedDay
from twin.price.rules import PricedRuleConfig, threatened, without
from twin.runs import sweep
from twin.runs.replications import as_floats
from twin.runs.seeds import seed_of
from twin.runs.summary import summarise
from twin.runs.workers import spread
from twin.world.world import World, load_kernels

SCHEMA = 1
KEPT = "price"
"""Folder under the output in which finished runs are kept."""


@dataclass(frozen=True, slots=True)
class Variant:
    """One contestant in one place: what it is called there, and its whole configuration.

    `threat` is the rule whose threat comes true; empty on the day as it is.
    """

    place: str
    threat: str
    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PriceTask:
    """A variant with its seed, and the folder in which its result is kept."""

    variant: Variant
    seed: int
    folder: Path


def run(
    options: PriceArguments,
    places: Sequence[PricedDay],
    command: str,
    render: Callable[[Path], None],
) -> Path:
    """Run everything that is not there yet and write the record; returns its folder.

    Raises ConfigError, ControllerError or OutputError.
    """
    config = parse(places[0].engine)
    started = dt.datetime.now(dt.UTC)
    every = [variant for place in places for variant in variants(place, options)]
    try:
        with terminal.compiling():
            load_kernels(config)
        for variant in every:
            World(parse(variant.settings).small())
    except ValueError as error:
        raise ConfigError(str(error)) from error
    kept = Path(config.output) / KEPT
    tasks = [
        PriceTask(variant, seed_of(config.seed, k), kept)
        for k in range(options.seeds)
        for variant in every
    ]
    results: dict[tuple[str, str, str], dict[int, worth.RunFigures]] = {}
    title = f"{len(options.rules)} rules × {options.seeds}"
    with terminal.progress(title, len(tasks)) as advance:
        for number, (at, figures) in enumerate(spread(_run, tasks, options.workers), 1):
            variant = tasks[at].variant
            key = variant.place, variant.threat, variant.name
            results.setdefault(key, {})[at // len(every)] = figures
            advance(number)
    by_variant = {key: [own[k] for k in range(options.seeds)] for key, own in results.items()}
    content = _content(options, places, by_variant, config, command=command, started=started)

    def fill(folder: Path) -> None:
        (folder / "price.json").write_text(json.dumps(content, indent=2) + "\n")

    name = f"{started:%Y%m%dT%H%M%SZ}-{config.seed}"
    folder = folders.write_whole(Path(config.output) / KEPT, name, fill, render)
    terminal.show_price(content, folder)
    return folder


def variants(place: PricedDay, options: PriceArguments) -> Iterator[Variant]:
    """All that is run in one place: the day as it is, and each rule's threat.

    Rules are taken out one at a time, and one after the other from the last on: the first says
    what a rule costs by itself, the second what it costs on top of those before it, which adds up.
    """
    rules = dict(options.rules)
    yield Variant(place.name, "", worth.ENGINE, place.engine)
    for name, settings in place.bounds.items():
        yield Variant(place.name, "", name, settings)
    for name, rule in rules.items():
        yield Variant(place.name, "", worth.alone(name), without(place.engine, [rule]))
    gone: list[PricedRuleConfig] = []
    for name in reversed(rules):
        gone.append(rules[name])
        yield Variant(place.name, "", worth.before(name), without(place.engine, gone))
    if options.threats:
        for name, rule in rules.items():
            spoiled = threatened(place.engine, rule.threat)
            yield Variant(place.name, name, worth.ENGINE, spoiled)
            yield Variant(place.name, name, worth.alone(name), without(spoiled, [rule]))


def _run(task: PriceTask) -> worth.RunFigures:
    settings = {**task.variant.settings, "seed": task.seed, "replications": 1}

    def simulated() -> dict[str, Any]:
        world = World(parse(settings))
        try:
            world.run()
        except ControllerError as error:
            name = f"{task.variant.place}, {task.variant.name}"
            raise ControllerError(f"{name}, seed {task.seed}: {error}") from None
        summary = summarise(world)
        days = world.config.duration_s / 86_400.0
        return {"figures": as_floats(summary, worth.LOOKED_AT), "days": days}

    entry = sweep.once(task.folder, settings, [], simulated)
    return worth.RunFigures(entry["figures"], float(entry["days"]))


def _content(
    options: PriceArguments,
    places: Sequence[PricedDay],
    runs: Mapping[tuple[str, str, str], Sequence[worth.RunFigures]],
    config: RunConfig,
    *,
    command: str,
    started: dt.datetime,
) -> dict[str, Any]:
    """Everything that `price.json` says."""
    priced = [
        {
            "name": place.name,
            "description": place.engine["scenario"]["description"],
            **worth.of_place(
                {name: own for (at, threat, name), own in runs.items()
                 if at == place.name and not threat},
                list(options.rules),
            ),
            "threats": {
                name: worth.of_threat(
                    runs[place.name, name, worth.ENGINE], runs[place.name, name, worth.alone(name)]
                )
                for name in options.rules
                if (place.name, name, worth.ENGINE) in runs
            },
        }
        for place in places
    ]  # fmt: skip
    return {
        "schema": SCHEMA,
        "kind": "price",
        "seed": config.seed,
        "seeds": options.seeds,
        "resolution": config.resolution,
        "started_at": started.isoformat(timespec="seconds"),
        "versions": versions(),
        "command": command,
        "rules": {
            name: {
                "says": rule.says,
                "engine": rule.engine,
                "each_service": rule.each_service,
                "threat": rule.threat.says,
            }
            for name, rule in options.rules.items()
        },
        "places": priced,
        "idle": worth.idle(priced, list(options.rules)),
    }
