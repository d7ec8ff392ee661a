"""From the notes of a run to the figures of `summary.json` (schema 1).

`violation_ratio` is the share of user-facing requests (attempts, retries included) that failed,
were shed, timed out or were served slower than their service's SLO.  A violation minute is one in
which that share is above 1 %.  Under- and over-provisioned shares are the time shares of SPEC's
elasticity metrics (`twin.elasticity`): how long fewer, or more, instances were ready than needed.
"""

from __future__ import annotations

import datetime as dt
import math
import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from engine.model import FloatArray, Reason
from twin.config import ThresholdConfig
from twin.elasticity import NAMES, elasticity, flaps, longest_run
from twin.queues.port import TRUTH_FIELDS
from twin.queues.validity import outside_share
from twin.world import World

SCHEMA = 1
VIOLATION_MINUTE = 0.01
T = {name: i for i, name in enumerate(TRUTH_FIELDS)}
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
BAD = ("failed", "shed", "timed_out", "slow")


def summarise(world: World) -> dict[str, Any]:
    """Everything in the summary that follows from the simulation alone."""
    samples = world.platform.samples
    truth = world.platform.truth[:, :samples]
    return {
        "weddings": _weddings(world),
        "requests": _requests(world, truth),
        "slo": _slo(world, truth),
        "services": {spec.name: _service(world, i, truth[i]) for i, spec in enumerate(world.specs)},
        "cost": _cost(world),
        "elasticity": _elasticity(world, truth),
        "decision": _decision(world),
        "prediction": _prediction(world, samples),
        "faults": {
            fault.name: {"kind": fault.kind, "fired": world.recorder.fired.get(fault.name, 0)}
            for fault in world.config.faults.values()
        },
        "conservation": {
            "checked": True,
            "worst_relative_error": float(world.platform.conservation_error()),
        },
    }


def judge(summary: dict[str, Any], thresholds: dict[str, ThresholdConfig]) -> list[dict[str, Any]]:
    """Each threshold with its value; a path that leads nowhere raises ValueError naming it."""
    judged = []
    for name, threshold in thresholds.items():
        value = _at(summary, threshold.metric, name)
        limit = threshold.limit
        if value is None:
            passed = threshold.operator in ("<=", "<")  # what did not occur exceeded nothing
        else:
            passed = COMPARISONS[threshold.operator](value, limit)
        judged.append(
            {
                "name": name,
                "metric": threshold.metric,
                "operator": threshold.operator,
                "limit": limit,
                "value": value,
                "passed": passed,
            }
        )
    return judged


def percentiles(values: Sequence[float]) -> dict[str, float | None]:
    """p50, p95, p99 and max; None for each without values."""
    if len(values) == 0:
        return {"p50": None, "p95": None, "p99": None, "max": None}
    p50, p95, p99 = np.percentile(np.asarray(values), (50, 95, 99))
    return {"p50": float(p50), "p95": float(p95), "p99": float(p99), "max": float(max(values))}


def _at(summary: dict[str, Any], path: str, name: str) -> float | None:
    value: Any = summary
    for part in path.split("."):
        if not isinstance(value, dict) or part not in value:
            keys = ", ".join(value) if isinstance(value, dict) else "a figure"
            raise ValueError(
                f'thresholds.{name}: "{path}" is not in the summary, "{part}" is not one of {keys}'
            )
        value = value[part]
    if value is None or isinstance(value, (int, float)):
        return value
    raise ValueError(f'thresholds.{name}: "{path}" is not a figure')


def _weddings(world: World) -> dict[str, Any]:
    until = max(int(world.now_s), 1)
    in_progress = world.load.demand.in_progress[:until]
    peak_at = int(in_progress.argmax())
    return {
        "total": world.population.in_window,
        "peak_simultaneous": int(in_progress[peak_at]),
        "peak_at": dt.datetime.fromtimestamp(world.start_s + peak_at, dt.UTC).isoformat(),
    }


