"""The command lines of `python -m twin evidence`, read before anything slow is loaded."""

from __future__ import annotations

import datetime as dt
import errno
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.config import assignments
from engine.config.strict import ConfigError
from twin.evidence.claims import LEVELS, Level

KEYS = ("level", "seed", "day", "load", "signer", "key", "claims", "data", "output")
PLAN = "plan.json"
"""The file by which a bundle is known."""


@dataclass(frozen=True, slots=True)
class EvidenceArguments:
    """What the command line asks for."""

    wanted: tuple[str, ...]
    level: Level
    seed: int
    day: dt.date | None
    """The day that is to be carried; None: the next busiest day is not named."""
    load: str
    signer: str
    key: Path | None
    claims: Path | None
    data: Path | None
    """Recorded traces of one's own platform: a file, or a folder of them."""
    output: Path


def read(arguments: Sequence[str]) -> EvidenceArguments:
    """Take apart the command line of a run; raises ConfigError for what cannot be read."""
    words = [word for word in arguments if "=" in word or word.startswith("-")]
    given = assignments.read(words, KEYS, tree=False).own
    level = given.get("level", "quick")
    if level not in LEVELS:
        raise ConfigError(f'level: "{level}" is not allowed ({", ".join(LEVELS)})')
    _check_key(given)
    return EvidenceArguments(
        wanted=tuple(word for word in arguments if word not in words),
        level="full" if level == "full" else "quick",
        seed=_seed(given.get("seed", "1")),
        day=_day("day", given["day"]) if "day" in given else None,
        load=given.get("load", ""),
        signer=given.get("signer", ""),
        key=Path(given["key"]) if "key" in given else None,
        claims=Path(given["claims"]) if "claims" in given else None,
        data=_there("data", given["data"]) if "data" in given else None,
        output=Path(given.get("output", "outputs/evidence")),
    )


def verified(arguments: Sequence[str]) -> tuple[Path, Path | None]:
    """The bundle to verify, and the file of a key; raises ConfigError."""
    folder, given = _bundle("verify", arguments, ("key",))
    _check_key(given)
    return folder, Path(given["key"]) if "key" in given else None


def drawn(arguments: Sequence[str]) -> tuple[Path, dt.date, Path]:
    """The bundle whose page is asked for, as of which day, and where to; raises ConfigError."""
    folder, given = _bundle("page", arguments, ("date", "out"))
    day = _day("date", given["date"]) if "date" in given else dt.datetime.now(dt.UTC).date()
    return folder, day, Path(given.get("out", f"{folder}.html"))


def _check_key(given: Mapping[str, str]) -> None:
    """Raise ConfigError for the file of a key that is not there."""
    if "key" in given and not Path(given["key"]).exists():
        raise ConfigError(f"key: {given['key']} cannot be read ({os.strerror(errno.ENOENT)})")


def _bundle(
    name: str, arguments: Sequence[str], keys: Sequence[str]
) -> tuple[Path, Mapping[str, str]]:
    words = [word for word in arguments if "=" in word or word.startswith("-")]
    given = assignments.read(words, keys, tree=False).own
    places = [word for word in arguments if word not in words]
    if len(places) != 1:
        raise ConfigError(f"evidence {name}: give one folder, that of a bundle")
    folder = Path(places[0])
    if not (folder / PLAN).is_file():
        raise ConfigError(f"{folder}: is no bundle of evidence ({PLAN} is not there)")
    return folder, given


def _there(key: str, value: str) -> Path:
    path = Path(value)
    if not path.exists():
        raise ConfigError(f"{key}: {value} is not there")
    return path


def _seed(value: str) -> int:
    if not re.fullmatch(r"\d{1,18}", value):
        raise ConfigError(f'seed: "{value}" is not allowed (a whole number from 0)')
    return int(value)


def _day(key: str, value: str) -> dt.date:
    try:
        return dt.date.fromisoformat(value)
    except ValueError:
        raise ConfigError(f'{key}: "{value}" is not allowed (a day, YYYY-MM-DD)') from None
