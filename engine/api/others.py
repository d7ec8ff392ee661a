"""What other engines on the same store do, shown as if this one had done it.

A client may be connected to any engine's API.  What the others decide, what became of it and which
troubles they have comes out of the history (`Follower`) into this engine's events and newest
decisions, in the shape of its own, and with `lead`: the fence, or the shard's epoch, under which it
was written.  Samples, findings and requests are each engine's own: it reads them itself.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from typing import Any

from engine.adapters.store.database import Database
from engine.adapters.store.follower import Follower
from engine.adapters.store.letters import Letters
from engine.adapters.store.sqlite import SqliteFile
from engine.api import older
from engine.api.board import Board
from engine.api.events import PLATFORM, EventKind
from engine.model import ActionResult, Status
from engine.ports.desk import KeptRow
from engine.ports.store import RowKind


def following(
    database: Database, board: Board, letters: Letters
) -> contextlib.AbstractContextManager[None]:
    """Show on `board` what other engines on `database` do until the block ends.

    A file is the store of one engine at a time, so there are no others.
    """
    if isinstance(database, SqliteFile):
        return contextlib.nullcontext()
    return Follower(database, Others(board).take, letters).running()


class Others:
    """Puts rows of other engines onto a board."""

    def __init__(self, board: Board) -> None:
        self._board = board

    def take(self, kept: KeptRow) -> None:
        """Show one row; raises KeyError, TypeError, ValueError for one that makes no sense."""
        content = json.loads(kept.row.content)
        match kept.row.kind:
            case RowKind.DECISION:
                self._decision(kept, content)
            case RowKind.INTENT:
                self._intent(kept)
            case RowKind.RESULT:
                self._result(kept, content)
            case RowKind.ALERT:
                self._alert(kept, content)

    def _decision(self, kept: KeptRow, content: Mapping[str, Any]) -> None:
        if self._board.decisions.action(kept.row.id) is not None:
            return
        decided = dict(older.document(kept, ()))
        del decided["number"]
        [row] = self._board.decisions.add([decided])
        if row["outcome"] == "awaiting":
            asked = {**row, "scale_id": content.get("scale_id", "")}
            self._publish(kept, EventKind.APPROVAL, row["service"], asked)
        else:
            self._publish(kept, EventKind.DECISION, row["service"], row)

    def _intent(self, kept: KeptRow) -> None:
        """What was asked about is done: its decision is in the history once, as the question."""
        asked = self._board.decisions.action(kept.row.id)
        if asked is not None and asked["outcome"] == "awaiting":
            [row] = self._board.decisions.add([{**asked, "outcome": "requested"}])
            self._publish(kept, EventKind.DECISION, row["service"], row)

    def _result(self, kept: KeptRow, content: Mapping[str, Any]) -> None:
        result = ActionResult(
            content["decision_id"], Status(content["status"]), content["time_s"],
            content["detail"], content.get("sent", True),
        )  # fmt: skip
        if not self._board.first_heard(result):
            return
        row = self._board.decisions.result(result)
        if row is not None:
            self._publish(kept, EventKind.RESULT, row["service"], row)

    def _alert(self, kept: KeptRow, content: Mapping[str, Any]) -> None:
        source = str(content["source"])
        event = {
            "at_s": content["time_s"], "kind": f"trouble_{content['state']}", "name": source,
            "what": source, "detail": content["detail"],
        }  # fmt: skip
        service = source if source in self._board.specs else PLATFORM
        self._publish(kept, EventKind.TROUBLE, service, event)

    def _publish(
        self, kept: KeptRow, kind: EventKind, service: str, content: Mapping[str, Any]
    ) -> None:
        self._board.events.publish(kind, service, {**content, "lead": int(kept.fence)})
