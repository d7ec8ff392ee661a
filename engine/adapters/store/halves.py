"""Both halves of the store over a database, whichever it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from typing import TypeVar

from engine.adapters.blocking import BlockingCalls
from engine.adapters.store import statements
from engine.adapters.store.database import Database
from engine.adapters.store.schema import Transaction
from engine.config.recurrence import Recurrence
from engine.model import Approval
from engine.ports.desk import Asked, KeptRow, Kind, Request
from engine.ports.lease import Fence
from engine.ports.store import Kept, Requests, RowKind

_Result = TypeVar("_Result")


class SqlStore:
    """`engine.ports.store.Store`, over a database."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._calls = BlockingCalls("store")

    async def newest(self) -> Fence:
        """The newest fence."""
        return await self._look(statements.newest)

    async def requests(self, now_s: float) -> Requests:
        """All that holds at `now_s`; what cannot be read is a complaint."""
        return await self._look(lambda transaction: statements.requests(transaction, now_s))

    async def memory(self) -> str:
        """The memory's text, "" without one."""
        return await self._look(statements.memory)

    async def keep(self, kept: Kept, fence: Fence) -> None:
        """Keep it, on the disk when this returns; raises FencedOffError, OSError."""
        await self._change(lambda transaction: statements.keep(transaction, kept, fence))

    async def put_memory_aside(self, fence: Fence) -> str:
        """Move the memory into the history."""
        now_s = time.time()
        return await self._change(
            lambda transaction: statements.put_memory_aside(transaction, fence, now_s)
        )

    async def show_status(self, text: str, fence: Fence) -> None:
        """Show a status."""
        await self._change(lambda transaction: statements.show(transaction, text, fence))

    async def close(self) -> None:
        """Let go of the database."""
        await self._calls.call(self.database.close)

    async def _look(self, look: Callable[[Transaction], _Result]) -> _Result:
        return await self._calls.call(lambda: self.database.read(look))

    async def _change(self, make: Callable[[Transaction], _Result]) -> _Result:
        # Shielded: a write that is under way cannot be taken back.
        return await asyncio.shield(asyncio.wrap_future(self.database.write(make)))


class SqlDesk:
    """`engine.ports.desk.Desk`, over a database."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def ask(self, request: Request, schedule: Recurrence | None = None) -> str:
        """Let a request stand."""
        now_s = time.time()
        return self.database.write(lambda to: statements.ask(to, request, schedule, now_s)).result()

    def withdraw(self, kind: Kind, service: str) -> bool:
        """Take requests back."""
        return self.database.write(lambda to: statements.withdraw(to, kind, service)).result()

    def answer(self, approval: Approval) -> None:
        """Answer a question."""
        self.database.write(lambda to: statements.answer(to, approval)).result()

    def asked(self) -> tuple[list[Asked], list[str]]:
        """All that stands; an answer that cannot be read is a complaint as well."""
        return self.database.read(statements.asked)

    def status(self) -> str:
        """What was shown last."""
        return self.database.read(statements.shown)

    def history(
        self, after: int = 0, limit: int = 100, kinds: Collection[RowKind] = ()
    ) -> list[KeptRow]:
        """Rows beyond a position."""
        return self.database.read(lambda at: statements.history(at, after, limit, kinds))

    def row(self, kind: RowKind, id: str) -> KeptRow | None:  # noqa: A002 (as the port has it)
        """The row with a key."""
        return self.database.read(lambda at: statements.row(at, kind, id))

    def close(self) -> None:
        """Let go of the database."""
        self.database.close()
