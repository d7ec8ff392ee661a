"""Run one world with the invariants watching, and say what happened in it."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.runtime.errors import ControllerError
from twin.hunt.apart import Apart, compare
from twin.hunt.asked import AskedByRules
from twin.hunt.invariants import Invariants, LiveInvariants, Violation
from twin.hunt.live import HuntedShell
from twin.hunt.metrics import MetricsFault, leave_out, spoil, stir
from twin.hunt.metrics import parse as parse_metrics
from twin.hunt.ports import parse
from twin.hunt.shells import LIVE, SIMULATED
from twin.hunt.virtual import NothingLeftError
from twin.hunt.worlds import configuration
from twin.world.world import ConservationError, World

REPEATS = 16
"""So often is a world run again without the faults of its metrics, with other noise, where the
one run without them differs from the one with them."""

_FIGURES = re.compile(r"-?\d[\d,.]*")


@dataclass(frozen=True, slots=True)
class WorldOutcome:
    """What became of one world.

    `covered` counts what happened, as "fault: …", "engine: …" and the like; `digest` is the same
    for two runs exactly if they decided, emitted and recorded the same.  `apart` says how far a
    world's only fault of the metrics, by its kind, took it from the same world without.
    """

    violations: tuple[Violation, ...]
    covered: Mapping[str, int] = field(default_factory=dict)
    digest: str = ""
    apart: Mapping[str, Apart] = field(default_factory=dict)


def shell_of(raw: Mapping[str, Any]) -> str:
    """Which shell a world is for: the one that has faults of its ports is for the live one."""
    return LIVE if "ports" in raw else SIMULATED


def examine(raw: Mapping[str, Any]) -> WorldOutcome:
    """Run the world `raw` (overrides, as `worlds.generate` makes them).

    Raises ConfigError where it is not a legal configuration; an engine that raises, and requests
    that are not conserved, are violations.
    """
    if shell_of(raw) == LIVE:
        return _examine_live(raw)
    if "metrics" in raw:
        return _examine_metrics(raw)
    world = World(configuration(raw))
    invariants = Invariants(world)
    try:
        world.run()
    except ControllerError as error:
        invariants.violations.append(Violation("the engine answers", world.env.now, str(error)))
    except ConservationError as error:
        invariants.violations.append(Violation("conservation", world.env.now, str(error)))
    else:
        invariants.finish()
    return WorldOutcome(tuple(invariants.violations), _covered(world), _digest(world))


class _Without(NamedTuple):
    """Instances (services, samples) of a run without faults: desired, asked for by its rules."""

    counts: NDArray[np.int32]
    asked: NDArray[np.int32]


def _examine_metrics(raw: Mapping[str, Any]) -> WorldOutcome:
    """Run a world with and without the faults of its metrics."""
    faults = parse_metrics(raw["metrics"])
    plain = {k: v for k, v in raw.items() if k not in ("metrics", "scenario")}
    plain["scenario"] = {"name": "metrics", "description": "without the faults of its metrics"}
    text = json.dumps(plain)
    try:
        world = _run(plain, faults)
    except (ControllerError, ConservationError) as error:
        return WorldOutcome((Violation("the engine answers", 0.0, str(error)),))
    counts = world.recorder.counts[:, :, 0]
    interval_s = world.config.telemetry.interval_s
    runs: list[_Without] = []
    violations: list[Violation] = []
    apart = Apart()
    for number in range(REPEATS + 1):
        runs.append(_without(text, number))
        without, asked = (np.stack(part) for part in zip(*runs, strict=True))
        violations, apart = compare(
            world.specs, counts, without, faults, asked=asked, step_s=interval_s
        )
        if not violations:
            break
    covered = _covered(world)
    covered |= Counter(f"metrics: {fault.kind}" for fault in faults)
    alone = {faults[0].kind: apart} if len(faults) == 1 else {}
    return WorldOutcome(tuple(violations), covered, _digest(world), alone)


@lru_cache(maxsize=2 * (REPEATS + 1))
def _without(plain: str, number: int) -> _Without:
    """The world `plain` without the faults.

    Number 0 is the world as it is, each other the same with another usual noise of its samples.
    """
    world = _world(json.loads(plain), (), number)
    asked = AskedByRules(world)
    world.run()
    return _Without(world.recorder.counts[:, :, 0].copy(), asked.counts())


def _run(plain: Mapping[str, Any], faults: Sequence[MetricsFault]) -> World:
    world = _world(plain, faults)
    world.run()
    return world


def _world(plain: Mapping[str, Any], faults: Sequence[MetricsFault], number: int = 0) -> World:
    """The world `plain`, in which nothing has happened yet, with `faults` of its metrics."""
    raw = {key: value for key, value in plain.items() if key != "unmeasured"}
    world = World(configuration(raw))
    for spec, telemetry in zip(world.specs, world.telemetry, strict=True):
        if number:
            noise = world.streams(f"metrics.again.{number}.{spec.name}")
            stir(telemetry, world.config.telemetry, noise)
        leave_out(telemetry, plain.get("unmeasured", {}).get(spec.name, ()))
        spoil(telemetry, faults, spec.name, world.streams)
    return world


def _examine_live(raw: Mapping[str, Any]) -> WorldOutcome:
    """Run a world under the asyncio shell, on a virtual clock."""
    plain = {key: value for key, value in raw.items() if key != "ports"}
    person = plain.get("approval", "automatic")
    if not isinstance(person, str):
        plain["approval"] = "never"  # somebody answers through the store
    world = World(configuration(plain), shell=HuntedShell)
    shell = world.shell
    assert isinstance(shell, HuntedShell)
    shell.faults = parse(raw)
    shell.person_s = math.inf if isinstance(person, str) else float(person)
    invariants = LiveInvariants(world, shell)
    try:
        shell.live(world, int(raw["seed"]))
        world.finish()
    except NothingLeftError as error:
        invariants.violations.append(Violation("the engine goes on", world.env.now, str(error)))
    except ConservationError as error:
        invariants.violations.append(Violation("conservation", world.env.now, str(error)))
    else:
        invariants.finish()
    covered = _covered(world)
    covered |= {f"port: {name}": times for name, times in shell.fired.items()}
    covered["engine: steps that could not be made"] = shell.engines[-1].cycle.skipped
    covered = {name: times for name, times in covered.items() if times}
    return WorldOutcome(tuple(invariants.violations), covered, _digest(world))


def _covered(world: World) -> dict[str, int]:
    covered: Counter[str] = Counter()
    covered[f"resolution: {world.config.resolution}"] += 1
    for fault in world.config.faults.values():
        covered[f"fault: {fault.kind}"] += world.recorder.fired.get(fault.name, 0)
    for row in world.recorder.decisions:
        if row["kind"] == "recommendation":
            covered[f"engine: {row['reason']} {row['outcome']}"] += 1
            for why in filter(None, row["why"].split("; ")):
                covered[f"declined: {_FIGURES.sub('#', why)}"] += 1
        else:
            way = "out" if row["to_instances"] > row["from_instances"] else "in"
            covered[f"action: {row['reason']} {way}, {row['category']}, {row['outcome']}"] += 1
            if row["outcome"] == "failed":
                covered[f"failed: {_FIGURES.sub('#', row['why'])}"] += 1
    covered["cloud: command replayed"] += world.infrastructure.replayed
    for _, memory_s in world.shell.restarts:
        covered[f"engine: restarted with{'' if memory_s >= 0.0 else 'out'} memory"] += 1
    return {name: count for name, count in covered.items() if count}


def _digest(world: World) -> str:
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(world.recorder.decisions).encode())
    digest.update(json.dumps(world.recorder.events).encode())
    digest.update(world.platform.metrics.tobytes())
    digest.update(world.platform.truth.tobytes())
    digest.update(world.recorder.counts.tobytes())
    return digest.hexdigest()
