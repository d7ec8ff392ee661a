"""`python -m twin learn`: what it takes, judged before anything is imported that simulates."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.config import assignments
from engine.config.composition import composed
from engine.config.strict import ConfigError
from engine.record.folders import check_writable

OWN = ("out", "days")


@dataclass(frozen=True, slots=True)
class LearnArguments:
    """What the command line asks."""

    out: Path
    days: tuple[str, ...]
    overrides: tuple[str, ...]


def read(arguments: Sequence[str]) -> LearnArguments:
    """Take apart the command line; raises ConfigError for what cannot be read."""
    plain = "is not allowed here; what is watched is the plain engine"
    words = assignments.read(
        arguments, OWN, refused={"controller": plain, "engine.forecast.artefact": plain}
    )
    out = Path(words.own.get("out", "models/blend.skops"))
    if not out.name:
        raise ConfigError("out: is missing; give a file, such as out=models/blend.skops")
    days = assignments.listed("days", words.own.get("days", "[]"))
    for day in days:
        _check_day(day)
    return LearnArguments(out, tuple(days), words.overrides)


def run(arguments: Sequence[str]) -> Path:
    """Learn and write the model; returns its file.  Raises ConfigError or OutputError."""
    options = read(arguments)
    settings = _compose(options)
    check_writable(options.out.parent, "out")

    from twin.forecast import learning

    return learning.run(settings, options.out)


def _compose(options: LearnArguments) -> list[dict[str, Any]]:
    """The configuration of each day."""
    plain = composed(options.overrides, own=OWN)

    from twin.config import check_files, parse

    check_files(parse(plain))  # before each day is composed
    key = "population.date" if plain.get("trace") is None else "trace.date"
    days = (composed([*options.overrides, f"{key}={date}"], own=OWN) for date in options.days)
    return list(days) if options.days else [plain]


def _check_day(day: str) -> None:
    if re.fullmatch(r"\d{4}-\d\d-\d\d", day):
        try:
            dt.date.fromisoformat(day)
            return
        except ValueError:
            pass
    raise ConfigError(f'days: "{day}" is not allowed (ISO dates, as days=[2027-06-05,2027-06-12])')
