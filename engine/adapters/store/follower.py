"""Hands over what other engines append to the history of a store, each row once, in its order.

Only one transaction appends at a time, and gives its rows the next positions while it does: so
whoever has seen a position has seen all before it, and a position is all that has to be remembered.
It begins with the newest.  A hint (`Database.hints`) makes it look at once, and it looks every few
seconds without one: a row may be late, and none is lost by a connection that breaks, by a hint that
does not arrive, or by a store that is down for an hour.  What this process appended itself it
leaves out.

The history is never pruned.  If it is an older one all the same, as after a backup was put back,
its newest position is less than the one remembered, and it begins with the newest again.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace

import structlog

from engine.adapters.store import letters as contexts
from engine.adapters.store import statements
from engine.adapters.store.database import Database
from engine.adapters.store.letters import PLAIN, Letters, PlainLetters, readable
from engine.adapters.store.schema import Transaction
from engine.ports.desk import KeptRow
from engine.ports.store import RowKind

TOGETHER = 500
"""Rows that are read at once."""
POLL_S = 5.0
"""Without a hint it looks so often."""
END_S = 10.0
"""Longest that it is waited for at the end."""
KINDS = (RowKind.DECISION, RowKind.INTENT, RowKind.RESULT, RowKind.ALERT)
"""What is handed over."""

log = structlog.stdlib.get_logger(__name__)


class Follower:
    """Follows the history of `database`, whose texts lie in it as `letters` say."""

    def __init__(
        self, database: Database, take: Callable[[KeptRow], None], letters: Letters = PLAIN
    ) -> None:
        self.position: int | None = None
        """That of the last row that was handed over or left out; None before the first look."""
        self._own = database.own
        self._database = database.apart()
        self._take = take
        self._letters = letters
        self._over = threading.Event()
        self._late = False

    def catch_up(self) -> int:
        """Hand over all that is there; returns how many rows.

        Raises OSError, and goes on from there when it is called again.
        """
        handed = 0
        while True:
            newest, rows = self._database.read(self._newer)
            for kept in rows:
                handed += self._hand_over(kept)
            if len(rows) < TOGETHER:
                self.position = newest
                return handed

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Follow it in a thread until the block ends."""
        thread = threading.Thread(target=self._follow, name="history", daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(END_S)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _follow(self) -> None:
        hints = self._database.hints()
        try:
            while not self._over.is_set():
                try:
                    self.catch_up()
                except OSError as error:
                    if not self._late:
                        log.warning(f"what other engines do is shown late: {error.strerror}")
                    self._late = True
                else:
                    self._late = False
                hints.wait(POLL_S, self._over)
        finally:
            hints.close()
            self.close()

    def _newer(self, at: Transaction) -> tuple[int, list[KeptRow]]:
        """The newest position, and the rows beyond the one remembered, both of one moment."""
        [(last,)] = at.execute("SELECT COALESCE(MAX(position), 0) FROM history")
        newest = int(last)
        if self.position is None or newest < self.position:
            self.position = newest
        return newest, statements.history(at, self.position, TOGETHER, KINDS, letters=_SEALED)

    def _hand_over(self, kept: KeptRow) -> int:
        self.position = kept.position
        if (kept.row.kind.value, kept.row.id) in self._own:
            return 0
        try:
            content = readable(
                self._letters, kept.row.content, contexts.of_history(kept.row.kind.value)
            )
            self._take(replace(kept, row=replace(kept.row, content=content)))
        except Exception as error:  # one row that makes no sense must not hold up those after it
            log.warning(f"the row {kept.position} of the history is not shown: {error}")
        return 1


class _AsTheyLie(PlainLetters):
    """A row that cannot be opened is that row's trouble, and not that of all that are read."""

    def opened(self, text: str, context: str) -> str:  # noqa: ARG002 (as the protocol has it)
        return text


_SEALED = _AsTheyLie()
