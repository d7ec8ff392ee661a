"""Both halves of the store over a database, whichever it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from engine.adapters.blocking import BlockingCalls
from engine.adapters.store import said, staging, statements
from engine.adapters.store.database import Database
from engine.adapters.store.letters import PLAIN, Letters
from engine.adapters.store.schema import Transaction
from engine.config.recurrence import Recurrence
from engine.model import Approval
from engine.ports.desk import Asked, KeptRow, Kind, Request, SoFar
from engine.ports.lease import Fence
from engine.ports.store import Kept, Requests, RowKind, StagedRow

_Result = TypeVar("_Result")


class SqlStore:
    """`engine.ports.store.Store`, over a database.

    `letters` say how texts lie in it, and `log` is the audit log that rows are staged for: one of
    several where engines with logs of their own share the database.
    """

    def __init__(self, database: Database, letters: Letters = PLAIN, log: str = "") -> None:
        self.database = database
        self._letters = letters
        self._log = log
        self._calls = BlockingCalls("store")

    async def newest(self) -> Fence:
        """The newest fence."""
        return await self._look(statements.newest)

    async def requests(self, now_s: float) -> Requests:
        """All that holds at `now_s`; what cannot be read is a complaint."""
        return await self._look(lambda at: statements.requests(at, now_s, self._letters))

    async def memory(self) -> str:
        """The memory's text, "" without one; raises OSError where it cannot be opened."""
        return await self._look(lambda at: statements.memory(at, self._letters))

    async def keep(self, kept: Kept, fence: Fence) -> None:
        """Keep it, on the disk when this returns; raises FencedOffError, OSError."""
        self._note_own(kept)
        await self._change(
            lambda to: statements.keep(to, kept, fence, self._letters, log=self._log)
        )

    async def put_memory_aside(self, fence: Fence) -> str:
        """Move the memory into the history."""
        now_s = time.time()
        return await self._change(lambda to: statements.put_memory_aside(to, fence, now_s))

    async def show_status(self, text: str, fence: Fence) -> None:
        """Show a status."""
        await self._change(lambda to: statements.show(to, text, fence, self._letters))

    async def close(self) -> None:
        """Let go of the database."""
        await self._calls.call(self.database.close)

    def _note_own(self, kept: Kept) -> None:
        """Before others can see them, these rows are known as this process's own."""
        for row in kept.rows:
            self.database.own.add(row.kind.value, row.id)

    async def _look(self, look: Callable[[Transaction], _Result]) -> _Result:
        return await self._calls.call(lambda: self.database.read(look))

    async def _change(self, make: Callable[[Transaction], _Result]) -> _Result:
        # Shielded: a write that is under way cannot be taken back.
        return await asyncio.shield(asyncio.wrap_future(self.database.write(make)))


class SqlDesk:
    """`engine.ports.desk.Desk` and `engine.ports.store.Staged`, over a database; as `SqlStore`."""

    def __init__(self, database: Database, letters: Letters = PLAIN, log: str = "") -> None:
        self.database = database
        self._letters = letters
        self._log = log

    def ask(self, request: Request, schedule: Recurrence | None = None, *, audit: str = "") -> str:
        """Let a request stand."""
        return self.ask_together([(Asked(request, schedule), audit)])[0]

    def ask_together(self, asked: Sequence[tuple[Asked, str]]) -> list[str]:
        """Let all of them stand or none."""
        now_s = time.time()

        def make(to: Transaction) -> list[str]:
            return [
                statements.ask(
                    to,
                    one.request,
                    one.schedule,
                    now_s,
                    letters=self._letters,
                    log=self._log,
                    audit=audit,
                )
                for one, audit in asked
            ]

        return self.database.write(make).result()

    def withdraw(self, kind: Kind, service: str, *, audit: str = "") -> bool:
        """Take requests back."""
        return self.database.write(
            lambda to: statements.withdraw(
                to, kind, service, self._letters, log=self._log, audit=audit
            )
        ).result()

    def answer(
        self,
        approval: Approval,
        *,
        seen: SoFar | None = None,
        complete: bool = True,
        audit: str = "",
    ) -> None:
        """Answer a question, or be the first who approves it."""
        now_s = time.time()

        def make(to: Transaction) -> None:
            if complete:
                statements.answer(to, approval, self._letters, self._log, audit=audit)
            else:
                staging.stage(to, (audit,), self._letters, self._log)
            said.add(to, approval, seen, now_s, letters=self._letters)

        self.database.write(make).result()

    def so_far(self, decision_id: str) -> SoFar:
        """Who has said what of an action."""
        now_s = time.time()
        return self.database.read(lambda at: said.so_far(at, decision_id, now_s, self._letters))

    def asked(self) -> tuple[list[Asked], list[str]]:
        """All that stands; an answer that cannot be read is a complaint as well."""
        return self.database.read(lambda at: statements.asked(at, self._letters))

    def status(self) -> str:
        """What was shown last."""
        return self.database.read(lambda at: statements.shown(at, self._letters))

    def memory(self) -> str:
        """What the leader kept last."""
        return self.database.read(lambda at: statements.memory(at, self._letters))

    def history(
        self, after: int = 0, limit: int = 100, kinds: Collection[RowKind] = ()
    ) -> list[KeptRow]:
        """Rows beyond a position."""
        return self.database.read(
            lambda at: statements.history(at, after, limit, kinds, letters=self._letters)
        )

    def history_back(
        self, below: int | None = None, limit: int = 100, kinds: Collection[RowKind] = ()
    ) -> list[KeptRow]:
        """Rows below a position, the last first."""
        return self.database.read(
            lambda at: statements.history_back(at, below, limit, kinds, letters=self._letters)
        )

    def row(self, kind: RowKind, id: str) -> KeptRow | None:  # noqa: A002 (as the port has it)
        """The row with a key."""
        return self.database.read(lambda at: statements.row(at, kind, id, self._letters))

    def staged(self, limit: int = 100) -> list[StagedRow]:
        """The first rows that wait for the audit log."""
        return self.database.read(lambda at: staging.staged(at, limit, self._letters, self._log))

    def unstage(self, ids: Collection[str]) -> None:
        """Those are in the log."""
        self.database.write(lambda to: staging.unstage(to, ids)).result()

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
