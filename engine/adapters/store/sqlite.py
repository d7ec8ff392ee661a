"""The store of one host: an SQLite file in the state folder.

A write counts once it is on the disk (`synchronous=FULL`), and those that wait at the same time
go there in one transaction, each undone by itself if it fails.  One thread does all writing of a
process; other processes, such as the command line, take turns with it.  Readers read what they need
and end, so that the journal (WAL) can be emptied and stays small.

What SQLite raises becomes an OSError that names the file.
"""

from __future__ import annotations

import asyncio
import errno
import queue
import sqlite3
import threading
import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Generic, TypeVar

from engine.adapters.blocking import BlockingCalls
from engine.adapters.store import released, statements
from engine.adapters.store.schema import NewerStoreError, Transaction, is_current, migrate
from engine.config.recurrence import Recurrence
from engine.model import Approval
from engine.ports.desk import Asked, KeptRow, Kind, Request
from engine.ports.lease import Fence
from engine.ports.store import Kept, Requests, RowKind

FILE = "store.db"
"""Of the store, in the state folder."""

WAL_BYTES = 8 << 20
"""The journal is emptied when it has grown beyond this."""

BUSY_S = 2.0
"""Longest that another process is waited for."""

TOGETHER = 256
"""Most writes in one transaction."""

_Result = TypeVar("_Result")

_ERRNO = {
    sqlite3.SQLITE_FULL: errno.ENOSPC,
    sqlite3.SQLITE_BUSY: errno.EBUSY,
    sqlite3.SQLITE_READONLY: errno.EROFS,
    sqlite3.SQLITE_CANTOPEN: errno.ENOENT,
}


