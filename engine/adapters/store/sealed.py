"""A store whose memory, status and history are sealed; what people ask for stays readable.

Decisions and memories hold what was measured of each service; a request holds a service and a
count.  What was kept before the store was sealed is read as it is, and sealed when it is next
written.
"""

from __future__ import annotations

from collections.abc import Collection
from contextlib import closing
from dataclasses import replace
from pathlib import Path

from engine.adapters.cabinet_files import sealer_of
from engine.adapters.store.sqlite import local_desk
from engine.config.recurrence import Recurrence
from engine.model import Approval
from engine.ports.desk import Asked, Desk, KeptRow, Kind, Request
from engine.ports.lease import Fence
from engine.ports.store import Kept, Requests, RowKind, Store
from engine.security.sealing import ARMOUR, Sealer, SealError, key_of

MEMORY, STATUS, HISTORY = "memory", "status", "history"
PAGE = 1000
"""Rows that are looked at together."""


class SealedStore:
    """`engine.ports.store.Store` around another one."""

    def __init__(self, inner: Store, sealer: Sealer) -> None:
        self._inner = inner
        self._sealer = sealer

    async def newest(self) -> Fence:
        """The newest fence."""
        return await self._inner.newest()

    async def requests(self, now_s: float) -> Requests:
        """All that holds at `now_s`."""
        return await self._inner.requests(now_s)

    async def memory(self) -> str:
        """The memory's text; raises OSError where it cannot be opened."""
        return _opened(self._sealer, await self._inner.memory(), MEMORY)

    async def keep(self, kept: Kept, fence: Fence) -> None:
        """Keep it, sealed."""
        seal = self._sealer.seal_text
        rows = tuple([replace(row, content=seal(row.content, HISTORY)) for row in kept.rows])
        memory = None if kept.memory is None else seal(kept.memory, MEMORY)
        await self._inner.keep(replace(kept, memory=memory, rows=rows), fence)

    async def put_memory_aside(self, fence: Fence) -> str:
        """Move the memory into the history, as it is."""
        return await self._inner.put_memory_aside(fence)

    async def show_status(self, text: str, fence: Fence) -> None:
        """Show a status to whoever has the key."""
        await self._inner.show_status(self._sealer.seal_text(text, STATUS), fence)

    async def close(self) -> None:
        """Let go of it."""
        await self._inner.close()


class SealedDesk:
    """`engine.ports.desk.Desk` around the one of a sealed store."""

    def __init__(self, inner: Desk, sealer: Sealer) -> None:
        self._inner = inner
        self._sealer = sealer

    def ask(self, request: Request, schedule: Recurrence | None = None) -> str:
        """Let a request stand."""
        return self._inner.ask(request, schedule)

    def withdraw(self, kind: Kind, service: str) -> bool:
        """Take requests back."""
        return self._inner.withdraw(kind, service)

    def answer(self, approval: Approval) -> None:
        """Answer a question."""
        self._inner.answer(approval)

    def asked(self) -> tuple[list[Asked], list[str]]:
        """All that stands."""
        return self._inner.asked()

    def status(self) -> str:
        """What was shown last."""
        return _opened(self._sealer, self._inner.status(), STATUS)

    def history(
        self, after: int = 0, limit: int = 100, kinds: Collection[RowKind] = ()
    ) -> list[KeptRow]:
        """Rows beyond a position, opened."""
        return [self._row(kept) for kept in self._inner.history(after, limit, kinds)]

    def row(self, kind: RowKind, id: str) -> KeptRow | None:  # noqa: A002 (as the port has it)
        """The row with a key, opened."""
        kept = self._inner.row(kind, id)
        return None if kept is None else self._row(kept)

    def close(self) -> None:
        """Let go of it."""
        self._inner.close()

    def _row(self, kept: KeptRow) -> KeptRow:
        context = MEMORY if kept.row.kind is RowKind.MEMORY else HISTORY
        content = _opened(self._sealer, kept.row.content, context)
        return replace(kept, row=replace(kept.row, content=content))


def desk_of(state: Path) -> Desk:
    """Where the engine of a state folder is asked, opened if its owner has his keys at hand.

    Raises OSError, SealError.
    """
    sealer = sealer_of(state)
    desk = local_desk(state)
    return desk if sealer is None else SealedDesk(desk, sealer)


def rows_under(state: Path, key_id: str) -> int:
    """How many rows of the history are sealed under an owner's key; raises OSError."""
    count, after = 0, 0
    with closing(local_desk(state)) as desk:
        while rows := desk.history(after, PAGE):
            after = rows[-1].position
            texts = [kept.row.content for kept in rows if kept.row.content.startswith(ARMOUR)]
            count += sum(key_of(text) == key_id for text in texts)
    return count


def _opened(sealer: Sealer, text: str, context: str) -> str:
    """The text, opened if it is sealed; raises OSError where that cannot be."""
    if not text.startswith(ARMOUR):
        return text
    try:
        return sealer.open_text(text, context)
    except SealError as error:
        raise OSError(0, str(error), context) from None
