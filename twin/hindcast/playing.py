"""The kept-back days in the twin, each on its own, and how far it is from what was measured.

A day is a pair: what was measured in it, and what the twin makes of the same load.  The verdict
over the days is that of `twin validate`: equivalent where the 90 % interval of the mean difference
lies within the limits.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.config.strict import ConfigError
from engine.record import folders
from engine.record.machine import versions
from engine.runtime.errors import ControllerError
from twin.commands import terminal
from twin.config import RunConfig, parse
from twin.hindcast.command import SCHEMA, MeasuredDays
from twin.queues.port import TRUTH_FIELDS
from twin.runs.workers import spread
from twin.validate.equivalence import judge
from twin.validate.limits import CLOSED_LIMITS, LIMITS
from twin.world.world import World, load_kernels

DAY_S = 86_400
ALL = "all services"
JUDGED = {
    "throughput": LIMITS["throughput"],
    "utilisation": LIMITS["utilisation"],
    "p95_s": LIMITS["p95"],
    "instances": (CLOSED_LIMITS["replicas"], False),
    "cost_usd": (CLOSED_LIMITS["cost"], True),
}
"""The limit of each figure, and whether it is a share of what was measured."""

Figures = dict[str, dict[str, float | None]]


def run(
    settings: Mapping[str, Mapping[str, Any]],
    config: RunConfig,
    days: MeasuredDays,
    command: str,
    *,
    render: Callable[[Path], None],
) -> Path:
    """Play all days with each controller and write the record; returns its folder."""
    started = dt.datetime.now(dt.UTC)
    tasks = [(name, own, day["date"]) for name, own in settings.items() for day in days.whole]
    try:
        with terminal.compiling():
            load_kernels(parse(_of_day(next(iter(settings.values())), days.whole[0]["date"])))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    played: dict[int, Figures] = {}
    with terminal.progress(f"{len(settings)} × {len(days.whole)} days", len(tasks)) as advance:
        try:
            for at, figures in spread(_played, tasks):
                played[at] = figures
                advance(len(played))
        except ValueError as error:
            raise ConfigError(str(error)) from error
    seen = [_with_all(day["services"]) for day in days.whole]
    count = len(days.whole)
    controllers = {
        name: _judged(seen, [_with_all(played[number * count + k]) for k in range(count)])
        for number, name in enumerate(settings)
    }
    content = {
        "schema": SCHEMA,
        "kind": "hindcast",
        "scenario": config.scenario.name,
        "started_at": started.isoformat(timespec="seconds"),
        "versions": versions(),
        "command": command,
        "seed": config.seed,
        "measured": str(days.path),
        "fitted_days": days.content["fitted_days"],
        "prices_assumed": days.content["prices_assumed"],
        "days": [day["date"] for day in days.whole],
        "left_out": list(days.left_out),
        "limits": {name: limit for name, (limit, _) in JUDGED.items()},
        "controllers": controllers,
    }

    def fill(folder: Path) -> None:
        (folder / "hindcast.json").write_text(json.dumps(content, indent=1) + "\n")

    base = Path(config.output) / config.scenario.name
    return folders.write_whole(base, f"{started:%Y%m%dT%H%M%SZ}-hindcast", fill, render)


def _of_day(settings: Mapping[str, Any], date: str) -> dict[str, Any]:
    trace = {**settings["trace"], "date": date, "start": "00:00", "duration_s": DAY_S}
    return {**settings, "trace": trace, "replications": 1}


def _played(task: tuple[str, Mapping[str, Any], str]) -> Figures:
    """One day: the figures of each service, as an import has them."""
    name, settings, date = task
    world = World(parse(_of_day(settings, date)))
    try:
        world.run()
    except ControllerError as error:
        raise ControllerError(f"{name}, {date}: {error}") from None
    samples = world.platform.samples
    served = TRUTH_FIELDS.index("served")
    figures: Figures = {}
    for i, spec in enumerate(world.specs):
        busy = np.nan_to_num(world.platform.metrics[i, :samples, 1])
        ready = world.recorder.counts[i, :samples, 1].astype(np.float64)
        (p95_s,) = world.platform.response_quantiles(i, (0.95,))
        hours = world.fleets[spec.name].instance_seconds(world.now_s) / 3600.0
        figures[spec.name] = {
            "throughput": float(world.platform.truth[i, :samples, served].sum()) / world.now_s,
            "utilisation": float((busy * ready).sum() / ready.sum()) if ready.any() else None,
            "p95_s": p95_s if math.isfinite(p95_s) else None,
            "instances": float(ready.mean()),
            "cost_usd": hours * spec.price_per_hour,
        }
    return figures


def _with_all(services: Mapping[str, Mapping[str, float | None]]) -> Figures:
    """The same, with the cost of all services whose cost was measured."""
    costs = [one["cost_usd"] for one in services.values() if one["cost_usd"] is not None]
    own = {name: {key: one.get(key) for key in JUDGED} for name, one in services.items()}
    return {**own, ALL: {"cost_usd": sum(costs) if costs else None}}


def _judged(seen: Sequence[Figures], twin: Sequence[Figures]) -> dict[str, Any]:
    """The verdict on each figure of each service over the days, beside the days themselves."""
    known_costs = {
        name for day in seen for name, one in day.items() if one.get("cost_usd") is not None
    }
    verdicts: dict[str, dict[str, Any]] = {}
    rows = []
    for service in seen[0]:
        for figure, (limit, relative) in JUDGED.items():
            pairs = [
                (_value(a, service, figure), _value(b, service, figure))
                for a, b in zip(seen, twin, strict=True)
            ]
            if service == ALL and figure == "cost_usd":
                pairs = [(m, _sum(b, known_costs - {ALL})) for (m, _), b in zip(pairs, twin,
                         strict=True)]  # fmt: skip
            verdict = judge([a for a, _ in pairs], [b for _, b in pairs], limit, relative=relative)
            if verdict is None:
                continue
            verdicts.setdefault(service, {})[figure] = asdict(verdict)
            rows.append({"service": service, "figure": figure, "days": pairs})
    return {"verdicts": verdicts, "rows": rows}


def _value(day: Figures, service: str, figure: str) -> float:
    value = day.get(service, {}).get(figure)
    return math.nan if value is None else value


def _sum(day: Figures, services: set[str]) -> float:
    return sum(_value(day, name, "cost_usd") for name in services)
