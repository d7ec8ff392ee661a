"""`python -m twin compare`: what it takes, judged before anything is imported that simulates."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import assignments
from engine.config.complaints import close
from engine.config.composition import composed
from engine.config.hydra_errors import choices
from engine.config.strict import ConfigError
from engine.record import folders

EVERYBODY = (
    "engine", "hpa", "kpa", "predictive_hpa", "scheduled", "target_tracking", "mpc", "static",
    "clairvoyant", "clairvoyant_within_rules",
)  # fmt: skip
OWN = ("controllers", "hpa_targets", "kpa_delays")
HPA_TARGETS = (40, 50, 60, 70, 80, 90)
KPA_DELAYS_S = (300, 900)


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
    rest = contestants(options)
    name, settings = next(rest)  # most of what is wrong is so for everybody

    from twin.config import check_files, parse

    config = parse(settings)
    check_files(config)
    folders.check_writable(Path(config.output))

    from twin.compare import comparing

    return comparing.run({name: settings, **dict(rest)}, config, command, render)


def contestants(options: CompareArguments) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and configuration of each contestant; with `hpa` and `kpa` come further settings.

    What a rival is judged by is the best that its users could choose.  Raises ConfigError at the
    first that cannot be composed.
    """
    owns: dict[str, Any] = {}
    for name in options.controllers:
        settings = _compose(options, f"controller={name}")
        owns[name] = settings["controller"]["options"]
        yield name, settings
    if "hpa" in owns:
        for target in options.hpa_targets:
            if target != owns["hpa"]["target_cpu"]:
                more = f"controller.options.target_cpu={target}"
                yield f"hpa@{target}", _compose(options, "controller=hpa", more)
    if "kpa" in owns:
        for delay_s in options.kpa_delays_s:
            if delay_s != owns["kpa"]["scale_down_delay_s"]:
                more = f"controller.options.scale_down_delay_s={delay_s}"
                yield f"kpa@{delay_s}s", _compose(options, "controller=kpa", more)


def _compose(options: CompareArguments, *more: str) -> dict[str, Any]:
    return composed([*options.overrides, *more], options.config_dirs, own=OWN)
