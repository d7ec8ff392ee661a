"""The history as files that the twin replays: the load, the counts, and the days to check."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import yaml

from engine.importing import measured
from engine.importing.figures import ImportedPlatform
from engine.importing.history import DAY_S, WHOLE_DAY, PlatformHistory
from engine.model import FloatArray

SCHEMA = 1
LONGEST_DAYS = 7
"""Of a scenario; `twin hindcast` takes its days one by one, however many there are."""


def texts(
    out: Path, platform: ImportedPlatform, history: PlatformHistory, zone: str, *, where: str
) -> dict[Path, str]:
    """All files of the history; `where` is the server that it came from, for people."""
    name = platform.name
    folder = out / "measured" / name
    columns = entering(platform, history)
    rows = {service: measured.outside(history, service) for service in columns}
    counts = {
        service: own.of("replicas", history.grid) for service, own in history.services.items()
    }
    check = checks(platform, history, zone)
    return {
        folder / "load.csv": _csv(history, rows),
        folder / "counts.csv": _csv(history, counts),
        folder / "measured.json": json.dumps(check, indent=1) + "\n",
        out / "scenario" / f"{name}.yaml": _scenario(
            platform, history, columns, folder / "load.csv", zone=zone, where=where
        ),
        out / "bookings" / f"{name}.yaml": (
            f"# What the time of the week lets expect of {platform.source}, for a live run.\n"
            "defaults: [usual]\n"
            f"options: {{path: {json.dumps(str(folder / 'load.csv'))}, time_zone: {zone}}}\n"
        ),
        out / "controller" / f"{name}_as_measured.yaml": (
            f"# The counts that {platform.source} had, step by step, for the twin.\n"
            f"name: {name}_as_measured\n"
            "factory: engine.controllers.as_measured:AsMeasured\n"
            f"options: {{path: {json.dumps(str(folder / 'counts.csv'))}}}\n"
        ),
    }


def entering(platform: ImportedPlatform, history: PlatformHistory) -> list[str]:
    """The services at which load from outside was measured."""
    return [
        name
        for name in platform.services
        if "load" in history.services[name].figures
        and measured.entered(history, name) >= (measured.INTERNAL if history.calls else 0.0)
    ]


def checks(platform: ImportedPlatform, history: PlatformHistory, zone: str) -> dict[str, Any]:
    """What was measured in the days that were kept back, by day and service; None: it was not."""
    span, grid = history.span, history.grid
    days = []
    for number, (since, until) in enumerate(
        zip(span.midnights_s[span.fitted :], span.midnights_s[span.fitted + 1 :], strict=False)
    ):
        part = slice(
            round((since - grid.start_s) / grid.step_s), round((until - grid.start_s) / grid.step_s)
        )
        services = {}
        for name, one in platform.services.items():
            own = history.services[name]
            load, ready, cores, replicas = (
                own.of(key, grid)[part] for key in ("load", "ready", "cores", "replicas")
            )
            both = np.isfinite(ready) & np.isfinite(cores)
            stood = float(ready[both].sum()) * one.cores
            services[name] = {
                "throughput": _mean(load),
                "utilisation": float(cores[both].sum()) / stood if stood > 0.0 else None,
                "p95_s": _daily(own.days.get("p95_s"), number),
                "response_s": _daily(own.days.get("response_s"), number),
                "instances": _mean(ready),
                "cost_usd": _cost(replicas, one.number("price_per_hour"), until - since),
                "measured_share": float(np.isfinite(load).mean()),
            }
        date = dt.datetime.fromtimestamp(since, ZoneInfo(zone)).date().isoformat()
        days.append({"date": date, "start_s": since, "services": services})
    return {
        "schema": SCHEMA,
        "kind": "measured",
        "name": platform.name,
        "time_zone": zone,
        "fitted_days": span.fitted,
        "step_s": grid.step_s,
        "prices_assumed": [
            name for name, one in platform.services.items() if one.figures["price_per_hour"].assumed
        ],
        "days": days,
    }


def _scenario(
    platform: ImportedPlatform,
    history: PlatformHistory,
    columns: Sequence[str],
    load: Path,
    *,
    zone: str,
    where: str,
) -> str:
    span = history.span
    last = len(span.midnights_s) - 1 - span.fitted
    first = dt.datetime.fromtimestamp(span.check_s, ZoneInfo(zone)).date()
    content = {
        "defaults": [{"override /platform": platform.name}],
        "scenario": {
            "name": platform.name,
            "description": f"The load of {platform.source} as it was measured; only what lies "
            "before it is known beforehand.",
        },
        "trace": {
            "path": str(load),
            "time_column": "time",
            "time_format": "s",
            "time_zone": zone,
            "date": first.isoformat(),
            "start": "00:00",
            "duration_s": int(DAY_S) * min(last, LONGEST_DAYS),
            "peak_per_s": None,
            "scale": 1.0,
            "history_days": span.fitted,
            "columns": {name: name for name in columns},
        },
    }
    head = (
        "# @package _global_\n"
        f"# The load of {platform.source}, from {where}.\n"
        f"# The platform was fitted to the {span.fitted} days before trace.date; it has not seen\n"
        "# what is replayed.\n"
    )
    return head + yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=100)


def _csv(history: PlatformHistory, rows: Mapping[str, FloatArray]) -> str:
    """A row a step, by the time at which it begins; a gap is an empty field."""
    grid = history.grid
    lines = [",".join(["time", *rows])]
    for step in range(grid.steps):
        fields = [f"{grid.start_s + step * grid.step_s:.0f}"]
        fields += [f"{row[step]:.6g}" if np.isfinite(row[step]) else "" for row in rows.values()]
        lines.append(",".join(fields))
    return "\n".join(lines) + "\n"


def _mean(values: FloatArray) -> float | None:
    return float(np.nanmean(values)) if np.isfinite(values).mean() >= WHOLE_DAY else None


def _cost(replicas: FloatArray, price: float, seconds: float) -> float | None:
    mean = _mean(replicas)
    return None if mean is None else mean * price * seconds / 3600.0


def _daily(values: FloatArray | None, number: int) -> float | None:
    if values is None or not np.isfinite(values[number]):
        return None
    return float(values[number])
