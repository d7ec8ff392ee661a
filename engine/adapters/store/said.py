"""Who has said what so far of an action that waits for approval: the first of two waits in here.

Engines that share a database share it, so two who approve at two of them have both been heard.
"""

from __future__ import annotations

import json

from engine.adapters.store.letters import PLAIN, Letters, of_said, readable
from engine.adapters.store.schema import Transaction
from engine.model import Approval
from engine.ports.desk import RequestError, SoFar, check_decision

KEPT_S = 7 * 86_400.0
"""A question of which nobody has spoken for so long has long been over."""


def so_far(
    transaction: Transaction, decision_id: str, now_s: float, letters: Letters = PLAIN
) -> SoFar:
    """What was said of it; raises OSError where that cannot be read, so that nothing passes."""
    rows = transaction.execute(
        "SELECT content FROM said WHERE decision_id = ? AND at_s > ?", decision_id, now_s - KEPT_S
    )
    if not rows:
        return SoFar()
    context = of_said(decision_id)
    text = readable(letters, str(rows[0][0]), context)
    try:
        raw = json.loads(text)
        return SoFar(tuple(map(str, raw["approved_by"])), str(raw["rejected_by"]))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise OSError(0, f"it cannot be read ({error})", context) from None


def add(
    transaction: Transaction,
    approval: Approval,
    seen: SoFar | None,
    now_s: float,
    *,
    letters: Letters = PLAIN,
) -> None:
    """Add what somebody says; of a refusal the first counts.

    Raises RequestError where something else was said so far than he had `seen` (None: whatever it
    is), and OSError where that cannot be read; then nothing is added.
    """
    decision_id, name = approval.decision_id, approval.approver
    check_decision(decision_id)
    transaction.execute("DELETE FROM said WHERE at_s <= ?", now_s - KEPT_S)
    before = so_far(transaction, decision_id, now_s, letters)
    if seen is not None and seen != before:
        raise RequestError(f"{decision_id}: somebody else has answered meanwhile; look at it again")
    by, rejected = before.approved_by, before.rejected_by
    if approval.approved and name not in by:
        by = (*by, name)
    if not approval.approved:
        rejected = rejected or name
    text = json.dumps({"approved_by": by, "rejected_by": rejected})
    transaction.execute(
        "INSERT INTO said (decision_id, at_s, content) VALUES (?, ?, ?) ON CONFLICT (decision_id) "
        "DO UPDATE SET at_s = excluded.at_s, content = excluded.content",
        decision_id, now_s, letters.closed(text, of_said(decision_id)),
    )  # fmt: skip
