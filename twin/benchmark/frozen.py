"""Thresholds: chosen on development files, written down with the date and the files, and left so.

`conf/benchmark.yaml` has those of the product; `freeze=FILE` chooses them on the data at hand.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import yaml

from engine.config.strict import ConfigError, Strict, validated
from engine.record.folders import explained

NAMED = "benchmark.yaml"
HEAD = """\
# Thresholds of `python -m twin benchmark`: chosen on these files on that day, and applied as they
# are to whatever is judged since.  Made by freeze=FILE.
"""


class FrozenThresholds(Strict):
    """Those of one benchmark: by detector, with the day and the files that they were chosen on."""

    date: dt.date
    files: tuple[str, ...]
    thresholds: dict[str, float]


def read(path: Path | None = None) -> dict[str, FrozenThresholds]:
    """Thresholds by benchmark; raises ConfigError for a file that has none."""
    source = resources.files("conf").joinpath(NAMED) if path is None else path
    try:
        raw = yaml.safe_load(source.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"thresholds: {source}: cannot be read ({error})") from error
    if not isinstance(raw, Mapping):
        raise ConfigError(f"thresholds: {source}: expected is a section for each benchmark")
    return {str(name): validated(FrozenThresholds, own, str(name)) for name, own in raw.items()}


def write(path: Path, benchmark: str, chosen: Mapping[str, float], files: Sequence[str]) -> None:
    """Put the thresholds of `benchmark` into the file, beside those that are there.

    Raises ConfigError for a file that has something else, OutputError.
    """
    every = read(path) if path.exists() else {}
    every[benchmark] = FrozenThresholds(
        date=dt.datetime.now(dt.UTC).date(), files=tuple(files), thresholds=dict(chosen)
    )
    text = yaml.safe_dump(
        {name: own.model_dump(mode="json") for name, own in sorted(every.items())},
        sort_keys=False, width=100,
    )  # fmt: skip
    with explained(path.parent, "freeze"):
        path.write_text(HEAD + text, encoding="utf-8")
