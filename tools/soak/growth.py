"""What there is of everything in the process, and whether it grows.

A measure grows if the median of the slopes between any two of its samples (Theil and Sen's
estimate, which up to 29 % of wild samples do not move) is above its limit, over the second half of
the samples: what is filled once, such as caches, rings and the allocator's pools, is full by then.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from statistics import median

import psutil


@dataclass(frozen=True, slots=True)
class Limit:
    """How much more of something there may be after an hour, and why so much.

    What grows by less than `least` over all that is judged is a fluctuation; below `span_h` (h) of
    judged time nothing can be said.
    """

    per_hour: float
    least: float
    reason: str
    span_h: float = 0.0


LEAST_LOOKS = 3
"""Of fewer that are judged nothing can be said: any two differ by what is going on just then."""
FILLED_H = 6.0
"""So long it takes until caches, rings and the allocator's pools are full."""
LIMITS: dict[str, Limit] = {
    "tasks": Limit(0.3, 2.5, "a fault comes once an hour, so one that leaves a task leaves 12"),
    "threads": Limit(0.3, 1.5, "as tasks"),
    "files": Limit(0.3, 1.5, "as tasks"),
    "sockets": Limit(0.3, 5.0, "as tasks, and some six connections come and go"),
    "state_files": Limit(0.3, 1.5, "what is written anew takes the place of what was there"),
    "objects": Limit(
        25.0, 0.0, "a fault spoils some dozen calls an hour, each of which may leave one", FILLED_H
    ),
    "blocks": Limit(150.0, 0.0, "as objects, with what they hold: some 12 KiB", FILLED_H),
    "rss_kib": Limit(
        100.0, 0.0, "90 days of it are 211 MiB, which a container is given to spare", FILLED_H
    ),
}
"""By measure; what has none is shown and not judged."""


@dataclass(frozen=True, slots=True)
class LookAtProcess:
    """All measures at one time, and the objects by type."""

    hour: float
    measures: Mapping[str, float]
    types: Mapping[str, int]


def look(hour: float, tasks: int, folder: Path) -> LookAtProcess:
    """Look at this process, after collecting what is garbage; `folder` is that of its state."""
    for _ in range(3):
        gc.collect()
    _trim()
    types = Counter(f"{type(one).__module__}.{type(one).__qualname__}" for one in gc.get_objects())
    files, sockets = _open()
    there = [path for path in folder.rglob("*") if path.is_file()]
    sizes: Counter[str] = Counter()
    for path in there:
        sizes[path.relative_to(folder).parts[0]] += path.stat().st_size
    measures = {
        "rss_kib": psutil.Process().memory_info().rss / 1024.0,
        "blocks": float(sys.getallocatedblocks()),
        "objects": float(sum(types.values())),
        "tasks": float(tasks),
        "threads": float(threading.active_count()),
        "files": float(files),
        "sockets": float(sockets),
        "state_files": float(len(there)),
        **{f"bytes: {name}": float(size) for name, size in sorted(sizes.items())},
    }
    return LookAtProcess(hour, measures, types)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Theil and Sen's: the median over all pairs; 0 for fewer than two points."""
    slopes = [(y1 - y0) / (x1 - x0) for (x0, y0), (x1, y1) in combinations(points, 2) if x1 != x0]
    return median(slopes) if slopes else 0.0


def second_half(looks: Sequence[LookAtProcess]) -> Sequence[LookAtProcess]:
    """Those that are judged."""
    return looks[len(looks) // 2 :]


def slopes(looks: Sequence[LookAtProcess]) -> dict[str, float]:
    """An hour's growth of each measure, over the second half."""
    judged = second_half(looks)
    names = dict.fromkeys(name for one in judged for name in one.measures)
    return {
        name: slope([(one.hour, one.measures.get(name, 0.0)) for one in judged]) for name in names
    }


def complaints(
    looks: Sequence[LookAtProcess], limits: Mapping[str, Limit] = LIMITS
) -> dict[str, str]:
    """Why each measure that grows too fast does, by its name; empty if none does."""
    grown, judged = slopes(looks), second_half(looks)
    span_h = judged[-1].hour - judged[0].hour
    silent = not_judged(looks, limits)
    return {
        name: f"grows by {grown[name]:.1f} an hour; {limit.per_hour:g} is allowed: {limit.reason}"
        for name, limit in limits.items()
        if name not in silent
        and grown.get(name, 0.0) > limit.per_hour
        and grown[name] * span_h > limit.least
    }


def not_judged(
    looks: Sequence[LookAtProcess], limits: Mapping[str, Limit] = LIMITS
) -> dict[str, str]:
    """Why nothing can be said of some measures, by their names: a soak that was too short."""
    judged = second_half(looks)
    if len(judged) < LEAST_LOOKS:
        return dict.fromkeys(limits, f"{len(judged)} looks are judged, {LEAST_LOOKS} are needed")
    span_h = judged[-1].hour - judged[0].hour
    return {
        name: f"{span_h:.2g} h are judged, {limit.span_h:g} are needed"
        for name, limit in limits.items()
        if span_h < limit.span_h
    }


def growing_types(looks: Sequence[LookAtProcess], most: int = 8) -> list[tuple[str, float]]:
    """The types of which there is more and more, with an hour's growth: where to look first."""
    judged = second_half(looks)
    names = {name for one in judged for name in one.types}
    grown = [
        (name, slope([(one.hour, float(one.types.get(name, 0))) for one in judged]))
        for name in names
    ]
    return sorted([one for one in grown if one[1] > 0.0], key=lambda one: (-one[1], one[0]))[:most]


def _open() -> tuple[int, int]:
    """Open files (and pipes), and sockets."""
    files = sockets = 0
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208
        try:
            target = os.readlink(f"/proc/self/fd/{name}")  # noqa: PTH115
        except OSError:  # the listing's own
            continue
        sockets += target.startswith("socket:")
        files += not target.startswith("socket:")
    return files, sockets


def _trim() -> None:
    """Give back what the allocator merely keeps: the rest is what is used."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
