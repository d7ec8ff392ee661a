"""The truth by counterfactual, and what the monitor said of it.

What a fault did is the difference between a run with it and the same run without it.  A fault
*shows* if a figure that users feel (served requests, p95, share of bad ones) differs by more than a
fifth for over a minute.  An alarm is *due* to the fault if it began while the fault went on, or
just after, and the run without it has no such alarm at that time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, ServiceSpec
from engine.monitoring.findings import Finding
from engine.monitoring.monitor import Monitor
from engine.monitoring.settings import MonitorSettings
from twin.config import RunConfig
from twin.detect.worlds import SHARED, base, faulted, kind_of
from twin.queues.port import TRUTH_FIELDS
from twin.runs.detection import AFTER_S, WEEK_S, alarms_of, blamed_right, spans_s
from twin.world.watch import MonitorWatch
from twin.world.world import World

T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
BAD = ("failed", "shed", "timed_out", "slow")
P95 = 5
CHANGED = 0.2
LEAST_BAD_SHARE = 0.002
LEAST_P95 = 0.1
"""Below this share of the SLO nobody feels a response time."""
OVER_A_MINUTE_S = 60.0
SAME_S = 60.0
"""Alarms of one kind and service that begin within so long in both runs are the same."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One world with a fault; times in seconds, NaN where there is none."""

    index: int
    kind: str
    seed: int
    fired: int
    began_s: float
    """When the fault began, from the world's beginning."""
    shows: bool
    shown_after_s: float
    """From the fault's beginning until users felt it."""
    alarms: int
    due: int
    """Alarms that are due to the fault."""
    after_s: float
    """From the fault's beginning to the first alarm due to it."""
    after_shown_s: float
    """The same from when users felt it; negative: before."""
    blamed: bool


@dataclass(frozen=True, slots=True)
class Quiet:
    """One world without a fault: its alarms, and for how many service weeks it was watched."""

    seed: int
    alarms: tuple[str, ...]
    service_weeks: float


@dataclass(frozen=True, slots=True)
class Saturday:
    """A whole booked Saturday without a fault, watched by two monitors, one without calendar."""

    seed: int
    alarms: tuple[str, ...]
    blind_alarms: tuple[str, ...]
    service_weeks: float


Task = tuple[int, int, int, tuple[str, ...]]
"""Seed, group, number of worlds in all, overrides."""

MakeMonitor = Callable[[Sequence[ServiceSpec], MonitorSettings], Monitor]
"""A monitor in place of the real one."""


def score_group(task: Task) -> tuple[Quiet, list[Scored]]:
    """The worlds of one group, each beside the one without a fault."""
    ((quiet, scored),) = score_group_by(task, [None])
    return quiet, scored


def score_group_by(
    task: Task, monitors: Sequence[MakeMonitor | None]
) -> list[tuple[Quiet, list[Scored]]]:
    """The same for each of several monitors that watch the same worlds; None: the real one."""
    seed, group, count, overrides = task
    config = base(seed, group, overrides)
    plain, said = _watched(config, monitors)
    weeks = len(plain.specs) * plain.now_s / WEEK_S
    made: list[tuple[Quiet, list[Scored]]] = [
        (Quiet(config.seed, tuple(_named(alarm, plain) for alarm in quiet), weeks), [])
        for quiet in said
    ]
    for index in range(group * SHARED, min((group + 1) * SHARED, count)):
        world, alarms = _watched(faulted(config, seed, index), monitors)
        for (_, scored), own, quiet in zip(made, alarms, said, strict=True):
            scored.append(_scored(world, plain, own, quiet, index=index))
    return made


def score_saturday(config: RunConfig) -> Saturday:
    """A day without faults, seen by the monitor and by a copy that does not know the calendar."""
    world = World(config)
    settings = config.platform.monitored(config.monitor)
    blind = MonitorWatch(Monitor(world.specs, settings.model_copy(update={"calendar": False})))
    assert world.watch is not None
    world.shell.watchers.append(blind)
    world.run()
    return Saturday(
        config.seed,
        tuple(_named(alarm, world) for alarm in alarms_of(world.watch.notes.all)),
        tuple(_named(alarm, world) for alarm in alarms_of(blind.notes.all)),
        len(world.specs) * world.now_s / WEEK_S,
    )


