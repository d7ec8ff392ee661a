"""Learn from simulated days how departures from the outlook go on.

Each day is run once with the schedule-only engine, watched: what it thinks of each service's level
and surge, and what the load turned out to be at its forecast horizons.  One file comes of it
(`engine.forecast.blend`), to be named as `engine.forecast.artefact`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine import Autoscaler
from engine.config.strict import ConfigError
from engine.forecast import blend
from engine.forecast.schedule import HORIZONS_S
from engine.model import FloatArray, Observation, Plan
from engine.prediction import artefact
from engine.prediction.artefact import Artefact, Manifest
from twin.commands import terminal
from twin.config import RunConfig, parse
from twin.queues.port import TRUTH_FIELDS
from twin.runs.seeds import seed_of
from twin.runs.workers import spread
from twin.world.world import World, load_kernels

EVERY_S = 120.0
"""How often the engine's view is noted; neighbouring minutes tell the same."""
HALF_S = 30.0
"""A forecast is for the mean of the minute around its time."""
ARRIVED = TRUTH_FIELDS.index("arrived")


def run(settings: Sequence[Mapping[str, Any]], out: Path) -> Path:
    """Learn from the days of these settings and write the model to `out`, which is returned.

    Raises ConfigError.
    """
    first = parse(settings[0])
    try:
        with terminal.compiling():
            load_kernels(first)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    tasks = [(one, seed_of(first.seed, k)) for one in settings for k in range(first.replications)]
    done: list[tuple[int, Day]] = []
    with terminal.progress(f"{len(tasks)} days", len(tasks)) as advance:
        for at, day in spread(_watch, tasks):
            done.append((at, day))
            advance(len(done))
    days = [day for _, day in sorted(done, key=lambda pair: pair[0])]
    try:
        model = learn([day.seen for day in days], first, max(day.end_s for day in days))
    except ValueError as error:
        raise ConfigError(f"days: {error}") from error
    artefact.save(model, out)
    terminal.show_errors(
        HORIZONS_S,
        {name: own.sd for name, own in blend.from_state(model.state, HORIZONS_S).services.items()},
        out,
    )
    return out


Seen = Mapping[str, FloatArray]
"""Of one day, for each service rows of (level, surge, rate, log ratio at each horizon)."""


@dataclass(frozen=True, slots=True, eq=False)
class Day:
    """What was seen of one day, and when it ended (epoch seconds)."""

    seen: Seen
    end_s: float


def learn(days: Sequence[Seen], config: RunConfig, until_s: float) -> Artefact:
    """The model of some days, the last of which ends at `until_s` (epoch seconds).

    Raises ValueError where a service was not seen at all.
    """
    forecast = config.engine.forecast
    lean_to = blend.prior(HORIZONS_S, forecast.level_decay_s, forecast.surge_decay_s)
    services: dict[str, blend.ServiceBlend] = {}
    parts: dict[str, FloatArray] = {}
    for name in days[0]:
        rows = np.concatenate([day[name] for day in days])
        parts[name] = rows
        try:
            past = blend.ObservedDays(rows[:, 0], rows[:, 1], rows[:, 2], rows[:, 3:], len(days))
            services[name] = blend.fit(past, HORIZONS_S, lean_to)
        except ValueError as error:
            raise ValueError(f"{name}: {error}; choose longer or other days") from None
    manifest = Manifest(
        kind=blend.KIND,
        version=blend.VERSION,
        fingerprint=artefact.fingerprint(parts),
        trained_until_s=until_s,
        seed=config.seed,
        figures={"days": float(len(days)), "rows": float(sum(len(p) for p in parts.values()))},
    )
    return Artefact(manifest, blend.to_state(blend.Blend(services)))


def watch(config: RunConfig) -> Day:
    """Run one day and note what the engine saw and what came of it."""
    world = World(config)
    controller = world.controller
    assert isinstance(controller, Autoscaler)
    names = [spec.name for spec in world.specs]
    notes: list[tuple[float, list[tuple[float, float]], FloatArray]] = []

    def note(observation: Observation, plan: Plan) -> None:
        now_s = observation.now_s
        if not plan.cycle or (notes and now_s - notes[-1][0] < EVERY_S):
            return
        memory = [controller.memory.services[name].response for name in names]
        booked = np.array(
            [
                [observation.outlook.rate(i, now_s + h) for h in HORIZONS_S]
                for i in range(len(names))
            ]
        )
        notes.append((now_s, [(one.level, one.surge) for one in memory], booked))

    world.shell.watchers.append(note)
    world.run()
    seen = {name: _rows(world, i, notes) for i, name in enumerate(names)}
    return Day(seen, world.start_s + world.duration_s)


def _rows(
    world: World, service: int, notes: Sequence[tuple[float, list[tuple[float, float]], FloatArray]]
) -> FloatArray:
    step_s = world.recorder.interval_s
    arrived = world.platform.truth[service, : world.platform.samples, ARRIVED]
    total = np.concatenate(([0.0], np.cumsum(arrived)))
    half = max(round(HALF_S / step_s), 1)
    rows = np.full((len(notes), 3 + len(HORIZONS_S)), np.nan)
    for n, (now_s, memory, booked) in enumerate(notes):
        rows[n, :2] = memory[service]
        rows[n, 2] = booked[service].mean()
        for k, horizon_s in enumerate(HORIZONS_S):
            due = round((now_s + horizon_s - world.start_s) / step_s)
            if half <= due <= len(arrived) - half:
                rate = (total[due + half] - total[due - half]) / (2.0 * half * step_s)
                if rate > 0.0 and booked[service, k] > 0.0:
                    rows[n, 3 + k] = np.log(rate / booked[service, k])
    return rows


def _watch(task: tuple[Mapping[str, Any], int]) -> Day:
    """One day, in a process of its own."""
    settings, seed = task
    return watch(parse({**settings, "seed": seed, "replications": 1}))
