"""One branch of the hours to come: a world that begins as a moment stands, and what came of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.api.what_if import Moment, TriedChange
from engine.model import (
    SAMPLE_FIELDS,
    Direction,
    FloatArray,
    Observation,
    Outlook,
    Plan,
    Response,
    Schedule,
    ServiceSpec,
)
from engine.record.schema.summary import Noun
from engine.runtime.errors import ControllerError
from twin.config import RunConfig
from twin.runs.summary import BAD, T, bill, done_requests, user_facing
from twin.what_if import expected
from twin.world.feed import Changes, Foreknowledge
from twin.world.fleet import Fleet
from twin.world.recorder import Recorder
from twin.world.script import Script
from twin.world.world import Rehearsal, World

STEP_S = 60
"""Between two points of what is shown."""
P95 = SAMPLE_FIELDS.index("p95_s")
FOR_EVER_S = 1e9
LONGEST_FAULT_S = 604_800.0


@dataclass(frozen=True, slots=True)
class FixedOutlook:
    """The calendar as it was told at the moment; nobody books meanwhile."""

    standing: Outlook

    def outlook(self, now_s: float) -> Outlook:  # noqa: ARG002 (as the port has it)
        """The same at any time."""
        return self.standing


class Nothing:
    """A calendar without events: what is booked is in the outlook already."""

    def booked(self, known_at_s: float) -> Schedule:  # noqa: ARG002
        """No event."""
        return Schedule((), (), np.zeros((0, 1)), np.zeros((0, 0)), np.zeros(0, np.bool_))

    def changes(self, after_s: float, until_s: float) -> Changes:  # noqa: ARG002
        """None."""
        return Changes()


class CountsAlone(Recorder):
    """Notes what is shown of a branch: its counts, and which actions there were.

    Rows of what was recommended, and the forecasts, are a twentieth of the time of a branch.
    """

    def __init__(
        self, specs: Sequence[ServiceSpec], start_s: float, samples: int, interval_s: int
    ) -> None:
        super().__init__(specs, start_s, samples, interval_s)
        self.actions: set[str] = set()
        """Their decisions' ids."""

    def step(
        self,
        at_s: float,
        observation: Observation,  # noqa: ARG002 (as the recorder has it)
        plan: Plan,
        compute_s: float,  # noqa: ARG002
        *,
        fleets: Sequence[Fleet],
    ) -> None:
        """Note the counts, and the actions that were taken or asked about."""
        self.count(at_s, fleets)
        for actions in (plan.actions, plan.awaiting, plan.dry):
            self.actions.update(action.decision_id for action in actions)


def config_of(
    tree: Mapping[str, Any], moment: Moment, change: TriedChange, zones: Sequence[str]
) -> dict[str, Any]:
    """The sections of a run's configuration that a branch has of its own."""
    now_s = moment.time_s

    def left_s(expires_s: float) -> float:
        return min(max(expires_s - now_s, 0.0), FOR_EVER_S)

    floors = [
        {"service": f.service, "instances": f.instances, "expires_s": left_s(f.expires_s)}
        for f in moment.floors
    ]
    pauses: list[dict[str, Any]] = [
        {"service": p.service, "direction": p.direction, "pinned": p.pinned,
         "expires_s": left_s(p.expires_s)}
        for p in moment.pauses
    ]  # fmt: skip
    scales = [
        {
            "service": s.service,
            "instances": s.instances,
            "expires_s": left_s(s.expires_s),
            "override": s.override,
        }
        for s in moment.scales
    ]
    if change.floor_service:
        floors.append({
            "service": change.floor_service, "instances": change.floor_instances,
            "at_s": change.after_s, "expires_s": FOR_EVER_S,
        })  # fmt: skip
    if change.pause_service is not None:
        pauses.append({
            "service": change.pause_service, "direction": Direction(change.pause_direction),
            "at_s": change.after_s, "expires_s": FOR_EVER_S,
        })  # fmt: skip
    faults: dict[str, Any] = {}
    if change.zone:
        faults["lost"] = {
            "kind": "zone_loss", "zone": list(zones).index(change.zone), "at": change.after_s,
            "duration_s": LONGEST_FAULT_S,
        }  # fmt: skip
    operator = {"floors": floors, "pauses": pauses, "scales": scales}
    return {**tree, "operator": operator, "faults": faults}


def run(config: RunConfig, moment: Moment, change: TriedChange, duration_s: int) -> dict[str, Any]:
    """Let a branch come about; returns what is said of it."""
    world, notes = _begun(config, moment, change, duration_s)
    world.run()
    return {"controller": config.controller.name, "notes": notes, **_figures(world)}


