"""The store of several engines: a PostgreSQL database (15 or newer) that they share.

The schema and the statements are those of the SQLite file.  One transaction writes at a time, by a
lock on a table that ends with it, so a pooler between may give each transaction another connection;
a transaction whose engine stands still in the middle of it ends after two seconds, and that engine
makes it again when it goes on.  A commit counts once it is on the server's disk
(`synchronous_commit=on`, whatever the server has otherwise).

What psycopg raises becomes an OSError that names the server, never the password.
"""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import psycopg
from psycopg import conninfo

from engine.adapters.blocking import BlockingCalls
from engine.adapters.store import leases
from engine.adapters.store.database import TRIES, Database
from engine.adapters.store.listening import CHANNEL, Notifications
from engine.adapters.store.schema import (
    FIRST_TABLE,
    NewerStoreError,
    Transaction,
    is_current,
    migrate,
)
from engine.ports.lease import NO_FENCE, Fence

CONNECT_S = 3
OPTIONS = (
    "-c synchronous_commit=on -c lock_timeout=3000 -c statement_timeout=8000 "
    "-c idle_in_transaction_session_timeout=2000"
)
PATIENCE: Mapping[str, int] = {
    "tcp_user_timeout": 10_000, "keepalives_idle": 5, "keepalives_interval": 2,
    "keepalives_count": 3,
}  # fmt: skip
"""A server that is out of reach, and takes and sends nothing, is given up after about ten seconds
instead of the kernel's quarter of an hour; what the address says goes before."""
BEGIN_TRIES = 5
"""For the first table: of two engines that make it at once one has to try again."""

MADE_BY_ANOTHER = (
    psycopg.errors.UniqueViolation, psycopg.errors.DuplicateTable, psycopg.errors.DuplicateObject,
)  # fmt: skip
"""What that one is told: of a row of the catalogue, of the table, or of the type of its rows."""

_Result = TypeVar("_Result")


class PostgresDatabase(Database):
    """The database that `url` (`postgresql://user:password@host:port/name`) says."""

    def __init__(self, url: str) -> None:
        """Raises ValueError for what is no address of a database."""
        if not url.startswith(("postgresql://", "postgres://")):
            raise ValueError("no address of a PostgreSQL database: postgresql://user@host/name")
        try:
            parts = conninfo.conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise ValueError(f"no address of a PostgreSQL database: {error}") from None
        where = f"{parts.get('host', 'the local socket')}:{parts.get('port', 5432)}"
        self.name = f"PostgreSQL at {where}/{parts.get('dbname', '')}"
        self._url = url
        super().__init__(self._connection)
        self._reader = self._connection()
        self._reading = threading.Lock()

    def apart(self) -> PostgresDatabase:
        """The same database over connections of its own."""
        return PostgresDatabase(self._url)

    def hints(self) -> Notifications:
        """Hints at what is appended, by whichever engine."""
        return Notifications(_patient(self._url), CONNECT_S)

    def read(self, look: Callable[[Transaction], _Result]) -> _Result:
        """What `look` sees, at one moment; raises OSError."""
        with self._reading, self._reader.named():
            for _ in range(TRIES - 1):
                try:
                    return self._seen(look)
                except psycopg.Error:
                    if not self._reader.is_broken:
                        raise
            return self._seen(look)

    def close(self) -> None:
        """Let go of it, after what waits to be written."""
        super().close()
        with self._reading:
            self._reader.close()

    def _seen(self, look: Callable[[Transaction], _Result]) -> _Result:
        transaction = self._reader.look()
        try:
            return look(transaction)
        finally:
            if self._reader.in_transaction:
                transaction.execute("COMMIT")

    def _connection(self) -> _Connection:
        return _Connection(self._url, self.name)