def shown(with_fault: World, without: World) -> NDArray[np.bool_]:
    """(samples,) where a figure that users feel differs by a fifth, and does so for a minute."""
    one, other = _felt(with_fault), _felt(without)
    samples = min(one.shape[2], other.shape[2])
    one, other = one[..., :samples], other[..., :samples]
    least = np.array([0.5, LEAST_P95, LEAST_BAD_SHARE])[None, :, None]
    scale = np.maximum(np.minimum(np.abs(one), np.abs(other)), least)
    differs = np.nan_to_num(np.abs(one - other)) > CHANGED * scale
    differs[:, 2] &= np.abs(one - other)[:, 2] > LEAST_BAD_SHARE
    length = math.floor(OVER_A_MINUTE_S / with_fault.recorder.interval_s) + 1
    lasting = np.zeros(samples, dtype=np.bool_)
    for row in differs.reshape(-1, samples):
        run = 0
        for k in range(samples):
            run = run + 1 if row[k] else 0
            if run >= length:
                lasting[k - run + 1 : k + 1] = True
    return lasting


def _felt(world: World) -> FloatArray:
    """Served requests/s, p95 over the SLO, and share of bad ones: (services, 3, samples)."""
    samples, step_s = world.platform.samples, world.recorder.interval_s
    figures = []
    for i, spec in enumerate(world.specs):
        if not spec.user_facing:
            continue
        truth = world.platform.truth[i, :samples]
        bad = sum(truth[:, T[name]] for name in BAD)
        done = truth[:, T["served"]] + sum(truth[:, T[name]] for name in BAD[:3])
        figures.append(
            np.stack(
                (
                    truth[:, T["served"]] / step_s,
                    world.platform.metrics[i, :samples, P95] / spec.slo_p95_s,
                    bad / np.maximum(done, 1.0),
                )
            )
        )
    return np.array(figures)


def _watched(
    config: RunConfig, monitors: Sequence[MakeMonitor | None]
) -> tuple[World, list[list[Finding]]]:
    """The world at its end, and the alarms of each monitor."""
    world = World(config)
    assert world.watch is not None
    real, watches = world.watch, []
    if None not in monitors:
        world.shell.watchers.remove(real)
    for make in monitors:
        if make is None:
            watches.append(real)
            continue
        watches.append(MonitorWatch(make(world.specs, real.monitor.settings)))
        world.shell.watchers.append(watches[-1])
    world.run()
    return world, [alarms_of(watch.notes.all) for watch in watches]


def _scored(
    world: World,
    plain: World,
    alarms: Sequence[Finding],
    quiet: Sequence[Finding],
    *,
    index: int,
) -> Scored:
    kind = kind_of(index)
    fired = world.recorder.fired.get(kind, 0)
    spans = spans_s(world)
    fault = next(iter(world.config.faults.values()))
    began_s, ended_s = spans.get(kind, (math.nan, math.nan))
    own = [
        alarm
        for alarm in alarms
        if began_s <= alarm.noticed_s <= ended_s + AFTER_S
        and not any(_same(alarm, other) for other in quiet)
    ]
    differs = np.flatnonzero(shown(world, plain))
    felt_s = (
        world.start_s + world.recorder.interval_s * float(differs[0]) if len(differs) else math.nan
    )
    first_s = own[0].noticed_s if own else math.nan
    return Scored(
        index=index,
        kind=kind,
        seed=world.config.seed,
        fired=fired,
        began_s=began_s - world.start_s,
        shows=bool(len(differs)),
        shown_after_s=felt_s - began_s,
        alarms=len(alarms),
        due=len(own),
        after_s=first_s - began_s,
        after_shown_s=first_s - felt_s,
        blamed=blamed_right(fault, own),
    )


def _same(one: Finding, other: Finding) -> bool:
    return (one.service, one.kind) == (other.service, other.kind) and abs(
        one.noticed_s - other.noticed_s
    ) <= SAME_S


def _named(alarm: Finding, world: World) -> str:
    return f"{alarm.noticed_s - world.start_s:.0f} s: {alarm.service} {alarm.kind}"
