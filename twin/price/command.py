"""`python -m twin price`: what it takes, judged before anything is imported that simulates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import assignments
from engine.config.complaints import close
from engine.config.composition import composed
from engine.config.hydra_errors import choices
from engine.config.strict import ConfigError
from engine.record import folders
from twin.price import rules as catalogue
from twin.price.rules import PricedRuleConfig

OWN = ("scenario", "weddings", "seeds", "rules", "threats", "workers")
BOUNDS = ("clairvoyant", "clairvoyant_within_rules")
SEEDS = 3


@dataclass(frozen=True, slots=True)
class PriceArguments:
    """What the command line asks: which rules, in which places, over how many seeds.

    `weddings` is empty where each scenario has its own size.
    """

    scenarios: tuple[str, ...]
    weddings: tuple[int, ...]
    seeds: int
    rules: Mapping[str, PricedRuleConfig]
    threats: bool
    workers: int | None
    overrides: tuple[str, ...]
    config_dirs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PricedDay:
    """A scenario at a size, with the configuration of the engine and of the bounds in it."""

    name: str
    engine: Mapping[str, Any]
    bounds: Mapping[str, Mapping[str, Any]]


def read(arguments: Sequence[str]) -> PriceArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    words = assignments.read(
        arguments, OWN, config_dirs=True,
        refused={
            "controller": "it is the engine whose rules are priced",
            "replications": "write seeds=N",
            "population.simultaneous": "write weddings=[N,…]",
        },
    )  # fmt: skip
    own = words.own
    scenarios = assignments.listed("scenario", own.get("scenario", "june_peak"))
    there = choices("scenario", [f"--config-dir={folder}" for folder in words.config_dirs])
    for name in scenarios:
        if name not in there:
            raise ConfigError(
                f'scenario: "{name}" is not allowed ({", ".join(there)}){close(name, there)}'
            )
    if not scenarios:
        raise ConfigError("scenario: is empty")
    weddings = [
        assignments.whole("weddings", text, 1, 10_000_000)
        for text in assignments.listed("weddings", own.get("weddings", "[]"))
    ]
    threats = own.get("threats", "true")
    if threats not in ("true", "false"):
        raise ConfigError(f"threats: {threats} is not allowed (true, false)")
    wanted = assignments.listed("rules", own["rules"]) if "rules" in own else []
    workers = own.get("workers")
    return PriceArguments(
        scenarios=tuple(scenarios),
        weddings=tuple(weddings),
        seeds=assignments.whole("seeds", own.get("seeds", str(SEEDS)), 1, 1000),
        rules=catalogue.chosen(wanted, catalogue.read()),
        threats=threats == "true",
        workers=None if workers is None else assignments.whole("workers", workers, 1, 1024),
        overrides=words.overrides,
        config_dirs=words.config_dirs,
    )


def run(arguments: Sequence[str], command: str, render: Callable[[Path], None]) -> Path:
    """Price the rules and write the record; returns its folder.

    Raises ConfigError, ControllerError or OutputError.
    """
    options = read(arguments)

    from twin.config import check_files, parse

    every = places(options)
    for place in every:
        config = parse(place.engine)
        check_files(config)
    folders.check_writable(Path(config.output))

    from twin.price import pricing

    return pricing.run(options, every, command, render)


def places(options: PriceArguments) -> list[PricedDay]:
    """Each scenario at each size; raises ConfigError where one cannot be composed."""
    result = []
    for scenario in options.scenarios:
        for size in options.weddings or (None,):
            overrides = [*options.overrides, f"scenario={scenario}"]
            if size is not None:
                overrides.append(f"population.simultaneous={size}")
            settings = _composed(options, overrides)
            bounds = {
                name: settings
                | {
                    "controller": _composed(options, [*overrides, f"controller={name}"])[
                        "controller"
                    ]
                }
                for name in BOUNDS
            }
            at = settings["population"]["simultaneous"]
            name = scenario if settings["trace"] is not None else f"{scenario} @ {at:,}"
            result.append(PricedDay(name, settings, bounds))
    return result


def _composed(options: PriceArguments, overrides: Sequence[str]) -> dict[str, Any]:
    return composed(overrides, options.config_dirs, own=OWN)
