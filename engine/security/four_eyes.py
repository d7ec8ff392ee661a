"""Two people for what takes two: who has approved a waiting action so far, and what it is.

The desk takes one answer, so the first of two approvals is kept here until the second comes.  What
completes an answer is given to the desk before it is noted here, so that it can be said again where
the store did not take it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.ports.cabinet import Cabinet, CabinetError
from engine.ports.desk import Desk, RequestError
from engine.ports.store import RowKind
from engine.security.roles import PlatformState, Situation

DOCUMENT = "approvals.json"
KEPT_S = 7 * 86_400.0
"""A question that has waited for so long has long been over."""


@dataclass(frozen=True, slots=True)
class SoFar:
    """Who has approved something so far, and who has refused it, "" if nobody has."""

    approved_by: tuple[str, ...] = ()
    rejected_by: str = ""


class Approvals:
    """Who has said what so far, in a cabinet."""

    def __init__(self, cabinet: Cabinet) -> None:
        self._cabinet = cabinet

    def so_far(self, decision_id: str) -> SoFar:
        """What was said of it; raises OSError, CabinetError."""
        return _of(_parsed(self._cabinet.read(DOCUMENT)), decision_id)

    def give(
        self,
        decision_id: str,
        name: str,
        *,
        approved: bool,
        seen: SoFar,
        now_s: float,
        complete: Callable[[], None] | None,
    ) -> None:
        """Give an answer of somebody who had `seen` what was said so far.

        `complete` puts it on the desk, None: somebody else has to approve as well.  Raises
        RequestError where somebody else has answered since, as it may be complete now; and OSError,
        CabinetError, and whatever `complete` raises, and has then noted nothing.
        """
        if complete is None:
            self.add(decision_id, name, approved=approved, now_s=now_s, seen=seen)
            return
        _check_seen(decision_id, self.so_far(decision_id), seen)
        complete()
        self.add(decision_id, name, approved=approved, now_s=now_s)

    def add(
        self, decision_id: str, name: str, *, approved: bool, now_s: float,
        seen: SoFar | None = None,
    ) -> None:  # fmt: skip
        """Add what somebody says; of a refusal the first counts.  Raises OSError, CabinetError.

        With `seen` also RequestError where something else was said so far.
        """

        def edit(text: str) -> str:
            book = {key: one for key, one in _parsed(text).items() if now_s < one["at_s"] + KEPT_S}
            before = _of(book, decision_id)
            if seen is not None:
                _check_seen(decision_id, before, seen)
            by = before.approved_by
            if approved and name not in by:
                by = (*by, name)
            rejected = before.rejected_by or ("" if approved else name)
            book[decision_id] = {"at_s": now_s, "by": by, "rejected_by": rejected}
            return json.dumps(book) + "\n"

        self._cabinet.change(DOCUMENT, edit)


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


def _check_seen(decision_id: str, before: SoFar, seen: SoFar) -> None:
    if before != seen:
        raise RequestError(f"{decision_id}: somebody else has answered meanwhile; look at it again")


def _of(book: Mapping[str, Any], decision_id: str) -> SoFar:
    one = book.get(decision_id, {"by": (), "rejected_by": ""})
    return SoFar(tuple(map(str, one["by"])), str(one["rejected_by"]))


def _parsed(text: str) -> dict[str, Any]:
    try:
        book = json.loads(text or "{}")
        for name, one in book.items():
            float(one["at_s"]), _of(book, name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CabinetError(f"{DOCUMENT}: cannot be read ({error})") from None
    return dict(book)
