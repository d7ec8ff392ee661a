"""Figures of `summary.json` that are worked out the same way in every world, and its limits."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator

from engine.config.strict import Strict
from engine.model import Controller, FloatArray, Reason
from engine.settings import EngineSettings

SCHEMA = 1
COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
    "==": operator.eq,
}
THRESHOLD = re.compile(r"^\s*([A-Za-z_][\w.-]*)\s*(<=|>=|==|<|>)\s*([-+.\deE]+)\s*$")


class ThresholdConfig(Strict):
    """A limit on one figure of the summary."""

    metric: str
    operator: Literal["<=", ">=", "==", "<", ">"]
    limit: float

    @model_validator(mode="before")
    @classmethod
    def _from_text(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        match = THRESHOLD.match(value)
        if match is None:
            raise ValueError('give a path, an operator and a figure: "slo.availability >= 0.9999"')
        metric, operator, limit = match.groups()
        return {"metric": metric, "operator": operator, "limit": limit}


FLAP_S = 600.0
"""Two steps of one service against each other within this time are a flap."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A forecast as it was issued, times in epoch seconds, rates in 1/s."""

    service: int
    horizon_s: float
    due_s: float
    q10: float
    q50: float
    q90: float


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


def decision_figures(rows: Sequence[Mapping[str, Any]], steps: int, cycles: int) -> dict[str, Any]:
    """How often and how fast was decided; `rows` are those of `decisions.parquet`."""
    actions = [row for row in rows if row["kind"] == "action"]
    done = [row for row in actions if row["accepted_s"] == row["accepted_s"]]
    emergency = [row for row in done if row["reason"] == Reason.EMERGENCY.value]
    by_reason: dict[str, int] = {}
    for row in actions:
        by_reason[row["reason"]] = by_reason.get(row["reason"], 0) + 1
    return {
        "steps": steps,
        "cycles": cycles,
        "actions": len(done),
        "flaps": flaps(done),
        "by_reason": dict(sorted(by_reason.items())),
        "trigger_to_execution_s": percentiles([r["accepted_s"] - r["trigger_s"] for r in done]),
        "emergency_s": {
            "count": len(emergency),
            **percentiles([row["accepted_s"] - row["trigger_s"] for row in emergency]),
        },
    }


def forecaster_figures(controller: Controller, settings: EngineSettings) -> dict[str, Any]:
    """What the engine forecast with: the schedule alone, or also what was learned.

    `refused` says why the model that was asked for is not used; empty where that is not so.
    """
    learned = getattr(controller, "blend", None) is not None
    refused = str(getattr(controller, "refused", ""))
    return {
        "kind": "learned" if learned else "schedule",
        "artefact": settings.forecast.artefact if learned or refused else None,
        "refused": refused,
    }


def prediction_figures(
    issued: Sequence[Issued],
    rates: FloatArray,
    start_s: float,
    step_s: float,
    known: NDArray[np.bool_] | None = None,
) -> dict[str, Any]:
    """Accuracy of the forecasts by horizon: mean over the services of WAPE, coverage and pinball.

    `rates` (services, samples) are the arrivals per second, `step_s` apart from `start_s` on;
    where `known` (services, samples) is false they are not.  A forecast for a time is compared
    with the mean arrival rate of the minute around it; pinball loss (Koenker & Bassett 1978) is the
    mean over the quantiles 0.1, 0.5 and 0.9, relative to the mean rate.
    """
    half = max(round(30 / step_s), 1)
    samples = rates.shape[1]
    total = np.concatenate((np.zeros((len(rates), 1)), np.cumsum(rates, axis=1)), axis=1)
    holes = None if known is None else np.cumsum(np.pad(~known, ((0, 0), (1, 0))), axis=1)
    figures: dict[str, Any] = {}
    for horizon_s in sorted({forecast.horizon_s for forecast in issued}):
        scores = []
        for service in range(len(rates)):
            rows = [
                (round((f.due_s - start_s) / step_s), f.q10, f.q50, f.q90)
                for f in issued
                if f.service == service and f.horizon_s == horizon_s
            ]
            due = np.array([row[0] for row in rows], dtype=np.intp)
            inside = (due >= half) & (due + half <= samples)
            if holes is not None and inside.any():
                at = np.where(inside, due, half)
                inside &= holes[service, at + half] == holes[service, at - half]
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


def flaps(actions: Sequence[Mapping[str, Any]]) -> int:
    """How often a service was stepped one way and, within `FLAP_S`, back again.

    `actions` in the order of time, each with `service`, `time_s`, `from_instances`, `to_instances`.
    """
    last: dict[str, tuple[float, bool]] = {}
    found = 0
    for action in actions:
        up = action["to_instances"] > action["from_instances"]
        before = last.get(action["service"])
        if before is not None and before[1] != up and action["time_s"] - before[0] <= FLAP_S:
            found += 1
        last[action["service"]] = (action["time_s"], up)
    return found


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
