"""Rows that are worlds with a fault beside the same worlds without it, and booked Saturdays.

A row is a world with a fault, a world without one, or a Saturday; what it has nothing to say of is
null.  The truth is the counterfactual's (`twin.detect.score`): a fault counts for the recall if a
figure that users feel differs for over a minute, and an alarm for a fault if the same world without
it has no such alarm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from engine.config.composition import composed
from twin.config import parse
from twin.detect.score import (
    MakeMonitor,
    Quiet,
    Saturday,
    Scored,
    Task,
    score_group_by,
    score_saturday,
)
from twin.detect.worlds import SHARED, WINDOW_S
from twin.evidence.measures.broken import Alarmist, Deaf
from twin.runs.seeds import seed_of
from twin.runs.workers import spread

COLUMNS = (
    "world", "fault", "monitor", "shows", "found", "after_s", "noticed", "blamed", "alarms",
    "service_weeks", "saturday_alarms", "blind_alarms",
)  # fmt: skip
MONITORS: Mapping[str, MakeMonitor | None] = {
    "real": None,
    "deaf": Deaf,
    "alarmist": Alarmist,
}

Row = dict[str, Any]
Watching = tuple[Task, tuple[str, ...]]


def worlds(
    *,
    rows: int,
    seed: int,
    saturdays: int = 0,
    saturday: Sequence[str] = (),
    monitors: Sequence[str] = ("real",),
) -> list[Row]:
    """`rows` worlds with a fault, the kinds in turn, those without one, and Saturdays.

    `shows` is 1 where users felt the fault; then `found` is 1 if an alarm is due to it, and
    `after_s` how long after its beginning the first came (if none did, all that was left of the
    world).  `noticed` is 1 where an alarm is due to a fault that did anything, and then `blamed` is
    1 if its likeliest cause is the fault.  `alarms` and `service_weeks` are of worlds without one.
    `saturday` are overrides of a Saturday's configuration.  With several `monitors`, each sees the
    same worlds, and has rows of its own.
    """
    names = tuple(monitors)
    groups: list[Watching] = [
        ((seed, group, rows, ()), names) for group in range(math.ceil(rows / SHARED))
    ]
    made: list[Row] = []
    for _, part in sorted(spread(_group, groups), key=lambda item: item[0]):
        made += part
    days: list[tuple[int, tuple[str, ...]]] = [
        (seed_of(seed, number), tuple(saturday)) for number in range(saturdays)
    ]
    for _, day in sorted(spread(_saturday, days), key=lambda item: item[0]):
        made.append(day)
    return made


def _group(watching: Watching) -> list[Row]:
    """The rows of the worlds that share one without a fault."""
    task, names = watching
    rows = []
    judged = score_group_by(task, [MONITORS[name] for name in names])
    for name, (quiet, scored) in zip(names, judged, strict=True):
        rows.append(_quiet_row(name, quiet))
        rows += [_fault_row(name, one) for one in scored]
    return rows


def _saturday(of: tuple[int, tuple[str, ...]]) -> Row:
    seed, overrides = of
    words = ["scenario=june_peak", f"seed={seed}", "monitor.enabled=true", *overrides]
    raw = composed(words)
    raw.pop("sweep", None)  # its name is the time of day
    return _saturday_row(score_saturday(parse({**raw, "thresholds": {}})))


def _row(world: int, monitor: str, **figures: Any) -> Row:
    return {**dict.fromkeys(COLUMNS), "world": world, "monitor": monitor, **figures}


def _fault_row(monitor: str, one: Scored) -> Row:
    if not one.fired:
        return _row(one.seed, monitor, fault=one.kind)
    left_s = WINDOW_S - one.began_s
    return _row(
        one.seed, monitor, fault=one.kind, shows=int(one.shows),
        found=int(one.due > 0) if one.shows else None,
        after_s=(one.after_s if one.due else left_s) if one.shows else None,
        noticed=int(one.due > 0),
        blamed=int(one.blamed) if one.due else None,
    )  # fmt: skip


def _quiet_row(monitor: str, quiet: Quiet) -> Row:
    return _row(quiet.seed, monitor, alarms=len(quiet.alarms), service_weeks=quiet.service_weeks)


def _saturday_row(day: Saturday) -> Row:
    return _row(
        day.seed, "real", saturday_alarms=len(day.alarms), blind_alarms=len(day.blind_alarms)
    )
