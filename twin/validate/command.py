"""`python -m twin validate`: how far the twin is from the live stack, cell by cell."""

from __future__ import annotations

import datetime as dt
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from engine.config.platform import PlatformConfig
from engine.config.strict import ConfigError
from engine.model import FloatArray, ServiceSpec
from engine.record import folders
from scenarios.streams import Streams
from twin.calibrate import calibration
from twin.calibrate import command as calibrate
from twin.calibrate.calibration import Calibration
from twin.commands import terminal
from twin.measure.bench import bench
from twin.measure.driver import poisson
from twin.measure.settings import MeasureConfig
from twin.queues.port import clients_of
from twin.validate import closed as closed_loop
from twin.validate.cells import Cell, cells
from twin.validate.equivalence import judge
from twin.validate.figures import MeasuredFigures, of_live, of_twin, with_calls_of
from twin.validate.limits import LIMITS

SCHEMA = 1


def run(config: MeasureConfig, command: str, render: Callable[[Path], None]) -> Path:
    """Measure, compare and write the results; returns their folder.

    Raises ConfigError, BenchError, StackError or OutputError.
    """
    folders.check_writable(Path(config.output))
    started = dt.datetime.now(dt.UTC)
    given = config.validation.calibration
    if given:
        platform, fitted = calibration.read(Path(given))
        _check(fitted, config)
    with bench(config.wish(), lambda _: None) as standing:
        if not given:
            fitted = calibrate.measure(config, standing)
        plan = cells(config, fitted.knee)
        runs = config.validation.repeats
        total = runs * sum(len(next(iter(c.rates.values()))) + 5 for c in plan)
        measured: dict[str, list[dict[str, Any]]] = {}
        streams = Streams(config.seed)
        with terminal.progress("measuring", total) as advance:
            done = 0.0
            pairs = []
            for cell in plan:
                # The same arrivals in each repeat: what differs between two live runs is the noise
                # that no model can be closer than.
                arrivals = poisson(standing.names, cell.rates, streams(f"cell.{cell.name}"))
                for _ in range(runs):
                    standing.settle(config.counts)
                    pairs.append((cell, standing.measure(arrivals, cell.acts(standing))))
                    done += arrivals.duration_s + 5
                    advance(done)
        closed = None
        if config.validation.closed.seconds:
            repeats = config.validation.closed.repeats
            with (
                terminal.progress("closed loop", repeats) as advance,
                tempfile.TemporaryDirectory() as folder,
            ):
                calibration.write(Path(folder), config.platform, fitted)
                closed = closed_loop.compare(
                    config, fitted, Path(folder), standing, advance=advance
                )
    if not given:
        platform = PlatformConfig.model_validate(_fitted_platform(config, fitted))
    specs = platform.specs()
    clients = clients_of(platform)
    with terminal.progress("the twin", len(pairs)) as advance:
        for number, (cell, live) in enumerate(pairs):
            own = with_calls_of(specs, live.reading, cell.within_s)
            twin = [
                of_twin(
                    own, clients, live.answers.arrivals, live.ready,
                    cell=cell, hop_s=fitted.hop_s.value, rng=streams.quick(f"twin.{number}.{k}"),
                )
                for k in range(config.validation.replications)
            ]  # fmt: skip
            measured.setdefault(cell.name, []).append(
                {
                    "live": of_live(live, cell, specs),
                    "twin": mean(twin),
                    "late_p99_s": live.answers.lateness_p99_s,
                }
            )
            advance(number + 1)
    content = {
        "schema": SCHEMA,
        "kind": "validation",
        "started_at": started.isoformat(timespec="seconds"),
        "command": command,
        "seed": config.seed,
        "limits": {name: limit for name, (limit, _) in LIMITS.items()},
        "repeats": runs,
        "replications": config.validation.replications,
        "calibration": asdict(fitted),
        "services": [spec.name for spec in specs],
        "closed_loop": closed,
        "cells": [_cell(cell, measured[cell.name], specs) for cell in plan],
    }

    def fill(folder: Path) -> None:
        (folder / "validation.json").write_text(json.dumps(content, indent=1) + "\n")
        if not given:
            calibration.write(folder, config.platform, fitted)

    name = f"{started:%Y%m%dT%H%M%SZ}-validation"
    return folders.write_whole(Path(config.output), name, fill, render)


def mean(several: Sequence[MeasuredFigures]) -> MeasuredFigures:
    """The mean of the same figures of several replications."""

    def over(name: str) -> dict[str, float]:
        first: Mapping[str, float] = getattr(several[0], name)
        return {s: float(np.mean([getattr(f, name)[s] for f in several])) for s in first}

    return MeasuredFigures(
        throughput=over("throughput"),
        utilisation=over("utilisation"),
        p50=over("p50"),
        p95=over("p95"),
        failed=over("failed"),
        busy_by_second={
            s: np.mean([f.busy_by_second[s] for f in several], axis=0)
            for s in several[0].busy_by_second
        },
    )


def _cell(
    cell: Cell, repeats: Sequence[Mapping[str, Any]], specs: Sequence[ServiceSpec]
) -> dict[str, Any]:
    """All that is said of one cell, as plain data."""
    live: list[MeasuredFigures] = [repeat["live"] for repeat in repeats]
    twin: list[MeasuredFigures] = [repeat["twin"] for repeat in repeats]
    verdicts: dict[str, dict[str, Any]] = {}
    for spec in specs:
        name = spec.name
        verdicts[name] = {}
        for figure, (limit, relative) in LIMITS.items():
            verdict = judge(
                [getattr(f, figure)[name] for f in live],
                [getattr(f, figure)[name] for f in twin],
                limit,
                relative=relative,
            )
            if verdict is not None:
                verdicts[name][figure] = asdict(verdict)
    return {
        "name": cell.name,
        "level": cell.level,
        "steady": cell.steady,
        "late_p99_s": max(repeat["late_p99_s"] for repeat in repeats),
        "live": [_plain(f) for f in live],
        "twin": [_plain(f) for f in twin],
        "verdicts": verdicts,
        "busy": {
            s.name: {
                "live": _series([f.busy_by_second[s.name] for f in live]),
                "twin": _series([f.busy_by_second[s.name] for f in twin]),
            }
            for s in specs
        },
    }


def _plain(figures: MeasuredFigures) -> dict[str, dict[str, float | None]]:
    return {
        name: {
            service: float(f"{value:.6g}") if np.isfinite(value) else None
            for service, value in getattr(figures, name).items()
        }
        for name in ("throughput", "utilisation", "p50", "p95", "failed")
    }


def _series(rows: Sequence[FloatArray]) -> list[float | None]:
    """Mean over the repeats by second."""
    with np.errstate(invalid="ignore"):
        average = np.nanmean(np.stack(rows), axis=0)
    return [round(float(value), 4) if np.isfinite(value) else None for value in average]


def _check(fitted: Calibration, config: MeasureConfig) -> None:
    """A calibration holds for the stack that it was made on, and for no other."""
    now = calibrate.fingerprint(config)
    for key, value in now.items():
        before = fitted.fingerprint.get(key)
        if before != value:
            raise ConfigError(
                f"validation.calibration: it was made with {key} {before}, now it is {value}; "
                "calibrate anew (leave validation.calibration empty)"
            )


def _fitted_platform(config: MeasureConfig, fitted: Calibration) -> Any:
    import yaml

    return yaml.safe_load(calibration.platform_text(config.platform, fitted))
