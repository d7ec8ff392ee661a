"""What the guard looks at in a world that is over: figures in which each rule of the engine shows.

The headline figures of a summary are means over a day; a rule that acts for ten minutes is lost in
them.  These are taken where it acts: how far the SLO was kept from, how many instances were short
and for how long, when the first order was out after something broke, what stood ready when major
events began and two hours before, how often a service turned round, and what it all cost, of what
users wait for and of the rest.

*Controls* depend on the world alone and not on who scales it: the load, and the instances that it
needed.  Between seeds most figures go up and down with them, so what is left once that has been
taken off is much quieter (control variates; Law, "Simulation Modeling and Analysis", 5th ed.,
section 11.4).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import critical_services, with_calls
from engine.model import FloatArray, Reason
from engine.record.figures import flaps
from engine.record.readiness import InstancesOverTime, readiness
from engine.record.schema.summary import Figures
from scenarios.faults.times import resolve_at
from twin.queues.port import TRUTH_FIELDS
from twin.queues.response import needed_curve
from twin.runs.summary import summarise
from twin.world.world import World

T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
READY, P95 = 1, 5
"""Columns of the recorder's counts and of the platform's metrics."""
LEAD_S = 7200.0
"""Readiness is judged so long before an event, whatever the engine's own lead time is."""
LOW = 0.05
"""The margin to the SLO is also given at the samples where it is lowest: this quantile."""
FARTHEST = 3.0
"""A p95 of so many SLOs is as bad as any worse one."""


def figures_of(world: World) -> dict[str, float | None]:
    """The guarded figures of `world`; None where there was nothing to judge."""
    samples = world.platform.samples
    truth = world.platform.truth[:, :samples]
    ready = world.recorder.counts[:, :samples, READY].astype(np.float64)
    least = np.array([[spec.min_instances] for spec in world.specs], dtype=np.float64)
    needed = np.maximum(truth[:, :, T["needed"]], least)
    waited = _waited_for(world)
    summary = summarise(world)
    done = [row for row in world.recorder.decisions if row["kind"] == "action"]
    accepted = [row for row in done if math.isfinite(row["accepted_s"])]
    return {
        "cost.total_usd": summary.cost.total_usd,
        "cost.waited_for_usd": _cost(world, summary, waited),
        "cost.deferred_usd": _cost(world, summary, ~waited),
        "slo.violation_ratio": summary.slo.violation_ratio,
        "slo.violation_minutes": _number(summary.slo.violation_minutes),
        "slo.availability": summary.slo.availability,
        **_margins(world, samples, waited),
        "short.waited_for": _short(ready[waited], needed[waited]),
        "short.deferred": _short(ready[~waited], needed[~waited]),
        "spare.zone": _spare(ready[waited], needed[waited], len(world.config.platform.zones)),
        **_reaction(world, ready[waited] < needed[waited], accepted),
        **_readiness(world, ready, needed),
        "steps.actions": float(len(accepted)),
        "steps.flaps": float(flaps(accepted)),
        "steps.reversals": float(_reversals(accepted)),
        "steps.failed": float(sum(row["outcome"] == "failed" for row in done)),
        "steps.largest_unasked_usd_per_hour": _largest_unasked(accepted),
        "steps.asked": float(sum(row["category"] == "needs_approval" for row in done)),
        "forecast.pinball": _pinball(summary),
    }


def controls_of(world: World) -> dict[str, float]:
    """What of the world's figures no engine can change."""
    needed = _needed_alone(world)
    hours = world.recorder.interval_s / 3600.0
    price = np.array([spec.price_per_hour for spec in world.specs])
    waited = _waited_for(world)
    bill = needed.sum(axis=1) * hours * price
    return {
        "needed.waited_for_usd": float(bill[waited].sum()),
        "needed.deferred_usd": float(bill[~waited].sum()),
    }


def digest_of(world: World) -> str:
    """The same for two runs exactly if they decided the same at the same times."""
    rows = [
        (row["time_s"], row["kind"], row["service"], row["to_instances"], row["outcome"])
        for row in world.recorder.decisions
    ]
    return hashlib.blake2b(json.dumps(rows).encode(), digest_size=8).hexdigest()


def _waited_for(world: World) -> NDArray[np.bool_]:
    critical = critical_services(world.specs)
    return np.array([spec.name in critical for spec in world.specs])


def _cost(world: World, summary: Figures, chosen: NDArray[np.bool_]) -> float:
    costs = [summary.services[spec.name].cost_usd for spec in world.specs]
    return math.fsum(cost for cost, counts in zip(costs, chosen, strict=True) if counts)


