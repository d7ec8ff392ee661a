"""The closed loop: the engine scales a live stack, and the same engine scales the twin of it.

Open loop shows whether the queues are right; here every error feeds back, since the engine decides
upon what it sees.  The live engine is the command that users type, in a process of its own.
"""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf

from engine.adapters.pool import processes
from engine.model import FloatArray, ServiceSpec
from engine.record.schema.summary import read
from scenarios.streams import Streams
from twin.calibrate.calibration import NAME, Calibration
from twin.config import RunConfig, parse
from twin.measure.bench import Bench, BenchError
from twin.measure.driver import Arrivals, poisson
from twin.measure.settings import MeasureConfig
from twin.validate.limits import CLOSED_LIMITS
from twin.world.rehearsal import Excerpt, demand, rehearse
from twin.world.script import script
from twin.world.world import HOUR_S, World, standing_counts

SAMPLE_S = 5
BEGINS_S = 12.0
"""From starting the engine's process until the part begins: it has to be up by then."""


@dataclass(frozen=True, slots=True, eq=False)
class ClosedLoopRun:
    """One run: ready instances (services, samples), cost in USD, the record's decision figures."""

    ready: FloatArray
    cost_usd: float
    decision: Mapping[str, Any]


def compare(
    config: MeasureConfig,
    fitted: Calibration,
    calibration: Path,
    standing: Bench,
    *,
    advance: Callable[[float], None],
) -> dict[str, Any]:
    """Run both and compare them; `calibration` is the folder with the platform file."""
    wanted = config.validation.closed
    part = Excerpt(wanted.from_, wanted.speed, wanted.scale, wanted.seconds)
    run = _run_config(config, fitted, calibration)
    specs = run.platform.specs()
    day = script(run, specs, Streams(run.seed))
    played = demand(day, part)
    begin = rehearse(day, specs, part, {})
    counts = standing_counts(
        specs,
        begin.outlooks.outlook(day.start_s),
        run.engine,
        day.start_s,
        within_s=HOUR_S / part.speed,
    )
    streams = Streams(config.seed)
    live = []
    for repeat in range(wanted.repeats):
        standing.settle(counts)
        arrivals = poisson(
            standing.names,
            dict(zip(played.services, played.rates, strict=True)),
            streams(f"closed.{repeat}"),
        )
        live.append(_live(config, calibration, standing, arrivals, specs=specs, repeat=repeat))
        advance(repeat + 1)
    twin = []
    for repeat in range(config.validation.replications):
        world = World(
            run.model_copy(update={"seed": run.seed + repeat}),
            rehearsal=rehearse(day, specs, part, counts),
        )
        world.run()
        fleets = world.fleets.values()
        cost = sum(f.instance_seconds(world.now_s) / 3600.0 * f.spec.price_per_hour for f in fleets)
        twin.append(ClosedLoopRun(world.recorder.counts[:, :, 1].astype(np.float64), cost, {}))
    return compared(live, twin, specs, wanted.seconds)


def _run_config(config: MeasureConfig, fitted: Calibration, calibration: Path) -> RunConfig:
    """The twin of the bench: its platform, its telemetry, its pool, its clients' patience."""
    wanted = config.validation.closed
    lag_s = max(fitted.telemetry_lag_s.value, 0.01)
    with initialize_config_module("conf", version_base="1.3"):
        composed = compose(
            "twin",
            [
                f"hydra.searchpath=[file://{calibration.absolute()}]",
                f"scenario={wanted.scenario}", f"platform={NAME}", "engine=staging",
                "resolution=request", f"telemetry.lag_s={lag_s}", "telemetry.loss=0",
                "telemetry.nan=0", "telemetry.duplicate=0", "infrastructure.accept_s=0.2",
                "infrastructure.drain_s=2", "infrastructure.replace_after_s=1",
                f"seed={config.seed}", "~thresholds",
            ],
        )  # fmt: skip
    raw: Any = OmegaConf.to_container(composed, resolve=True)
    for service in raw["platform"]["services"].values():
        service["client"]["max_retries"] = 0  # as the driver
    return parse(raw)


def _live(
    config: MeasureConfig,
    calibration: Path,
    standing: Bench,
    arrivals: Arrivals,
    *,
    specs: Sequence[ServiceSpec],
    repeat: int,
) -> ClosedLoopRun:
    """One live run: the engine's process beside the load."""
    wanted = config.validation.closed
    place = Path(config.folder).expanduser().absolute()
    state = place / "closed" / str(repeat)
    starts_s = time.time() + BEGINS_S
    command = [
        sys.executable, "-m", "engine", "run", f"--config-dir={calibration.absolute()}",
        f"platform={NAME}", "engine=staging", f"scenario={wanted.scenario}",
        f"seed={config.seed}", "infrastructure=haproxy",
        f"infrastructure.options.folder={place}", f"live.state={state / 'state'}",
        f"output={state / 'out'}", f"schedule.from={wanted.from_}",
        f"schedule.speed={wanted.speed}", f"schedule.scale={wanted.scale}",
        f"schedule.starts_at={starts_s}", "~thresholds",
    ]  # fmt: skip
    standing.pool.close()  # the engine leads the pool from here on
    state.mkdir(parents=True)
    log = state / "engine.log"  # a pipe that nobody reads meanwhile would be full one day
    with log.open("wb") as stream:
        engine = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
            env={**os.environ, processes.TOKEN: standing.token},  # so it ends with the stack
        )
    try:
        asyncio.run(_load(standing, arrivals, starts_s))
        engine.send_signal(signal.SIGTERM)
        out, _ = engine.communicate(timeout=90)
    finally:
        if engine.poll() is None:
            engine.kill()
            engine.wait()
        standing.reopen()
    if engine.returncode != 0:
        raise BenchError(
            f"the live engine ended with {engine.returncode}: {processes.last_words(log)}"
        )
    return course(Path(out.strip().splitlines()[-1]), specs, starts_s, wanted.seconds)


