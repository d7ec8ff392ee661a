"""Two people for what takes two: who has approved a waiting action so far, and what it is.

The engine is told one answer, so the first of two approvals waits in the store until the second
comes, which is given to the engine in the transaction that remembers who gave it.
"""

from __future__ import annotations

import json

from engine.model import Approval
from engine.ports.cabinet import Cabinet, CabinetError
from engine.ports.desk import Desk, SoFar, check_decision
from engine.ports.store import RowKind
from engine.security.roles import PlatformState, Situation

DOCUMENT = "approvals.json"
"""Where earlier releases kept it: of each engine by itself, in its state folder."""


class Approvals:
    """Who has said what so far: at the desk, so that all engines of a store know it."""

    def __init__(self, desk: Desk, cabinet: Cabinet) -> None:
        """`cabinet` may have a document of an earlier release, which is carried over once."""
        self._desk = desk
        self._cabinet = cabinet

    def so_far(self, decision_id: str) -> SoFar:
        """What was said of it; raises OSError, CabinetError."""
        self._carry_over()
        return self._desk.so_far(decision_id)

    def give(self, answer: Approval, *, complete: bool, seen: SoFar, audit: str) -> None:
        """Give an answer of somebody who had `seen` what was said so far, all of it or nothing.

        Where it is not `complete`, somebody else has to approve as well.  Raises RequestError where
        somebody else has answered since, as it may be complete now; and OSError, CabinetError.
        """
        self._carry_over()
        self._desk.answer(answer, seen=seen, complete=complete, audit=audit)

    def _carry_over(self) -> None:
        """Say again at the desk what an earlier release kept; killed in the middle, once more."""
        text = self._cabinet.read(DOCUMENT)
        if not text:
            return
        for answer in _parsed(text):
            # What is complete the desk was told by whoever completed it.
            self._desk.answer(answer, complete=False)
        self._cabinet.change(DOCUMENT, lambda now: "" if now == text else now)


def question(desk: Desk, decision_id: str, so_far: SoFar) -> tuple[str, Situation]:
    """The service of a decision, and what matters of it for an answer.

    What nobody can say of it counts as the riskier: a decision that is not in the store takes
    instances away on the day of a wedding.  Raises OSError.
    """
    kept = desk.row(RowKind.DECISION, decision_id)
    if kept is None:
        return decision_id, Situation(
            PlatformState.WEDDING_DAY, scale_in=True,
            approved_by=so_far.approved_by, rejected_by=so_far.rejected_by,
        )  # fmt: skip
    action = json.loads(kept.row.content)
    asked = desk.row(RowKind.SCALE, action["scale_id"]) if action.get("scale_id") else None
    is_major = (action["weddings"]["major_events"] or 0.0) > 0.0
    return str(action["service"]), Situation(
        PlatformState.WEDDING_DAY if is_major else PlatformState.CALM,
        scale_in=action["to_instances"] < action["from_instances"],
        asked_by="" if asked is None else str(json.loads(asked.row.content)["requested_by"]),
        approved_by=so_far.approved_by,
        rejected_by=so_far.rejected_by,
    )


def _parsed(text: str) -> list[Approval]:
    """Each answer in a document that an earlier release wrote; raises CabinetError."""
    try:
        book = json.loads(text)
        for decision_id in book:
            check_decision(decision_id)
        return [
            Approval(str(decision_id), approved, float(one["at_s"]), str(name))
            for decision_id, one in book.items()
            for approved, names in ((True, one["by"]), (False, [one["rejected_by"]]))
            for name in names
            if name
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CabinetError(f"{DOCUMENT}: cannot be read ({error})") from None
