"""The newest decisions, numbered, for pages that do not shift while new ones come."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.model import ActionResult, Status

Row = Mapping[str, Any]


class DecisionBook:
    """Rows by number, the newest `most` of them; from any thread.

    A row is a frozen value: what becomes of an action is a new row in the place of the old one.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._rows: OrderedDict[int, Row] = OrderedDict()
        self._actions: dict[str, int] = {}
        self._next = 1
        self._lock = threading.Lock()

    def add(self, rows: Sequence[Row]) -> list[Row]:
        """Add rows; returns them numbered.  An action that was asked about takes its question's."""
        numbered: list[Row] = []
        with self._lock:
            for row in rows:
                number = self._actions.get(row["decision_id"]) if row["decision_id"] else None
                if number is None:
                    number, self._next = self._next, self._next + 1
                    if row["decision_id"]:
                        self._actions[row["decision_id"]] = number
                new = {"number": number, **row}
                self._rows[number] = new
                numbered.append(new)
            while len(self._rows) > self._most:
                _, gone = self._rows.popitem(last=False)
                self._actions.pop(gone["decision_id"], None)
        return numbered

    def result(self, result: ActionResult) -> Row | None:
        """The row of an action with what became of it; None if it is none of these."""
        with self._lock:
            number = self._actions.get(result.decision_id)
            if number is None:
                return None
            row = dict(self._rows[number])
            row["outcome"] = result.status.value
            at_s = round(result.time_s, 3)
            if result.status is Status.FAILED:
                row["why"] = result.detail
            elif result.status is Status.ACCEPTED:
                row |= {"accepted_s": at_s, "why": ""}
            else:
                row |= {"completed_s": at_s, "accepted_s": row["accepted_s"] or at_s}
            self._rows[number] = row
            return row

    def action(self, decision_id: str) -> Row | None:
        """The row of an action, None if it is none of these."""
        with self._lock:
            number = self._actions.get(decision_id)
            return None if number is None else self._rows[number]

    def oldest_action(self) -> str | None:
        """The id of the oldest action that it has."""
        with self._lock:
            return next(
                (row["decision_id"] for row in self._rows.values() if row["decision_id"]), None
            )

    def page(
        self, below: int | None, most: int, wanted: Callable[[Row], bool]
    ) -> tuple[list[Row], int | None]:
        """The newest rows whose number is less than `below`, and where the next page begins."""
        with self._lock:
            rows = list(reversed(self._rows.values()))
        chosen: list[Row] = []
        for row in rows:
            if (below is None or row["number"] < below) and wanted(row):
                if len(chosen) == most:
                    return chosen, chosen[-1]["number"]
                chosen.append(row)
        return chosen, None