class _Statements:
    """`Transaction`, of SQLite."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._connection.execute(statement, values).fetchall()


class _Change(Generic[_Result]):
    """A write that waits for its turn."""

    def __init__(self, make: Callable[[Transaction], _Result]) -> None:
        self.done: Future[_Result] = Future()
        self._make = make
        self._made: list[_Result] = []

    def make(self, transaction: Transaction) -> None:
        self._made = [self._make(transaction)]

    def succeed(self) -> None:
        self.done.set_result(self._made[0])


class SqliteFile:
    """The file in the folder `state`; both halves of the store may share one of these."""

    def __init__(self, state: Path, *, busy_s: float = BUSY_S) -> None:
        self.path = state / FILE
        self._busy_s = busy_s
        self._reader = _Connection(self.path, busy_s)
        self._reading = threading.Lock()
        self._waiting: queue.SimpleQueue[_Change[Any] | None] = queue.SimpleQueue()
        self._starting = threading.Lock()
        self._writer: threading.Thread | None = None

    def write(self, make: Callable[[Transaction], _Result]) -> Future[_Result]:
        """Let `make` write; done when that is on the disk, or with what went wrong."""
        change = _Change(make)
        with self._starting:
            if self._writer is None:
                # A daemon: a disk that never answers must not keep the process from ending.
                self._writer = threading.Thread(target=self._work, name="store", daemon=True)
                self._writer.start()
            self._waiting.put(change)
        return change.done

    def read(self, look: Callable[[Transaction], _Result]) -> _Result:
        """What `look` sees, at one moment; raises OSError."""
        with self._reading, _named(self.path):
            if not self.path.exists() and not released.is_there(self.path.parent):
                return _empty(look)  # whoever only looks leaves nothing behind
            connection = self._reader.get()
            connection.execute("BEGIN")
            try:
                return look(_Statements(connection))
            finally:
                connection.execute("COMMIT")

    def close(self) -> None:
        """Let go of the file, after what waits to be written."""
        with self._starting:
            writer, self._writer = self._writer, None
            if writer is not None:
                self._waiting.put(None)
        if writer is not None:
            writer.join()
        with self._reading:
            self._reader.close()

    # --- the thread that writes

    def _work(self) -> None:
        connection = _Connection(self.path, self._busy_s)
        while (change := self._waiting.get()) is not None:
            changes, over = [change], False
            while len(changes) < TOGETHER and not self._waiting.empty():
                following = self._waiting.get()
                if following is None:
                    over = True
                    break
                changes.append(following)
            self._commit(connection, changes)
            if over:
                break
        connection.close()

    def _commit(self, file: _Connection, changes: list[_Change[Any]]) -> None:
        """Make all of them last together; if that cannot be, each by itself."""
        failed: dict[int, BaseException] = {}
        try:
            with _named(self.path):
                connection = file.get()
                connection.execute("BEGIN IMMEDIATE")
                try:
                    for number, change in enumerate(changes):
                        if (error := _made(connection, change)) is not None:
                            failed[number] = error
                    connection.execute("COMMIT")
                except BaseException:
                    if connection.in_transaction:
                        connection.execute("ROLLBACK")
                    raise
        except BaseException as error:
            if len(changes) > 1:
                for change in changes:
                    self._commit(file, [change])
            else:
                changes[0].done.set_exception(error)
            return
        for number, change in enumerate(changes):
            if number in failed:
                change.done.set_exception(failed[number])
            else:
                change.succeed()
        file.empty_journal()


class _Connection:
    """A connection that is made when it is needed, and anew when the file is another one."""

    def __init__(self, path: Path, busy_s: float) -> None:
        self._path = path
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None

    def get(self) -> sqlite3.Connection:
        """The connection; raises sqlite3.Error, OSError."""
        if self._connection is not None and self._there() != self._file:
            self.close()  # the folder was taken away: what is written there would be lost
        if self._connection is None:
            connection = sqlite3.connect(
                self._path, timeout=self._busy_s, isolation_level=None, check_same_thread=False
            )
            try:
                _prepare(connection, self._path.parent)
            except BaseException:
                connection.close()
                raise
            self._connection, self._file = connection, self._there()
        return self._connection

    def empty_journal(self) -> None:
        """Write the journal into the tables, if it has grown and nobody reads."""
        journal = self._path.with_name(f"{self._path.name}-wal")
        try:
            if journal.stat().st_size > WAL_BYTES and self._connection is not None:
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except (OSError, sqlite3.Error):
            return  # what was written is safe; the next write tries again

    def close(self) -> None:
        """Let go of it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _there(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


class SqliteStore:
    """`engine.ports.store.Store`, in an SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self.file = file
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
        """Let go of the file."""
        await self._calls.call(self.file.close)

    async def _look(self, look: Callable[[Transaction], _Result]) -> _Result:
        return await self._calls.call(lambda: self.file.read(look))

    async def _change(self, make: Callable[[Transaction], _Result]) -> _Result:
        # Shielded: a write that is under way cannot be taken back.
        return await asyncio.shield(asyncio.wrap_future(self.file.write(make)))


class SqliteDesk:
    """`engine.ports.desk.Desk`, in an SQLite file."""

    def __init__(self, file: SqliteFile) -> None:
        self.file = file

    def ask(self, request: Request, schedule: Recurrence | None = None) -> str:
        """Let a request stand."""
        now_s = time.time()
        return self.file.write(lambda to: statements.ask(to, request, schedule, now_s)).result()

    def withdraw(self, kind: Kind, service: str) -> bool:
        """Take requests back."""
        return self.file.write(lambda to: statements.withdraw(to, kind, service)).result()

    def answer(self, approval: Approval) -> None:
        """Answer a question."""
        self.file.write(lambda to: statements.answer(to, approval)).result()

    def asked(self) -> tuple[list[Asked], list[str]]:
        """All that stands; an answer that cannot be read is a complaint as well."""
        return self.file.read(statements.asked)

    def status(self) -> str:
        """What was shown last."""
        return self.file.read(statements.shown)

    def history(
        self, after: int = 0, limit: int = 100, kinds: Collection[RowKind] = ()
    ) -> list[KeptRow]:
        """Rows beyond a position."""
        return self.file.read(lambda at: statements.history(at, after, limit, kinds))

    def row(self, kind: RowKind, id: str) -> KeptRow | None:  # noqa: A002 (as the port has it)
        """The row with a key."""
        return self.file.read(lambda at: statements.row(at, kind, id))

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


def local_desk(state: Path) -> SqliteDesk:
    """Where the engine of a state folder is asked."""
    return SqliteDesk(SqliteFile(state))


def _made(connection: sqlite3.Connection, change: _Change[Any]) -> BaseException | None:
    """Make one change within the transaction; what went wrong, and is undone.

    Raises sqlite3.Error if the whole transaction is undone by it.
    """
    connection.execute("SAVEPOINT one")
    try:
        change.make(_Statements(connection))
    except Exception as error:
        if isinstance(error, sqlite3.Error) or not connection.in_transaction:
            raise
        connection.execute("ROLLBACK TO one")
        connection.execute("RELEASE one")
        return error
    connection.execute("RELEASE one")
    return None


def _prepare(connection: sqlite3.Connection, state: Path) -> None:
    _log_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    at = _Statements(connection)
    if _is_current(at):
        return  # whoever reads need not wait for whoever writes
    connection.execute("BEGIN IMMEDIATE")
    try:
        if is_new := migrate(at):
            released.carry_over(state, at)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    if is_new:
        released.put_aside(state)


def _is_current(transaction: Transaction) -> bool:
    tables = transaction.execute("SELECT 1 FROM sqlite_schema WHERE name = 'schema_version'")
    return bool(tables) and is_current(transaction)


def _log_ahead(connection: sqlite3.Connection) -> None:
    """Have a journal of the new instead of the old; it stays so for whoever opens the file."""
    until_s = time.monotonic() + BUSY_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            # Two that make the same new file: SQLite does not wait for this by itself.
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until_s:
                raise
            time.sleep(0.01)


def _empty(look: Callable[[Transaction], _Result]) -> _Result:
    with closing(sqlite3.connect(":memory:")) as connection:
        at = _Statements(connection)
        migrate(at)
        return look(at)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """What SQLite raises inside, as an OSError about the file."""
    try:
        yield
    except NewerStoreError as error:
        raise OSError(errno.EPROTONOSUPPORT, str(error), str(path)) from None
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        reason = str(error)
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            reason = f"{reason}; put the file aside to begin with an empty store"
        raise OSError(_ERRNO.get(code, errno.EIO), reason, str(path)) from error
