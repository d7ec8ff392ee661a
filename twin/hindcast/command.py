"""`python -m twin hindcast`: what it takes, judged before anything is imported that simulates."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import assignments
from engine.config.composition import composed
from engine.config.strict import ConfigError
from engine.record import folders

OWN = ("controllers", "measured")
SCHEMA = 1
FEWEST_DAYS = 2


@dataclass(frozen=True, slots=True)
class MeasuredDays:
    """What an import kept back: the file, what stands in it, and the days that are whole."""

    path: Path
    content: Mapping[str, Any]
    whole: tuple[Mapping[str, Any], ...]
    left_out: tuple[str, ...]


def run(arguments: Sequence[str], command: str, render: Callable[[Path], None]) -> Path:
    """Play the days, compare, and write the record; returns its folder.

    Raises ConfigError, ControllerError or OutputError.
    """
    words = assignments.read(
        arguments, OWN, config_dirs=True,
        refused={
            "controller": "write controllers=[…]", "trace.date": "the days are those of measured=",
            "replications": "the days take their place",
        },
    )  # fmt: skip
    plain = composed(words.overrides, words.config_dirs, own=OWN)
    trace = plain.get("trace")
    if not isinstance(trace, Mapping) or not trace.get("path"):
        raise ConfigError("scenario: is not one of an import; first: python -m engine import …")
    file = words.own.get("measured") or Path(str(trace["path"])).parent / "measured.json"
    days = measured(Path(file))
    names = [f"{days.content['name']}{kind}" for kind in ("_hpas", "_as_measured")]
    if "controllers" in words.own:
        names = assignments.listed("controllers", words.own["controllers"])
    settings = {
        name: composed([*words.overrides, f"controller={name}"], words.config_dirs, own=OWN)
        for name in names
    }

    from twin.config import check_files, parse

    config = parse(next(iter(settings.values())))
    check_files(config)
    folders.check_writable(Path(config.output))

    from twin.hindcast import playing

    return playing.run(settings, config, days, command, render=render)


def measured(path: Path) -> MeasuredDays:
    """What was measured; raises ConfigError for a file that is none, or too few days."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["schema"] != SCHEMA or content["kind"] != "measured":
            raise ValueError(f"it is nothing measured, of schema {SCHEMA}")
        whole = tuple(day for day in content["days"] if not _gaps(day))
        left_out = tuple(
            f"{day['date']}: {gaps}" for day in content["days"] if (gaps := _gaps(day))
        )
    except OSError as error:
        raise ConfigError(f"measured: {path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"measured: {path} cannot be read: {error}") from None
    if len(whole) < FEWEST_DAYS:
        raise ConfigError(
            f"measured: {path} has {len(whole)} days without gaps, two at least are needed"
            + "".join(f"; {one}" for one in left_out)
        )
    return MeasuredDays(path, content, whole, left_out)


def _gaps(day: Mapping[str, Any]) -> str:
    """What of the day's load was not measured, "" if all of it was."""
    missing = {
        name: 1.0 - figures["measured_share"]
        for name, figures in day["services"].items()
        if 0.0 < figures["measured_share"] < 1.0
    }
    return ", ".join(f"{share:.1%} of {name} was not measured" for name, share in missing.items())
