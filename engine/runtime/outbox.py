"""Rows that are to last and do not yet: kept with the next write that the store takes.

An intent and a result bring along what the audit log says of them.

While it takes none they wait here, the newest of them, and so does how long that has been: a *gap*,
which is a row itself.  Whoever reads the history then knows of what time it may say too little.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from engine.model import Action, ActionResult
from engine.ports.notifier import Alert
from engine.ports.store import HistoryRow, RowKind
from engine.security.audit import noting
from engine.security.audit.rows import AuditEntry

MOST = 10_000
"""Rows that may wait; the oldest go first, and are counted."""


class Outbox:
    """What waits, in its order."""

    def __init__(self) -> None:
        self._waiting: dict[tuple[RowKind, str], Callable[[], HistoryRow]] = {}
        self._lost = 0
        self._gap_s = math.inf
        """Since when the store takes nothing."""
        self._why = ""
        self._sent: list[str] = []
        self._left_out: list[str] = []

    def __len__(self) -> int:
        return len(self._waiting) + (self._gap_s < math.inf)

    def decided(self, actions: Sequence[Action], doing: str) -> None:
        """Actions of a plan: `doing` is "acts", "asks" or "would"."""
        for action in actions:
            self._add(
                RowKind.DECISION, action.decision_id, action.decided_s,
                partial(_decision, action, doing),
            )  # fmt: skip

    def intend(self, actions: Sequence[Action], now_s: float) -> None:
        """Commands that are about to be given."""
        for action in actions:
            self._add(
                RowKind.INTENT, action.decision_id, now_s, partial(_intent, action),
                audit=partial(noting.decided, action, now_s),
            )  # fmt: skip

    def result(self, result: ActionResult) -> None:
        """What became of a command."""
        name = f"{result.decision_id}/{result.status}/{result.time_s:.3f}"
        self._add(
            RowKind.RESULT,
            name,
            result.time_s,
            partial(_plain, result),
            audit=partial(noting.became, result),
        )

    def alert(self, alert: Alert) -> None:
        """A trouble that began, changed or ended."""
        detail = hashlib.sha256(alert.detail.encode()).hexdigest()[:12]
        name = f"{alert.source}/{alert.state}/{alert.time_s:.3f}/{detail}"
        self._add(RowKind.ALERT, name, alert.time_s, partial(_plain, alert))

    def noted(self, kind: RowKind, name: str, time_s: float, content: Mapping[str, Any]) -> None:
        """Something else that is to last."""
        self._add(kind, name, time_s, lambda: dict(content))

    def rows(self, now_s: float) -> tuple[HistoryRow, ...]:
        """All that waits; first the gap that ends if they are kept."""
        rows = [make() for make in self._waiting.values()]
        if self._gap_s < math.inf:
            content = {
                "from_s": self._gap_s, "to_s": now_s, "why": self._why, "lost_rows": self._lost,
                "sent": self._sent, "left_out": self._left_out,
            }  # fmt: skip
            name = f"{self._gap_s:.3f}-{now_s:.3f}"
            rows.insert(0, HistoryRow(RowKind.GAP, name, now_s, json.dumps(content)))
        return tuple(rows)

    def kept(self, rows: Sequence[HistoryRow]) -> None:
        """The store has taken them."""
        for row in rows:
            self._waiting.pop((row.kind, row.id), None)
        self._gap_s, self._why, self._lost = math.inf, "", 0
        self._sent, self._left_out = [], []

    def not_kept(self, now_s: float, why: str) -> None:
        """The store has taken nothing."""
        if self._gap_s == math.inf:
            self._gap_s, self._why = now_s, why

    def without_intent(self, sent: Sequence[Action], left_out: Sequence[Action]) -> None:
        """What was done although it could not be kept beforehand, and what was not, therefore."""
        for action in left_out:
            self._waiting.pop((RowKind.INTENT, action.decision_id), None)
        self._sent = [*self._sent, *(action.decision_id for action in sent)][-MOST:]
        self._left_out = [*self._left_out, *(a.decision_id for a in left_out)][-MOST:]

    def _add(
        self,
        kind: RowKind,
        name: str,
        time_s: float,
        content: Callable[[], dict[str, Any]],
        *,
        audit: Callable[[], AuditEntry] | None = None,
    ) -> None:
        # Its text is made when it is kept: in simulated time nobody keeps it.
        self._waiting[kind, name] = lambda: HistoryRow(
            kind, name, time_s, json.dumps(content(), allow_nan=False, default=str),
            "" if audit is None else noting.staged(audit()),
        )  # fmt: skip
        if len(self._waiting) > MOST:
            del self._waiting[next(iter(self._waiting))]
            self._lost += 1


def _decision(action: Action, doing: str) -> dict[str, Any]:
    return {**_plain(action), "doing": doing}


def _intent(action: Action) -> dict[str, Any]:
    return {
        "service": action.service,
        "from_instances": action.from_instances,
        "to_instances": action.to_instances,
    }


def _plain(value: Any) -> Any:
    """The same as dicts, lists and figures; null where JSON has no word for a figure."""
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        return {field.name: _plain(getattr(value, field.name)) for field in fields}
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value
