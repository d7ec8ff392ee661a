"""The rows of `decisions.parquet`: one for each recommendation and action, with its outcome."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from engine.model import (
    Action,
    ActionResult,
    Observation,
    Plan,
    Quantity,
    Recommendation,
    Status,
)
from engine.record.schema.tables import DECISIONS

Row = dict[str, Any]
ACTION, WARM = "action", "warm"
"""Kinds of rows: a step of a service, and a change of what is held warm of it, which is none."""
_ENCODER = json.JSONEncoder(sort_keys=True)


class Decisions:
    """The rows so far; an action has one, whose outcome is brought up to date."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._actions: dict[str, Row] = {}

    def note(self, now_s: float, observation: Observation, plan: Plan) -> None:
        """Note what `plan`, made at `now_s` (epoch seconds), decided."""
        for row in rows_of(now_s, observation, plan):
            self.put(row)

    def put(self, row: Row) -> None:
        """Add a row that `rows_of` made."""
        if row["kind"] in (ACTION, WARM):
            asked = self._actions.get(row["decision_id"])
            if asked is not None:
                # An approved action is the one that was asked about: one row, with both times.
                asked["outcome"] = row["outcome"]
                asked["to_instances"] = row["to_instances"]
                return
            self._actions[row["decision_id"]] = row
        self.rows.append(row)

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
            if math.isnan(row["accepted_s"]):
                # An infrastructure that is done at once says nothing of taking it.
                row["accepted_s"] = result.time_s

    def table(self) -> pd.DataFrame:
        """All rows."""
        return DECISIONS.rows(self.rows)


def rows_of(now_s: float, observation: Observation, plan: Plan) -> Iterator[Row]:
    """The rows of a plan made at `now_s` (epoch seconds), in the order in which they are noted."""
    if plan.taken or plan.declined:
        desired = {s.spec.name: s.desired for s in observation.services}
        for recommendation in plan.taken:
            yield _recommendation(now_s, recommendation, desired, "taken", why="")
        for declined in plan.declined:
            yield _recommendation(
                now_s, declined.recommendation, desired, "declined", why=declined.why
            )
    for action in plan.actions:
        yield _action(now_s, action, "requested")
    for action in plan.awaiting:
        yield _action(now_s, action, "awaiting")
    for action in plan.dry:
        yield _action(now_s, action, "dry_run")


def _recommendation(
    now_s: float,
    recommendation: Recommendation,
    desired: Mapping[str, int],
    outcome: str,
    *,
    why: str,
) -> Row:
    return {
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


def _action(now_s: float, action: Action, outcome: str) -> Row:
    return {
        "time_s": now_s,
        "kind": WARM if action.quantity is Quantity.WARM else ACTION,
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


def _json(evidence: Mapping[str, float]) -> str:
    rounded = {k: round(v, 6) if math.isfinite(v) else None for k, v in evidence.items()}
    return _ENCODER.encode(rounded)