def _user_facing(world: World) -> list[int]:
    return [i for i, spec in enumerate(world.specs) if spec.user_facing]


def _requests(world: World, truth: FloatArray) -> dict[str, Any]:
    facing = truth[_user_facing(world)]
    rate = facing[..., T["arrived"]].sum(axis=0) / world.recorder.interval_s
    sums = facing.sum(axis=(0, 1))
    figures: dict[str, Any] = {
        "total": round(float(sums[T["arrived"]])),
        "peak_rate_per_s": float(rate.max(initial=0.0)),
    }
    for name in ("served", "failed", "shed", "timed_out", "retried"):
        figures[name] = round(float(sums[T[name]]))
    return figures


def _slo(world: World, truth: FloatArray) -> dict[str, float]:
    facing = truth[_user_facing(world)].sum(axis=0)
    bad = sum(facing[:, T[name]] for name in BAD)
    done = done_requests(facing)
    per_minute = max(round(60 / world.recorder.interval_s), 1)
    minutes = len(facing) // per_minute * per_minute
    shape = (-1, per_minute)
    bad_minutes = bad[:minutes].reshape(shape).sum(axis=1)
    done_minutes = done[:minutes].reshape(shape).sum(axis=1)
    lost = sum(float(facing[:, T[name]].sum()) for name in BAD[:3])
    violated = bad_minutes > VIOLATION_MINUTE * done_minutes
    return {
        "violation_ratio": _share(float(bad.sum()), float(done.sum())),
        "violation_minutes": int(np.count_nonzero(violated)),
        "longest_violation_s": 60.0 * longest_run(violated.tolist()),
        "availability": 1.0 - _share(lost, float(done.sum())),
    }


def done_requests(truth: FloatArray) -> FloatArray:
    """Requests that ended, whichever way: the columns summed, shape (...,)."""
    columns = [T[name] for name in ("served", "failed", "shed", "timed_out")]
    done: FloatArray = truth[..., columns].sum(axis=-1)
    return done


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0.0 else 0.0


def _service(world: World, i: int, truth: FloatArray) -> dict[str, float]:
    spec = world.specs[i]
    samples = len(truth)
    cpu = world.platform.metrics[i, :samples, 1]
    ready = world.recorder.counts[i, :samples, 1]
    needed = truth[:, T["needed"]]
    fleet = world.fleets[spec.name]
    hours = fleet.instance_seconds(world.now_s) / 3600.0
    p50_s, p95_s, p99_s = world.platform.response_quantiles(i, (0.5, 0.95, 0.99))
    bad = sum(float(truth[:, T[name]].sum()) for name in BAD)
    return {
        "p50_s": p50_s,
        "p95_s": p95_s,
        "p99_s": p99_s,
        "slo_p95_s": spec.slo_p95_s,
        "cpu_mean": float(np.nanmean(cpu)) if samples else 0.0,
        "cpu_max": float(np.nanmax(cpu)) if samples else 0.0,
        "instances_max": int(world.recorder.counts[i, :samples, 1:].sum(axis=1).max(initial=0)),
        "instance_hours": hours,
        "cost_usd": hours * spec.price_per_hour,
        "violation_ratio": _share(bad, float(done_requests(truth).sum())),
        "under_provisioned_share": float(np.mean(ready < needed)) if samples else 0.0,
        "over_provisioned_share": float(np.mean(ready > needed)) if samples else 0.0,
        "unverified_share": (
            0.0
            if world.config.resolution == "request"
            else outside_share(ready.astype(np.float64) * spec.slots, cpu)
        ),
    }


def _cost(world: World) -> dict[str, float]:
    total = sum(
        fleet.instance_seconds(world.now_s) / 3600.0 * fleet.spec.price_per_hour
        for fleet in world.fleets.values()
    )
    return {
        "total_usd": total,
        "per_wedding_usd": _share(total, float(world.population.in_window)),
    }