class PostgresLease:
    """`engine.ports.lease.Lease`, in the database, for the engine that people know as `holder`."""

    def __init__(self, database: Database, holder: str) -> None:
        self._database = database
        self._holder = holder
        self._calls = BlockingCalls("lease")

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        """Take the lead or keep it; raises NotLeadingError, OSError."""
        del now_s  # of several hosts' clocks the database's is the one that counts
        done = self._database.write(lambda to: leases.hold(to, self._holder, above))
        return await self._calls.call(done.result)

    async def release(self) -> None:
        """Let another engine lead at once."""
        done = self._database.write(lambda to: leases.release(to, self._holder))
        await self._calls.call(done.result)


class _Statements:
    """`Transaction`, of psycopg."""

    def __init__(self, connection: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._connection = connection

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        text = statement.replace("?", "%s").encode()
        cursor = self._connection.execute(text, values or None)
        return cursor.fetchall() if cursor.description is not None else []

    def appended(self, position: int) -> None:
        # Sent at the commit.  Never a content: it may be sealed, and is longer than may be sent.
        self.execute("SELECT pg_notify(?, ?)", CHANNEL, str(position))


class _Connection:
    """`Link`, which is made anew after it broke."""

    failures = psycopg.Error

    def __init__(self, url: str, name: str) -> None:
        self._url = url
        self._name = name
        self._address = _patient(url)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def begin(self) -> Transaction:
        """Begin, when nobody else writes."""
        statements = _Statements(self._get())
        try:
            _begin_to_write(statements)
        except psycopg.Error:
            if self.in_transaction:  # or the next one would be within it
                statements.execute("ROLLBACK")
            raise
        return statements

    def look(self) -> Transaction:
        """Begin to read, all as it is at one moment."""
        statements = _Statements(self._get())
        statements.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        return statements

    @property
    def is_broken(self) -> bool:
        """Whether the connection that there was has ended."""
        return self._connection is not None and (self._connection.closed or self._connection.broken)

    @property
    def in_transaction(self) -> bool:
        """Whether one is open."""
        idle = psycopg.pq.TransactionStatus.IDLE
        connection = self._connection
        return (
            connection is not None
            and not connection.closed
            and connection.info.transaction_status != idle
        )

    @contextmanager
    def named(self) -> Iterator[None]:
        """What psycopg raises inside, as an OSError about the server."""
        try:
            yield
        except NewerStoreError as error:
            raise OSError(errno.EPROTONOSUPPORT, str(error), self._name) from None
        except psycopg.Error as error:
            reason = "; ".join(str(error).strip().splitlines()) or type(error).__name__
            number = errno.EIO
            if isinstance(error, psycopg.errors.LockNotAvailable):
                number = errno.EBUSY
            if isinstance(error, psycopg.errors.InsufficientResources):
                number = errno.ENOSPC
            # Its words may repeat the address that it was given.
            for address in (self._url, self._address):
                reason = reason.replace(address, "(address)")
            raise OSError(number, reason, self._name) from None

    def tidy(self) -> None:
        """The server does it."""

    def close(self) -> None:
        """Let go of it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _get(self) -> psycopg.Connection[tuple[Any, ...]]:
        if self.is_broken:
            self.close()
        if self._connection is None:
            connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
                self._address, autocommit=True, connect_timeout=CONNECT_S, options=OPTIONS,
                # A pooler may know nothing of statements that another connection has prepared.
                prepare_threshold=None,
            )  # fmt: skip
            try:
                _prepare(_Statements(connection))
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection


def _patient(url: str) -> str:
    said = conninfo.conninfo_to_dict(url)
    others = {key: value for key, value in PATIENCE.items() if key not in said}
    return conninfo.make_conninfo(url, **others)


def _begin_to_write(statements: Transaction) -> None:
    statements.execute("BEGIN")
    statements.execute("LOCK TABLE schema_version IN EXCLUSIVE MODE")


def _prepare(statements: Transaction) -> None:
    there = statements.execute("SELECT to_regclass('schema_version') IS NOT NULL")
    if there == [(True,)] and is_current(statements):
        return
    for tries_left in reversed(range(BEGIN_TRIES)):
        try:
            statements.execute(FIRST_TABLE)
            break
        except MADE_BY_ANOTHER:
            if not tries_left:
                raise
    _begin_to_write(statements)
    migrate(statements)
    statements.execute("COMMIT")
