"""The store of one host: an SQLite file in the state folder.

A write counts once it is on the disk (`synchronous=FULL`), and those that wait at the same time
go there in one transaction, each undone by itself if it fails.  One thread does all writing of a
process; other processes, such as the command line, take turns with it.  Readers read what they need
and end, so that the journal (WAL) can be emptied and stays small.

What SQLite raises becomes an OSError that names the file.
"""

from __future__ import annotations

import errno
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from engine.adapters.store import released
from engine.adapters.store.database import Database
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.schema import NewerStoreError, Transaction, is_current, migrate

FILE = "store.db"
"""Of the store, in the state folder."""

WAL_BYTES = 8 << 20
"""The journal is emptied when it has grown beyond this."""

BUSY_S = 2.0
"""Longest that another process is waited for."""

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

    def appended(self, position: int) -> None:
        """A file wakes nobody: who follows it looks now and then."""


class SqliteFile(Database):
    """The file in the folder `state`; both halves of the store may share one of these."""

    def __init__(self, state: Path, *, busy_s: float | None = None) -> None:
        """Waits for another process for `busy_s`, or `BUSY_S`."""
        self.path = state / FILE
        self.name = str(self.path)
        self._busy_s = BUSY_S if busy_s is None else busy_s
        super().__init__(lambda: _Connection(self.path, self._busy_s))
        self._reader = _Connection(self.path, self._busy_s)
        self._reading = threading.Lock()

    def apart(self) -> SqliteFile:
        """The same file over connections of its own."""
        return SqliteFile(self.path.parent, busy_s=self._busy_s)

    def version(self) -> tuple[int, int] | None:
        """As SQLite counts the commits that a connection sees; None while somebody reads."""
        if not self._reading.acquire(blocking=False):
            return None
        try:
            return self._reader.version()
        finally:
            self._reading.release()

    def read(self, look: Callable[[Transaction], _Result]) -> _Result:
        """What `look` sees, at one moment; raises OSError."""
        with self._reading, self._reader.named():
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
        super().close()
        with self._reading:
            self._reader.close()


class _Connection:
    """`Link`, which is made anew also when the file is another one."""

    failures = sqlite3.Error
    is_broken = False
    """A file is there or not."""

    def __init__(self, path: Path, busy_s: float) -> None:
        self._path = path
        self._busy_s = busy_s
        self._connection: sqlite3.Connection | None = None
        self._connections = 0
        """That were made so far: each counts commits by itself."""
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
            self._connections += 1
        return self._connection

    def version(self) -> tuple[int, int] | None:
        """The connection, and what it sees of commits (PRAGMA data_version); None without one."""
        if self._connection is None or self._there() != self._file:
            return None
        try:
            row = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        return self._connections, int(row[0])

    def begin(self) -> Transaction:
        """Begin, when nobody else writes."""
        connection = self.get()
        connection.execute("BEGIN IMMEDIATE")
        return _Statements(connection)

    @property
    def in_transaction(self) -> bool:
        """Whether one is open."""
        return self._connection is not None and self._connection.in_transaction

    @contextmanager
    def named(self) -> Iterator[None]:
        """What SQLite raises inside, as an OSError about the file."""
        try:
            yield
        except NewerStoreError as error:
            raise OSError(errno.EPROTONOSUPPORT, str(error), str(self._path)) from None
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            reason = str(error)
            if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                reason = f"{reason}; put the file aside to begin with an empty store"
            raise OSError(_ERRNO.get(code, errno.EIO), reason, str(self._path)) from error

    def tidy(self) -> None:
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


def local_desk(state: Path) -> SqlDesk:
    """Where the engine of a state folder is asked."""
    return SqlDesk(SqliteFile(state))


def _prepare(connection: sqlite3.Connection, state: Path) -> None:
    _log_ahead(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(f"PRAGMA journal_size_limit={WAL_BYTES}")
    # What is sealed anew, or taken back, must not stay in the file as it was before.
    connection.execute("PRAGMA secure_delete=ON")
    # What a savepoint needs to be undone is soon too large for SQLite to keep it in memory unasked.
    connection.execute("PRAGMA temp_store=MEMORY")
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
