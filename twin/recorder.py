"""Keeps what happened: every decision with its outcome, every count, every fault.

Appends to plain lists and preallocated arrays while the run goes on; the tables of the run record
are made of them once, at the end, by `twin.record`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.model import (
    Action,
    ActionResult,
    Observation,
    Plan,
    Recommendation,
    ServiceSpec,
    Status,
)
from twin.fleet import Fleet

FORECAST_SHOWN_S = 900.0
COUNTS = ("desired", "ready", "booting", "draining")


@dataclass(frozen=True, slots=True)
class Issued:
    """A forecast as it was issued, times in epoch seconds, rates in 1/s."""

    service: int
    horizon_s: float
    due_s: float
    q10: float
    q50: float
    q90: float


class Recorder:
    """The notes of one run."""

    def __init__(
        self, specs: Sequence[ServiceSpec], start_s: float, samples: int, interval_s: int
    ) -> None:
        self.start_s = start_s
        self.interval_s = interval_s
        self._index = {spec.name: i for i, spec in enumerate(specs)}
        services = len(specs)
        self.counts = np.zeros((services, samples, len(COUNTS)), np.int32)
        self.floors = np.zeros((services, samples), np.int32)
        self.forecast = np.full((services, samples, 3), np.nan)
        self.events: list[dict[str, Any]] = []
        self.decisions: list[dict[str, Any]] = []
        self.issued: list[Issued] = []
        self.fired: dict[str, int] = {}
        """How often each fault really did something."""
        self.steps = 0
        self.compute_s: list[float] = []
        """Wall seconds of each full cycle."""
        self._actions: dict[str, dict[str, Any]] = {}
        self._floors_now = np.zeros(services, np.int32)

    def count(self, at_s: float, fleets: Sequence[Fleet]) -> int:
        """Note the instances `at_s` seconds into the run; returns the sample's index."""
        k = round(at_s / self.interval_s) - 1
        self.counts[:, k] = [[f.desired, f.ready, f.booting, f.draining] for f in fleets]
        self.floors[:, k] = self._floors_now
        return k

    def step(
        self,
        at_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        fleets: Sequence[Fleet],
    ) -> None:
        """Note one step, `at_s` seconds into the run; counts are those before its actions.

        Times in the record are the world's, also where the engine's clock (`observation.now_s`)
        is wrong.
        """
        now_s = self.start_s + at_s
        if plan.floors:
            for name, floor in plan.floors.items():
                self._floors_now[self._index[name]] = floor
        self.count(at_s, fleets)
        self.steps += 1
        if plan.cycle:
            self.compute_s.append(compute_s)
        for issued in plan.forecasts:
            self._forecast(
                now_s, issued.service, issued.horizon_s, issued.q10, issued.q50, issued.q90
            )
        if plan.taken or plan.declined:
            desired = {s.spec.name: s.desired for s in observation.services}
            for recommendation in plan.taken:
                self._recommendation(now_s, recommendation, desired, "taken", "")
            for declined in plan.declined:
                self._recommendation(
                    now_s, declined.recommendation, desired, "declined", declined.why
                )
        for action in plan.actions:
            self._action(now_s, action, "requested")
        for action in plan.awaiting:
            self._action(now_s, action, "awaiting")
        for action in plan.dry:
            self._action(now_s, action, "dry_run")

    def result(self, result: ActionResult) -> None:
        """Note what became of an action; those of an engine that no longer leads are no decisions.

        A command that failed for its caller may be carried out after all, so the last word counts.
        """
        row = self._actions.get(result.decision_id)
        if row is None:
            return
        row["outcome"] = result.status.value
        if result.status is Status.ACCEPTED:
            row["accepted_s"] = result.time_s
            row["why"] = ""
        elif result.status is Status.FAILED:
            row["why"] = result.detail
        elif result.status is Status.COMPLETED:
            row["completed_s"] = result.time_s

    def event(self, at_s: float, kind: str, name: str, what: str, detail: str) -> None:
        """Note a fault or another event, `at_s` seconds into the run."""
        self.events.append(
            {
                "time_s": self.start_s + at_s,
                "kind": kind,
                "name": name,
                "what": what,
                "detail": detail,
            }
        )

    def fire(self, name: str, times: int = 1) -> None:
        """Note that fault `name` did what it is there for."""
        self.fired[name] = self.fired.get(name, 0) + times

    def _forecast(
        self, now_s: float, name: str, horizon_s: float, q10: float, q50: float, q90: float
    ) -> None:
        service = self._index[name]
        self.issued.append(Issued(service, horizon_s, now_s + horizon_s, q10, q50, q90))
        if horizon_s == FORECAST_SHOWN_S:
            k = round((now_s + horizon_s - self.start_s) / self.interval_s) - 1
            self.forecast[service, k : k + round(60 / self.interval_s)] = (q10, q50, q90)

    def _recommendation(
        self,
        now_s: float,
        recommendation: Recommendation,
        desired: dict[str, int],
        outcome: str,
        why: str,
    ) -> None:
        self.decisions.append(
            {
                "time_s": now_s,
                "kind": "recommendation",
                "decision_id": "",
                "service": recommendation.service,
                "from_instances": desired[recommendation.service],
                "to_instances": recommendation.target,
                "reason": recommendation.reason.value,
                "category": "",
                "outcome": outcome,
                "why": why,
                "confidence": recommendation.confidence,
                "cost_per_hour": math.nan,
                "rollback_to": -1,
                "trigger_s": recommendation.trigger_s,
                "accepted_s": math.nan,
                "completed_s": math.nan,
                "weddings": math.nan,
                "major_weddings": math.nan,
                "evidence": _json(recommendation.evidence),
                "explanation": "",
            }
        )

    def _action(self, now_s: float, action: Action, outcome: str) -> None:
        known = self._actions.get(action.decision_id)
        if known is not None:
            # An approved action is the one that was asked about: one row, with both times.
            known["outcome"] = outcome
            known["to_instances"] = action.to_instances
            return
        row = {
            "time_s": now_s,
            "kind": "action",
            "decision_id": action.decision_id,
            "service": action.service,
            "from_instances": action.from_instances,
            "to_instances": action.to_instances,
            "reason": action.reason.value,
            "category": action.category.value,
            "outcome": outcome,
            "why": "",
            "confidence": action.confidence,
            "cost_per_hour": action.cost_per_hour,
            "rollback_to": action.rollback.target,
            # A decision without a sample behind it was triggered by the engine's clock.
            "trigger_s": now_s if action.trigger_s == action.decided_s else action.trigger_s,
            "accepted_s": math.nan,
            "completed_s": math.nan,
            "weddings": action.weddings.events,
            "major_weddings": action.weddings.major_events,
            "evidence": _json(action.evidence),
            "explanation": action.explanation,
        }
        self._actions[action.decision_id] = row
        self.decisions.append(row)


def _json(evidence: Any) -> str:
    rounded = {k: round(v, 6) if math.isfinite(v) else None for k, v in evidence.items()}
    return json.dumps(rounded, sort_keys=True)
