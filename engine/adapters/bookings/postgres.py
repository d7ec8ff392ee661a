"""Bookings in a PostgreSQL database: a query that is asked again and again, and at once on a hint.

    python -m engine serve bookings=postgres bookings.options.url=postgresql://reader@db/weddings

The query is the owner's; it may use `%(since)s` and `%(until)s` (timestamps with a time zone) to
list only what is near.  Whoever changes a booking may `NOTIFY` the channel: that is a hint, which
may be lost, and asking is the truth.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import threading
from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import AfterValidator, Field, SecretStr

from engine.adapters.blocking import BlockingCalls
from engine.adapters.bookings.feed import Feed, configured
from engine.adapters.bookings.files import FeedError
from engine.adapters.bookings.known import Listing
from engine.adapters.bookings.rows import BookedEvent, FeedConfig, RowReader, WrongRow
from engine.config.strict import ConfigError
from engine.model import ServiceSpec

try:
    import psycopg
    from psycopg import conninfo, sql
    from psycopg.rows import dict_row
except ImportError:
    raise ConfigError(
        "bookings: psycopg is missing; install it: pip install 'wedtwin[postgres]'"
    ) from None

DAY_S = 86_400.0
REACH_S = 7.0 * DAY_S
CONNECT_S = 3
MOST_ROWS = 2_000_000
LISTEN_S = 0.5
"""A listener looks so often whether it is to end."""
AGAIN_S = 5.0
"""After a lost connection it listens again."""


def _address(url: SecretStr) -> SecretStr:
    text = url.get_secret_value()
    if not text.startswith(("postgresql://", "postgres://")):
        raise ValueError("is no address of a PostgreSQL database: postgresql://user@host/name")
    try:
        conninfo.conninfo_to_dict(text)
    except psycopg.ProgrammingError:
        raise ValueError("is no address of a PostgreSQL database") from None
    return url


class PostgresConfig(FeedConfig):
    """Which database, and what it is asked."""

    url: Annotated[SecretStr, AfterValidator(_address)]
    query: Annotated[str, Field(min_length=1)]
    channel: Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,62}$")] | None = None
    """Where changes are hinted at; null: nowhere."""
    timeout_s: Annotated[float, Field(ge=1.0, le=300.0)] = 20.0


class PostgresSource:
    """`Source` of a query, on a connection that is made anew after it broke."""

    def __init__(self, config: PostgresConfig, reader: RowReader) -> None:
        self._config = config
        self._reader = reader
        self._calls = BlockingCalls("bookings")
        self._connection: psycopg.Connection[dict[str, Any]] | None = None
        self._hinted = threading.Event()
        self._over = threading.Event()
        if config.channel is not None:
            threading.Thread(target=self._listen, name="bookings hints", daemon=True).start()

    async def read(self, now_s: float, since_s: float | None = None) -> Listing | None:
        """All rows of the query; raises OSError."""
        from_s = now_s - 2.0 * DAY_S if since_s is None else since_s
        return await self._calls.call(lambda: self._listing(now_s, from_s))

    def hints(self) -> bool:
        """Whether somebody notified the channel since this was last asked."""
        hinted = self._hinted.is_set()
        self._hinted.clear()
        return hinted

    async def close(self) -> None:
        """Close the connections."""
        self._over.set()
        await self._calls.call(self._let_go)

    def _listing(self, now_s: float, from_s: float) -> Listing:
        try:
            return self._asked(now_s, from_s)
        except psycopg.Error as error:
            self._let_go()
            reason = "; ".join(str(error).strip().splitlines()) or type(error).__name__
            address = self._config.url.get_secret_value()
            raise FeedError(f"the database: {reason.replace(address, '(address)')}") from None

    def _asked(self, now_s: float, from_s: float) -> Listing:
        span = {
            "since": dt.datetime.fromtimestamp(from_s, dt.UTC),
            "until": dt.datetime.fromtimestamp(now_s + self._config.ahead_s + REACH_S, dt.UTC),
        }
        wanted = self._config.columns.all
        events: list[BookedEvent] = []
        wrong: list[WrongRow] = []
        connection = self._get()
        with connection.transaction(), connection.cursor() as cursor:
            cursor.execute(self._config.query.encode(), span)
            there = [column.name for column in cursor.description or ()]
            missing = [name for name in wanted if name not in there]
            if missing:
                raise FeedError(
                    f"the query has no column {', '.join(missing)} "
                    f"(bookings.options.columns; there are {', '.join(there)})"
                )
            for number, row in enumerate(cursor, 1):
                if number > MOST_ROWS:
                    raise FeedError(f"the query gives more than {MOST_ROWS:,} rows")
                made = self._reader.event(row, f"row {number}", now_s)
                if isinstance(made, BookedEvent):
                    events.append(made)
                else:
                    wrong.append(made)
        return Listing(events, wrong)

    def _get(self) -> psycopg.Connection[dict[str, Any]]:
        if self._connection is None or self._connection.closed:
            limit_ms = round(self._config.timeout_s * 1000.0)
            connection = psycopg.connect(
                self._config.url.get_secret_value(), connect_timeout=CONNECT_S, autocommit=True,
                row_factory=dict_row, prepare_threshold=None,
                options=f"-c statement_timeout={limit_ms} -c default_transaction_read_only=on",
            )  # fmt: skip
            self._connection = connection
        return self._connection

    def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _listen(self) -> None:
        """Until it is over; what is lost meanwhile, asking finds out."""
        channel = sql.SQL("LISTEN {}").format(sql.Identifier(str(self._config.channel)))
        while not self._over.is_set():
            try:
                with psycopg.connect(
                    self._config.url.get_secret_value(), connect_timeout=CONNECT_S, autocommit=True
                ) as connection:
                    connection.execute(channel)
                    self._hinted.set()
                    while not self._over.is_set():
                        for _ in connection.notifies(timeout=LISTEN_S):
                            self._hinted.set()
            except psycopg.Error:
                self._over.wait(AGAIN_S)


def connect(specs: Sequence[ServiceSpec], begins_s: float, **options: Any) -> Feed:
    """The bookings in a database, as configured; raises ConfigError naming each wrong key."""
    del begins_s
    config, model, reader = configured(PostgresConfig, specs, options)
    return Feed(PostgresSource(config, reader), reader, config, model, specs=specs)