def _margins(world: World, samples: int, waited: NDArray[np.bool_]) -> dict[str, float | None]:
    """1 - p95 / SLO of the service that is nearest to its own, at each sample."""
    p95_s = world.platform.metrics[:, :samples, P95]
    slo_s = np.array([[spec.slo_p95_s] for spec in world.specs])
    used = np.where(np.isfinite(p95_s), np.minimum(p95_s / slo_s, FARTHEST), 0.0)
    margin = 1.0 - used[waited].max(axis=0)
    deferred = 1.0 - used[~waited].max(axis=0) if (~waited).any() else None
    return {
        "margin.mean": float(margin.mean()),
        "margin.low": float(np.quantile(margin, LOW)),
        "margin.deferred": None if deferred is None else float(deferred.mean()),
    }


def _short(ready: FloatArray, needed: FloatArray) -> float | None:
    """Instances that were needed and not ready, as a share of those needed."""
    if not needed.size:
        return None
    return float(np.maximum(needed - ready, 0.0).sum() / needed.sum())


def _spare(ready: FloatArray, needed: FloatArray, zones: int) -> float | None:
    """Share of the samples in which each service could have lost its fullest zone.

    None of a platform with one zone.
    """
    if zones < 2:
        return None
    left = ready - np.ceil(ready / zones)
    return float((left >= needed).all(axis=0).mean())


def _reaction(
    world: World, short: NDArray[np.bool_], accepted: Sequence[Mapping[str, Any]]
) -> dict[str, float | None]:
    """Seconds from the first fault with a time to the first order, and seconds short after it.

    The order is a step out of the service that the fault names, or any emergency where it names
    none; without one, all that was left of the window.
    """
    faults = [fault for fault in world.config.faults.values() if fault.at is not None]
    if not faults:
        return {"reaction.order_s": None, "reaction.short_s": None}
    plain = world.script.demand
    at_s, fault = min(((resolve_at(f.at or 0.0, plain), f) for f in faults), key=lambda p: p[0])
    named = getattr(fault, "service", None)
    began_s = world.start_s + at_s
    orders = [
        row["accepted_s"]
        for row in accepted
        if row["time_s"] >= began_s
        and row["to_instances"] > row["from_instances"]
        and (
            row["service"] == named
            if named is not None
            else row["reason"] == Reason.EMERGENCY.value
        )
    ]
    first = math.ceil(at_s / world.recorder.interval_s)
    return {
        "reaction.order_s": min(orders, default=world.start_s + world.now_s) - began_s,
        "reaction.short_s": float(short[:, first:].any(axis=0).sum()) * world.recorder.interval_s,
    }


def _readiness(world: World, ready: FloatArray, needed: FloatArray) -> dict[str, float | None]:
    """Ready over needed where major events begin, and ready two hours before over needed then.

    Each is the mean over the groups of events of the service that is worst off, of those that users
    wait for; more than enough counts as enough.
    """
    counts = InstancesOverTime(
        world.start_s,
        world.recorder.interval_s,
        ready.astype(np.int32),
        needed,
        np.zeros(ready.shape, np.int32),
    )
    rows = [
        row
        for row in readiness(world.specs, counts, world.script.awaited_s, LEAD_S)
        if row.waited_for
    ]
    at: dict[float, list[float]] = {}
    before: dict[float, list[float]] = {}
    for row in rows:
        at.setdefault(row.at_s, []).append(min(row.ready / row.need, 1.0))
        if math.isfinite(row.lead_ready):
            before.setdefault(row.at_s, []).append(row.lead_ready / row.need)
    return {
        "ready.at_start": _mean([min(group) for group in at.values()]),
        "ready.lead": _mean([_mean(group) or 0.0 for group in before.values()]),
    }


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None


def _reversals(accepted: Sequence[Mapping[str, Any]]) -> int:
    """How often a service was stepped against the direction of its last step."""
    last: dict[str, bool] = {}
    count = 0
    for row in accepted:
        up = row["to_instances"] > row["from_instances"]
        count += last.get(row["service"], up) != up
        last[row["service"]] = up
    return count


def _largest_unasked(accepted: Sequence[Mapping[str, Any]]) -> float:
    """USD an hour that the largest step raised the bill by without anybody being asked."""
    return max(
        (row["cost_per_hour"] for row in accepted if row["category"] != "needs_approval"),
        default=0.0,
    )


def _pinball(summary: Figures) -> float | None:
    losses = [one.pinball for one in summary.prediction.values()]
    return _mean([loss for loss in losses if loss is not None])


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _needed_alone(world: World) -> FloatArray:
    """Instances (services, samples) that the first requests need, by the mean load of a sample."""
    step_s = world.recorder.interval_s
    samples = world.load.arrivals.shape[1] // step_s
    first = world.load.arrivals[:, : samples * step_s]
    rates = with_calls(world.specs, first.reshape(len(world.specs), samples, step_s).mean(axis=2))
    return np.stack(
        [
            np.maximum(needed_curve(spec, rates[i]), spec.min_instances)
            for i, spec in enumerate(world.specs)
        ]
    )
