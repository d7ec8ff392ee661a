"""Make a failing world small: take away what the failure does not need, as long as it fails.

Greedy and one step at a time, in the manner of delta debugging (Zeller & Hildebrandt, "Simplifying
and Isolating Failure-Inducing Input", IEEE TSE 2002), on the plain data of the world.  A step is
kept when the same invariant is still violated, so the result is minimal in the sense that none of
the steps tried makes it smaller.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

from engine.config.strict import ConfigError
from twin.hunt.examine import examine
from twin.hunt.worlds import World

MOST_RUNS = 400
SHORTEST_S = 900


def shrink(world: World, invariant: str, most_runs: int = MOST_RUNS) -> World:
    """The smallest world found that still violates `invariant`, in at most `most_runs` runs."""

    def fails(smaller: World) -> bool:
        try:
            return any(v.invariant == invariant for v in examine(smaller).violations)
        except (ConfigError, ValueError):
            return False  # what was taken away made it illegal

    return minimise(world, fails, most_runs)


def minimise(world: World, fails: Callable[[World], bool], most_runs: int = MOST_RUNS) -> World:
    """The smallest world for which `fails` that a greedy search finds; `world` has to fail."""
    runs = 0
    smaller = True
    while smaller and runs < most_runs:
        smaller = False
        for candidate in _smaller(world):
            if runs == most_runs:
                break
            runs += 1
            if fails(candidate):
                world, smaller = candidate, True
                break
    return world


def _smaller(world: World) -> Iterator[World]:
    """Worlds one step smaller, the largest steps first."""
    yield from _without_parts(world)
    yield from _with_defaults(world)
    yield from _shorter(world)
    yield from _with_lesser_faults(world)


def _without_parts(world: World) -> Iterator[World]:
    """Without a fault, a service, or all that is said of a part."""
    for name in world["faults"]:
        yield _without(world, ("faults", name))
    for name in world["platform"]["services"]:
        yield from _without_service(world, name)
    for kind in ("ports", "metrics"):
        several = world.get(kind, ())
        for k in range(len(several) if kind == "ports" or len(several) > 1 else 0):
            yield {**world, kind: [fault for i, fault in enumerate(several) if i != k]}
    for key in ("operator", "budget", "approval", "unmeasured"):
        if key in world:
            yield _without(world, (key,))
    if "telemetry" in world:
        interval = {"interval_s": world["telemetry"]["interval_s"]}
        if world["telemetry"] != interval:
            yield {**world, "telemetry": interval}
    if "infrastructure" in world:
        yield _without(world, ("infrastructure",))


def _with_defaults(world: World) -> Iterator[World]:
    """With a setting left to its default, or a call left out."""
    for path in _settings(world["engine"], ("engine",)):
        yield _without(world, path)
    for path in _settings(world.get("infrastructure", {}), ("infrastructure",)):
        yield _without(world, path)
    if "actual" in world["population"]:
        yield _without(world, ("population", "actual"))
    for key in ("background", "day_sigma", "noise_sigma"):
        if key in world["demand"]:
            yield _without(world, ("demand", key))
    for name, service in world["platform"]["services"].items():
        for key in ("client", "thresholds"):
            if key in service:
                yield _without(world, ("platform", "services", name, key))
        for callee in service["calls"]:
            yield _without(world, ("platform", "services", name, "calls", callee))


def _shorter(world: World) -> Iterator[World]:
    """Cheaper to run: without single requests, shorter, with fewer weddings."""
    if world["resolution"] == "request":
        yield {**world, "resolution": "fluid"}
    duration_s = world["population"]["duration_s"]
    for shorter in (duration_s // 2, duration_s * 3 // 4, duration_s - 120):
        shorter = shorter // 60 * 60
        if SHORTEST_S <= shorter < duration_s:
            yield _with(world, ("population", "duration_s"), shorter)
    if world["population"]["simultaneous"] > 20:
        yield _with(world, ("population", "simultaneous"), 20)


def _with_lesser_faults(world: World) -> Iterator[World]:
    """With faults that say less, or that are shorter."""
    for k, fault in enumerate(world.get("metrics", ())):
        for key in ("services", "share"):
            if key in fault:
                smaller = [*world["metrics"]]
                smaller[k] = {name: value for name, value in fault.items() if name != key}
                yield {**world, "metrics": smaller}
    for name, fault in world["faults"].items():
        for key in ("services", "zones"):
            if key in fault:
                yield _without(world, ("faults", name, key))
        if "duration_s" in fault and fault["duration_s"] > 60:
            halved = max(fault["duration_s"] // 2, 60)
            yield _with(world, ("faults", name, "duration_s"), halved)


def _settings(section: dict[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Paths of settings that may be left to their default, whole sections first."""
    needed = {("engine", "sample_s"), ("engine", "capacity", "zones")}
    for key, value in section.items():
        here = (*path, key)
        if here in needed:
            continue
        if not any(there[: len(here)] == here for there in needed):
            yield here
        if isinstance(value, dict):
            yield from _settings(value, here)


def _without_service(world: World, name: str) -> Iterator[World]:
    smaller = copy.deepcopy(world)
    services = smaller["platform"]["services"]
    del services[name]
    for service in services.values():
        service["calls"].pop(name, None)
    smaller["demand"]["rates"].pop(name, None)
    asked = smaller["demand"].get("background", {}).get("requests_per_user_day", {})
    asked.pop(name, None)
    if services and smaller["demand"]["rates"]:
        yield smaller


def _without(world: World, path: tuple[str, ...]) -> World:
    smaller = copy.deepcopy(world)
    inner = smaller
    for key in path[:-1]:
        inner = inner[key]
    del inner[path[-1]]
    return smaller


def _with(world: World, path: tuple[str, ...], value: object) -> World:
    changed = copy.deepcopy(world)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed
