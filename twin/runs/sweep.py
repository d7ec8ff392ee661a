"""Sweeps: each run at most once, all of them in one table, and the value that tuning goes by.

A finished run leaves a small file in the sweep's folder, under a fingerprint of its configuration
and of the code.  The same sweep, started again under the same name, takes what it finds there; a
changed configuration or a changed line of code has another fingerprint and is run anew.
"""

from __future__ import annotations

import functools
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd

from engine.config.secrets import shown
from engine.record.files import write_atomically
from twin.runs.replications import headline_figures
from twin.runs.summary import summarise
from twin.world.world import World

DONE = "done"
NOT_THE_RUN = ("output", "sweep")
"""Sections of the configuration that do not change what a run finds."""
CODE = ("engine", "scenarios", "twin")


def once(
    folder: Path,
    settings: Mapping[str, Any],
    overrides: Sequence[str],
    work: Callable[[], dict[str, Any]],
) -> dict[str, Any]:
    """What `work` returns (figures, and the record if there is one), from an earlier time if known.

    The file is there as a whole or not at all.
    """
    path = folder / DONE / f"{fingerprint(settings)}.json"
    if path.exists():
        entry: dict[str, Any] = json.loads(path.read_text())
        return entry
    result = {"overrides": [shown(override) for override in overrides], "code": code(), **work()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(result, indent=1) + "\n")
    return result


def fingerprint(settings: Mapping[str, Any]) -> str:
    """Of the configuration without its output folder, and of the code that it is run by."""
    counts = {key: value for key, value in settings.items() if key not in NOT_THE_RUN}
    text = json.dumps(counts, sort_keys=True, default=str) + code()
    return hashlib.blake2b(text.encode(), digest_size=12).hexdigest()


def figures_of(world: World) -> dict[str, Any]:
    """What `once` keeps of a run that is over."""
    return {"figures": headline_figures(summarise(world))}


def value(outcomes: Sequence[Mapping[str, Any]], slo: float) -> float:
    """What tuning makes small: the geometric mean over the training scenarios of the cost in USD.

    A scenario whose violation ratio is above `slo` counts that many times more.
    """
    logs = [
        math.log(max(figures["cost.total_usd"], 1e-9))
        + math.log(max(figures["slo.violation_ratio"] / slo, 1.0))
        for figures in (outcome["figures"] for outcome in outcomes)
    ]
    return math.exp(math.fsum(logs) / len(logs))


def gather(folder: Path) -> pd.DataFrame:
    """All finished runs of a sweep by this code, a row each: what was overridden, the figures.

    Writes `sweep.parquet` and `sweep.csv` into the folder.
    """
    rows = []
    for path in sorted((folder / DONE).glob("*.json")):
        entry = json.loads(path.read_text())
        if entry["code"] != code():
            continue
        given = dict(override.lstrip("+").split("=", 1) for override in entry["overrides"]
                     if "=" in override)  # fmt: skip
        rows.append({**given, "record": entry.get("record", ""), **entry["figures"]})
    keys = list(dict.fromkeys(key for row in rows for key in row))
    overridden = [key for key in keys if rows and not _is_figure(key, rows)]
    frame = pd.DataFrame(rows, columns=[*overridden, *(k for k in keys if k not in overridden)])
    if overridden:
        frame = frame.sort_values(overridden, kind="stable", ignore_index=True)
    frame.to_parquet(folder / "sweep.parquet", index=False)
    frame.to_csv(folder / "sweep.csv", index=False)
    return frame


def _is_figure(key: str, rows: Sequence[Mapping[str, Any]]) -> bool:
    return not any(isinstance(row.get(key), str) for row in rows)


@functools.cache
def code() -> str:
    """A digest of every source file that a run's result may depend on."""
    digest = hashlib.blake2b(digest_size=12)
    for package in CODE:
        root = resources.files(package)
        with resources.as_file(root) as folder:
            for path in sorted(folder.rglob("*.py")):
                digest.update(path.read_bytes())
    return digest.hexdigest()
