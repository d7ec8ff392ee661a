"""Figures of `summary.json` that are worked out the same way in every world."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.model import Controller, FloatArray, Reason
from engine.record.schema.summary import (
    CountedPercentiles,
    Decision,
    Percentiles,
    Prediction,
    Stages,
    UsedForecaster,
)
from engine.settings import EngineSettings

REVERSAL_S = 1800.0
"""A step of a service against its last one within this time is a reversal."""
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


def percentiles(values: Sequence[float]) -> Percentiles:
    """p50, p95, p99 and max; None for each without values."""
    if len(values) == 0:
        return Percentiles(p50=None, p95=None, p99=None, max=None)
    p50, p95, p99 = np.percentile(np.asarray(values), (50, 95, 99))
    return Percentiles(p50=float(p50), p95=float(p95), p99=float(p99), max=float(max(values)))


def counted(values: Sequence[float]) -> CountedPercentiles:
    """The same, and how many there are."""
    return CountedPercentiles(count=len(values), **dict(percentiles(values)))


def decision_figures(
    rows: Sequence[Mapping[str, Any]],
    steps: int,
    compute_s: Sequence[float],
    stages: Stages | None = None,
) -> Decision:
    """How often and how fast was decided.

    `rows` are those of `decisions.parquet`, `compute_s` the wall seconds of each full cycle.
    """
    actions = [row for row in rows if row["kind"] == "action"]
    done = carried_out(rows)
    emergency = [row for row in done if row["reason"] == Reason.EMERGENCY.value]
    by_reason: dict[str, int] = {}
    for row in actions:
        by_reason[row["reason"]] = by_reason.get(row["reason"], 0) + 1
    return Decision(
        steps=steps,
        cycles=len(compute_s),
        actions=len(done),
        flaps=flaps(done),
        reversals=sum(reversals(done).values()),
        by_reason=dict(sorted(by_reason.items())),
        trigger_to_execution_s=percentiles([r["accepted_s"] - r["trigger_s"] for r in done]),
        emergency_s=counted([row["accepted_s"] - row["trigger_s"] for row in emergency]),
        compute_s=percentiles(compute_s),
        stages=stages,
    )


def forecaster_figures(controller: Controller, settings: EngineSettings) -> UsedForecaster:
    """What the engine forecast with: the schedule alone, or also what was learned."""
    learned = getattr(controller, "blend", None) is not None
    refused = str(getattr(controller, "refused", ""))
    return UsedForecaster(
        kind="learned" if learned else "schedule",
        artefact=settings.forecast.artefact if learned or refused else None,
        refused=refused,
    )


def horizons(controller: Controller) -> tuple[str, ...]:
    """The horizons that a controller says it forecasts (its `horizons_s`), as in the summary."""
    return tuple(f"{horizon_s:.0f}" for horizon_s in getattr(controller, "horizons_s", ()))


def prediction_figures(
    issued: Sequence[Issued],
    rates: FloatArray,
    start_s: float,
    step_s: float,
    *,
    measured: NDArray[np.bool_] | None = None,
) -> dict[str, Prediction]:
    """Accuracy of the forecasts by horizon: mean over the services of WAPE, coverage and pinball.

    `rates` (services, samples) are the arrivals per second, `step_s` apart from `start_s` on;
    where `measured` (services, samples) is false they are not.  A forecast for a time is compared
    with the mean arrival rate of the minute around it; pinball loss (Koenker & Bassett 1978) is the
    mean over the quantiles 0.1, 0.5 and 0.9, relative to the mean rate.
    """
    half = max(round(30 / step_s), 1)
    samples = rates.shape[1]
    total = np.concatenate((np.zeros((len(rates), 1)), np.cumsum(rates, axis=1)), axis=1)
    holes = None if measured is None else np.cumsum(np.pad(~measured, ((0, 0), (1, 0))), axis=1)
    figures: dict[str, Prediction] = {}
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
            figures[f"{horizon_s:.0f}"] = Prediction(
                wape=float(wape), coverage_80=float(coverage), pinball=float(pinball)
            )
    return figures


def carried_out(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The actions among the rows of `decisions.parquet` that were accepted."""
    return [
        row for row in rows if row["kind"] == "action" and row["accepted_s"] == row["accepted_s"]
    ]


def reversals(actions: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How often each service was stepped against its last step within `REVERSAL_S`.

    Services without any are left out; `actions` as for `flaps`.
    """
    return _turns(actions, REVERSAL_S)


def flaps(actions: Sequence[Mapping[str, Any]]) -> int:
    """How often a service was stepped one way and, within `FLAP_S`, back again.

    `actions` in the order of time, each with `service`, `time_s`, `from_instances`, `to_instances`.
    """
    return sum(_turns(actions, FLAP_S).values())


def _turns(actions: Sequence[Mapping[str, Any]], within_s: float) -> dict[str, int]:
    last: dict[str, tuple[float, bool]] = {}
    counts: dict[str, int] = {}
    for action in actions:
        name, up = action["service"], action["to_instances"] > action["from_instances"]
        before = last.get(name)
        if before is not None and before[1] != up and action["time_s"] - before[0] <= within_s:
            counts[name] = counts.get(name, 0) + 1
        last[name] = (action["time_s"], up)
    return counts


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