def _begun(
    config: RunConfig, moment: Moment, change: TriedChange, duration_s: int
) -> tuple[World, list[str]]:
    specs = config.platform.specs()
    names = tuple(spec.name for spec in specs)
    outlook = moment.outlook
    nobody = Response(
        names, np.zeros((0, 0, len(names))), np.zeros((24, len(names))), 0.0, 1.0, 1.0, 0.0,
        outlook.sigma,
    )  # fmt: skip
    script = Script(
        start_s=moment.time_s,
        duration_s=duration_s,
        noun=Noun(many=outlook.noun),
        phases=outlook.phases,
        demand=expected.demand(moment, specs, change, duration_s),
        events=0,
        awaited_s=np.zeros(0),
        foreknowledge=Foreknowledge(moment.time_s, duration_s, Noun(), Nothing(), nobody),
        history=_no_history,
    )
    ready = {name: moment.services[name].ready for name in names}
    world = World(
        config, rehearsal=Rehearsal(script, FixedOutlook(outlook), ready), recorder=CountsAlone
    )
    for telemetry, name in zip(world.telemetry, names, strict=True):
        telemetry.begin_after(moment.services[name].samples)
    for name in names:
        # What boots began some time ago that nobody knows: it boots from now on.
        world.fleets[name].want(moment.services[name].desired)
    if not moment.memory:
        return world, ["the controller begins without what was learned today"]
    try:
        world.shell.begin_with(moment.memory)
    except ControllerError:
        return world, ["the controller begins without what was learned today"]
    return world, []


def _no_history() -> Any:
    raise ValueError("controller: it needs the weeks before, which are not known here")


# --- what came of it


def _figures(world: World) -> dict[str, Any]:
    samples, every = world.platform.samples, max(STEP_S // world.recorder.interval_s, 1)
    points = samples // every
    truth = world.platform.truth[:, :samples]
    facing = truth[user_facing(world)].sum(axis=0)
    bad = _bad(facing)
    counts = world.recorder.counts[:, :samples]
    assert isinstance(world.recorder, CountsAlone)
    prices = np.array([spec.price_per_hour for spec in world.specs])
    billed = counts[:, :, 1:].sum(axis=2)
    return {
        "cost_usd": round(bill(world).total_usd, 4),
        "usd_per_hour_most": round(float((prices @ billed).max(initial=0.0)), 4),
        "violation_ratio": _ratio(float(bad.sum()), float(done_requests(facing).sum())),
        "actions": len(world.recorder.actions),
        "services": {
            spec.name: _service(world, row, truth[row], counts[row])
            for row, spec in enumerate(world.specs)
        },
        "series": {
            "start_s": world.start_s + every * world.recorder.interval_s,
            "step_s": float(every * world.recorder.interval_s),
            "usd_per_hour": _points(prices @ billed, every, points, np.mean, digits=4),
            "bad_share": [
                _ratio(float(_bad(part).sum()), float(done_requests(part).sum()))
                for part in np.split(facing[: points * every], points)
            ] if points else [],
            "services": {
                spec.name: {
                    "ready": _points(counts[row, :, 1], every, points, np.min, digits=0),
                    "needed": _points(
                        _needed(world, row, truth[row]), every, points, np.max, digits=0
                    ),
                    "p95_s": _points(
                        world.platform.metrics[row, :samples, P95], every, points, np.median,
                        digits=4,
                    ),
                }
                for row, spec in enumerate(world.specs)
            },
        },
    }  # fmt: skip


def _service(world: World, row: int, truth: FloatArray, counts: FloatArray) -> dict[str, Any]:
    spec, ready = world.specs[row], counts[:, 1]
    p95_s = world.platform.metrics[row, : len(truth), P95]
    needed, interval_s = _needed(world, row, truth), world.recorder.interval_s
    return {
        "ready_least": int(ready.min(initial=ready[0])),
        "ready_most": int(ready.max(initial=0)),
        "needed_most": int(needed.max(initial=0)),
        "short_s": float(interval_s * np.count_nonzero(ready < needed)),
        "late_s": float(interval_s * np.count_nonzero(p95_s > spec.slo_p95_s)),
        "p95_most_s": _figure(float(np.nanmax(p95_s, initial=0.0))),
        "slo_p95_s": spec.slo_p95_s,
        "violation_ratio": _ratio(float(_bad(truth).sum()), float(done_requests(truth).sum())),
        "cost_usd": round(
            world.fleets[spec.name].instance_seconds(world.now_s) / 3600.0 * spec.price_per_hour, 4
        ),
    }


def _needed(world: World, row: int, truth: FloatArray) -> FloatArray:
    needed: FloatArray = np.maximum(truth[:, T["needed"]], world.specs[row].min_instances)
    return needed


def _bad(truth: FloatArray) -> FloatArray:
    bad: FloatArray = truth[..., [T[name] for name in BAD]].sum(axis=-1)
    return bad


def _points(
    values: NDArray[Any], every: int, points: int, summed: Callable[..., Any], *, digits: int
) -> list[float | None]:
    parts = np.asarray(values, dtype=np.float64)[: points * every].reshape(points, every)
    return [_figure(value, digits) for value in summed(parts, axis=1).tolist()]


def _ratio(part: float, whole: float) -> float:
    return float(f"{part / whole:.4g}") if whole > 0.0 else 0.0


def _figure(value: float, digits: int = 6) -> float | None:
    if not math.isfinite(value):
        return None
    return round(value, digits) if digits else round(value)
