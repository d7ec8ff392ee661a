"""The planner's word against the twin: run the peak at a number of weddings and look who fails.

The twin runs the few hours around the peak with the real engine in the loop.  The day responds as
expected (`demand.day_sigma` 0), as the prediction is for such a day; lateness, turnout, noise,
arrivals, boots and metrics are as uncertain as ever.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twin.config import parse
from twin.runs.summary import BAD, T, done_requests, summarise
from twin.runs.workers import spread
from twin.world.world import World

BEFORE_S, AFTER_S = 9000, 5400
"""How long before and after the peak the twin runs."""
SLO_TAIL = 0.05
"""The SLO is on the 95th percentile: so many may be slower."""
ALL_BUSY = 0.99
"""Utilisation from which a service has no slot left."""
SETTLE_MINUTES = 10
"""At the start the engine knows no metrics yet; these minutes do not count."""


@dataclass(frozen=True, slots=True)
class Probe:
    """A question to the twin: so many weddings at once, around `peak_s` (epoch seconds)."""

    name: str
    weddings: int
    peak_s: float
    changes: Mapping[str, Any]
    """Further settings by dotted key."""


@dataclass(frozen=True, slots=True)
class ProbedService:
    """What the twin saw of one service.

    `bad_minutes` in which its SLO was missed, the share of requests that missed it in the worst
    minute and in all; the most instances ready and held, and the highest utilisation.
    `overloaded_s`: the first bad minute in which all its slots were busy, epoch seconds.
    """

    bad_minutes: int
    worst_share: float
    slow_share: float
    first_bad_s: float | None
    overloaded_s: float | None
    most_ready: int
    most_held: int
    busiest: float


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """What came of a probe.

    `first_lost` is the service through which the SLO was lost first (empty: it was not): the first
    that missed its own with all its slots busy, as those that wait for it miss theirs as well.
    """

    name: str
    weddings: int
    violation_ratio: float
    cost_per_hour: float
    services: Mapping[str, ProbedService]
    first_lost: str


def ask(
    settings: Mapping[str, Any],
    probes: Sequence[Probe],
    advance: Callable[[int], None],
    workers: int | None = None,
) -> list[ProbeResult]:
    """Run the probes; answers in their order.  `advance` is told how many are done."""
    tasks = [(settings, probe) for probe in probes]
    answers: dict[int, ProbeResult] = {}
    for at, answer in spread(_run, tasks, workers):
        answers[at] = answer
        advance(len(answers))
    return [answers[at] for at in range(len(tasks))]


def around(settings: Mapping[str, Any], probe: Probe) -> dict[str, Any]:
    """The settings of the run that answers a probe."""
    begin = dt.datetime.fromtimestamp(probe.peak_s - BEFORE_S, dt.UTC)
    begin = begin.replace(minute=begin.minute // 15 * 15, second=0, microsecond=0)
    changes = {
        "population.simultaneous": probe.weddings,
        "population.date": begin.date().isoformat(),
        "population.start_utc": f"{begin:%H:%M}",
        "population.duration_s": BEFORE_S + AFTER_S,
        "resolution": "fluid",
        "replications": 1,
        "faults": {},
        "thresholds": {},
        "operator": {"floors": [], "pauses": []},
        **probe.changes,
    }
    changed = {key: value for key, value in settings.items() if key != "request"}
    for path, value in changes.items():
        changed = _with(changed, path.split("."), value)
    return changed


def _with(settings: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    first, *rest = path
    inner = _with(settings[first], rest, value) if rest else value
    return {**settings, first: inner}


def _run(task: tuple[Mapping[str, Any], Probe]) -> ProbeResult:
    """One probe, in a process of its own."""
    settings, probe = task
    world = World(parse(around(settings, probe)))
    world.run()
    summary = summarise(world)
    seen = {spec.name: _seen(world, i) for i, spec in enumerate(world.specs)}
    return ProbeResult(
        name=probe.name,
        weddings=summary.weddings.peak_simultaneous,
        violation_ratio=summary.slo.violation_ratio or 0.0,
        cost_per_hour=summary.cost.total_usd / (world.now_s / 3600.0),
        services=seen,
        first_lost=_first(seen),
    )


def _first(seen: Mapping[str, ProbedService]) -> str:
    """The service through which the SLO was lost first; those that were overloaded come first."""
    lost = [
        (service.overloaded_s is None, service.overloaded_s or service.first_bad_s, i, name)
        for i, (name, service) in enumerate(seen.items())
        if service.first_bad_s is not None
    ]
    return min(lost)[3] if lost else ""


def _minute_s(world: World, minutes: NDArray[np.intp]) -> float | None:
    return world.start_s + 60.0 * float(minutes[0]) if len(minutes) else None


def _seen(world: World, i: int) -> ProbedService:
    samples = world.platform.samples
    per_minute = max(round(60 / world.recorder.interval_s), 1)
    minutes = samples // per_minute
    until = minutes * per_minute
    truth = world.platform.truth[i, :until].reshape(minutes, per_minute, -1)
    bad = sum(truth[..., T[name]].sum(axis=1) for name in BAD)
    done = done_requests(truth).sum(axis=1)
    share = np.where(done > 0.0, bad / np.maximum(done, 1e-9), 0.0)
    share[:SETTLE_MINUTES] = 0.0
    over = np.flatnonzero(share > SLO_TAIL)
    busy = world.platform.metrics[i, :until, 1].reshape(minutes, per_minute)
    overloaded = over[np.nanmax(busy[over], axis=1, initial=0.0) >= ALL_BUSY]
    counts = world.recorder.counts[i, :samples]
    return ProbedService(
        bad_minutes=len(over),
        worst_share=float(share.max(initial=0.0)),
        slow_share=float(np.sum(bad) / max(float(done.sum()), 1e-9)),
        first_bad_s=_minute_s(world, over),
        overloaded_s=_minute_s(world, overloaded),
        most_ready=int(counts[:, 1].max(initial=0)),
        most_held=int(counts[:, 1:].sum(axis=1).max(initial=0)),
        busiest=float(np.nanmax(world.platform.metrics[i, :samples, 1], initial=0.0)),
    )