def course(
    record: Path, specs: Sequence[ServiceSpec], starts_s: float, seconds: int
) -> ClosedLoopRun:
    """The part from `starts_s` (epoch seconds) on of a live run's record."""
    timeline = pd.read_parquet(record / "timeline.parquet")
    decision = read(record).decision
    ready = np.stack([_ready(timeline, spec, starts_s, seconds) for spec in specs])
    prices = np.array([spec.price_per_hour for spec in specs])
    paid = np.stack([_paid(timeline, spec, starts_s, seconds) for spec in specs])
    cost = float((paid * prices[:, None]).sum() * SAMPLE_S / 3600.0)
    return ClosedLoopRun(ready, cost, decision.model_dump())


async def _load(standing: Bench, arrivals: Arrivals, starts_s: float) -> None:
    loop = asyncio.get_running_loop()
    await standing.drive(arrivals, loop.time() + starts_s - time.time())


def _ready(timeline: pd.DataFrame, spec: ServiceSpec, starts_s: float, seconds: int) -> FloatArray:
    return _at_samples(timeline, spec, "ready", starts_s, seconds=seconds)


def _paid(timeline: pd.DataFrame, spec: ServiceSpec, starts_s: float, seconds: int) -> FloatArray:
    columns = ("ready", "booting", "draining")
    return sum(
        (_at_samples(timeline, spec, column, starts_s, seconds=seconds) for column in columns),
        start=np.zeros(seconds // SAMPLE_S),
    )


def _at_samples(
    timeline: pd.DataFrame, spec: ServiceSpec, column: str, starts_s: float, *, seconds: int
) -> FloatArray:
    """A count at each sample of the part: the last one noted before."""
    own = timeline[timeline["service"] == spec.name].sort_values("time_s")
    times = own["time_s"].to_numpy(dtype=np.float64)
    at_s = starts_s + SAMPLE_S * np.arange(1, seconds // SAMPLE_S + 1)
    row = np.clip(np.searchsorted(times, at_s, side="right") - 1, 0, len(times) - 1)
    return own[column].to_numpy(dtype=np.float64)[row]


def compared(
    live: Sequence[ClosedLoopRun],
    twin: Sequence[ClosedLoopRun],
    specs: Sequence[ServiceSpec],
    seconds: int,
) -> dict[str, Any]:
    """What the report shows, as plain data."""
    lives = np.stack([course.ready for course in live])
    twins = np.stack([course.ready for course in twin])
    rows = []
    for index, spec in enumerate(specs):
        error = float(np.abs(lives[:, index].mean(axis=0) - twins[:, index].mean(axis=0)).mean())
        noise = _apart(lives[:, index])
        rows.append(
            {
                "what": f"{spec.name}, mean instances",
                "live": f"{lives[:, index].mean():.2f}",
                "twin": f"{twins[:, index].mean():.2f}",
                "difference": f"trajectory {error:.2f} (live runs {noise:.2f})",
                "limit": f"{CLOSED_LIMITS['replicas']:g}",
                "within": error <= CLOSED_LIMITS["replicas"],
                "value": error,
                "noise": noise,
            }
        )
    costs = np.array([course.cost_usd for course in live])
    twin_cost = float(np.mean([course.cost_usd for course in twin]))
    ratio = twin_cost / float(costs.mean()) - 1.0
    spread = float(costs.std(ddof=1) / costs.mean()) if len(costs) > 1 else math.nan
    rows.append(
        {
            "what": "cost",
            "live": f"{costs.mean():.4f} USD",
            "twin": f"{twin_cost:.4f} USD",
            "difference": f"{100 * ratio:+.1f} % (live runs ±{100 * spread:.1f} %)",
            "limit": f"{100 * CLOSED_LIMITS['cost']:g} %",
            "within": abs(ratio) <= CLOSED_LIMITS["cost"],
            "value": ratio,
            "noise": spread,
        }
    )
    return {
        "rows": rows,
        "seconds": seconds,
        "services": [spec.name for spec in specs],
        "ready": {
            spec.name: {
                "live": lives[:, i].mean(axis=0).round(3).tolist(),
                "twin": twins[:, i].mean(axis=0).round(3).tolist(),
            }
            for i, spec in enumerate(specs)
        },
        "decision": [dict(course.decision) for course in live],
    }


def _apart(runs: FloatArray) -> float:
    """Mean distance between two of the runs (runs, samples)."""
    pairs = [(a, b) for a in range(len(runs)) for b in range(a)]
    return float(np.mean([np.abs(runs[a] - runs[b]).mean() for a, b in pairs])) if pairs else 0.0
