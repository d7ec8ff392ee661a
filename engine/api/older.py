"""Decisions that are older than those that the API remembers: read from the store's history.

The store has the actions and what became of them; recommendations that came to nothing are among
the newest alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.model import Quantity, Status
from engine.ports.desk import Desk, KeptRow
from engine.ports.store import RowKind
from engine.record.decisions import ACTION, WARM

Row = Mapping[str, Any]

PIECE = 200
"""Rows that are read together; results follow their decision within so many."""

MOST_PIECES = 10
"""Read for one page; one that then has fewer rows than it may goes on with the next."""

KINDS = (RowKind.DECISION, RowKind.RESULT)
OUTCOMES = {"acts": "requested", "asks": "awaiting", "would": "dry_run"}


def page(
    desk: Desk, below: int | None, most: int, wanted: Callable[[Row], bool]
) -> tuple[list[Row], int | None]:
    """The newest actions below a position (None: the end), and where the next page begins.

    Raises OSError.
    """
    results: dict[str, list[Row]] = {}
    if below is not None:
        _note(results, desk.history(below - 1, PIECE, (RowKind.RESULT,)))
    chosen: list[Row] = []
    for _ in range(MOST_PIECES):
        rows = desk.history_back(below, PIECE, KINDS)
        for kept in rows:
            below = kept.position
            if kept.row.kind is RowKind.RESULT:
                _note(results, (kept,))
                continue
            row = document(kept, results.get(kept.row.id, ()))
            if wanted(row):
                if len(chosen) == most:
                    return chosen, below + 1
                chosen.append(row)
        if len(rows) < PIECE:
            return chosen, None
    return chosen, below


def one(desk: Desk, decision_id: str) -> Row | None:
    """The action with this id, if there is one; raises OSError."""
    kept = desk.row(RowKind.DECISION, decision_id)
    if kept is None:
        return None
    results: dict[str, list[Row]] = {}
    _note(results, desk.history(kept.position, PIECE, (RowKind.RESULT,)))
    return document(kept, results.get(decision_id, ()))


def asked(desk: Desk, decision_ids: Iterable[str]) -> list[Row]:
    """Those of these actions that were asked about; raises OSError."""
    rows: list[Row] = []
    for decision_id in decision_ids:
        kept = desk.row(RowKind.DECISION, decision_id)
        if kept is not None:
            scale_id = json.loads(kept.row.content).get("scale_id", "")
            rows.append({**document(kept, ()), "scale_id": scale_id})
    return rows


def position_of(desk: Desk, decision_id: str) -> int | None:
    """Where an action is in the history; None if it is not there.  Raises OSError."""
    kept = desk.row(RowKind.DECISION, decision_id)
    return None if kept is None else kept.position


def _note(results: dict[str, list[Row]], rows: Iterable[KeptRow]) -> None:
    for kept in rows:
        result = json.loads(kept.row.content)
        results.setdefault(result["decision_id"], []).append(result)


def document(kept: KeptRow, results: Iterable[Row]) -> Row:
    """The row of a decision, with what became of it by `results` (contents of result rows)."""
    action = json.loads(kept.row.content)
    decided_s = action["decided_s"]
    row: dict[str, Any] = {
        "number": None,
        "time_s": round(decided_s, 3),
        "kind": WARM if action.get("quantity") == Quantity.WARM else ACTION,
        "decision_id": kept.row.id,
        "service": action["service"],
        "from_instances": action["from_instances"],
        "to_instances": action["to_instances"],
        "reason": action["reason"],
        "category": action["category"],
        "outcome": OUTCOMES[action["doing"]],
        "why": "",
        "confidence": action["confidence"],
        "cost_per_hour": action["cost_per_hour"],
        "rollback_to": action["rollback"]["target"],
        "trigger_s": action["trigger_s"],
        "accepted_s": None,
        "completed_s": None,
        "weddings": action["weddings"]["events"],
        "major_weddings": action["weddings"]["major_events"],
        "evidence": action["evidence"],
        "explanation": action["explanation"],
    }
    for result in sorted(results, key=lambda result: float(result["time_s"])):
        row["outcome"], at_s = result["status"], round(result["time_s"], 3)
        match result["status"]:
            case Status.FAILED:
                row["why"] = result["detail"]
            case Status.ACCEPTED:
                row |= {"accepted_s": at_s, "why": ""}
            case _:
                row |= {"completed_s": at_s, "accepted_s": row["accepted_s"] or at_s}
    return row