def _elasticity(world: World, truth: FloatArray) -> dict[str, float]:
    """SPEC's metrics, as means over the services."""
    samples = truth.shape[1]
    per_minute = max(round(60 / world.recorder.interval_s), 1)
    each = [
        elasticity(
            world.recorder.counts[i, :samples, 1].astype(np.float64),
            np.maximum(truth[i, :, T["needed"]], spec.min_instances),
            per_minute,
        )
        for i, spec in enumerate(world.specs)
    ]
    return {name: math.fsum(one[name] for one in each) / len(each) for name in NAMES}


def _decision(world: World) -> dict[str, Any]:
    actions = [row for row in world.recorder.decisions if row["kind"] == "action"]
    done = [row for row in actions if row["accepted_s"] == row["accepted_s"]]
    emergency = [row for row in done if row["reason"] == Reason.EMERGENCY.value]
    by_reason: dict[str, int] = {}
    for row in actions:
        by_reason[row["reason"]] = by_reason.get(row["reason"], 0) + 1
    return {
        "steps": world.recorder.steps,
        "cycles": len(world.recorder.compute_s),
        "actions": len(done),
        "flaps": flaps(done),
        "by_reason": dict(sorted(by_reason.items())),
        "trigger_to_execution_s": percentiles([r["accepted_s"] - r["trigger_s"] for r in done]),
        "emergency_s": {
            "count": len(emergency),
            **percentiles([row["accepted_s"] - row["trigger_s"] for row in emergency]),
        },
    }


def _prediction(world: World, samples: int) -> dict[str, Any]:
    """Accuracy of the forecasts by horizon: mean over the services of WAPE, coverage and pinball.

    A forecast for a time is compared with the mean arrival rate of the minute around it; pinball
    loss (Koenker & Bassett 1978) is the mean over the quantiles 0.1, 0.5 and 0.9, relative to the
    mean rate.
    """
    step_s = world.recorder.interval_s
    half = max(round(30 / step_s), 1)
    arrived = world.platform.truth[:, :samples, T["arrived"]] / step_s
    total = np.concatenate((np.zeros((len(arrived), 1)), np.cumsum(arrived, axis=1)), axis=1)
    figures: dict[str, Any] = {}
    for horizon_s in sorted({issued.horizon_s for issued in world.recorder.issued}):
        scores = []
        for service in range(len(world.specs)):
            rows = [
                (round((f.due_s - world.start_s) / step_s), f.q10, f.q50, f.q90)
                for f in world.recorder.issued
                if f.service == service and f.horizon_s == horizon_s
            ]
            due = np.array([row[0] for row in rows])
            inside = (due >= half) & (due + half <= samples)
            if not inside.any():
                continue
            due = due[inside]
            quantiles = np.array([row[1:] for row in rows])[inside]
            actual = (total[service, due + half] - total[service, due - half]) / (2 * half)
            scores.append(_scores(actual, quantiles))
        if scores:
            wape, coverage, pinball = np.mean(scores, axis=0)
            figures[f"{horizon_s:.0f}"] = {
                "wape": float(wape),
                "coverage_80": float(coverage),
                "pinball": float(pinball),
            }
    return figures


def _scores(actual: FloatArray, quantiles: FloatArray) -> tuple[float, float, float]:
    q10, q50, q90 = quantiles.T
    wape = float(np.abs(actual - q50).sum() / max(actual.sum(), 1e-9))
    coverage = float(np.mean((actual >= q10) & (actual <= q90)))
    losses = [
        np.mean(np.maximum(level * (actual - q), (level - 1.0) * (actual - q)))
        for level, q in ((0.1, q10), (0.5, q50), (0.9, q90))
    ]
    pinball = float(np.mean(losses) / max(actual.mean(), 1e-9))
    return (wape, coverage, pinball) if math.isfinite(pinball) else (wape, coverage, 0.0)
