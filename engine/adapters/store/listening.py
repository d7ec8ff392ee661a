"""Hints that a history has grown, by LISTEN and NOTIFY of PostgreSQL.

A hint makes whoever waits look at once, and nothing more: it may be lost with the connection, and a
pooler that gives each transaction another connection loses all of them.  What was appended is in
the table, and whoever waits looks there after a while without a hint, too.  So a hint holds no more
than a position.
"""

from __future__ import annotations

import contextlib
import threading
from typing import Any

import psycopg

CHANNEL = "wedtwin_history"
"""Channels are each database's own."""


class Notifications:
    """Hints of one database, over a connection that is made anew after it broke; for one thread."""

    def __init__(self, address: str, connect_s: int) -> None:
        self._address = address
        self._connect_s = connect_s
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None

    def wait(self, timeout_s: float, over: threading.Event) -> None:
        """Until there is a hint, the time is over, or somebody ends it, which may take a second.

        At once after a new connection: what came before it was hinted to nobody.
        """
        try:
            if self._connection is None:
                self._connection = self._listening()
                return
            for _ in range(max(round(timeout_s), 1)):
                if over.is_set() or any(self._connection.notifies(timeout=1.0, stop_after=1)):
                    return
        except psycopg.Error:
            self.close()
            over.wait(timeout_s)

    def close(self) -> None:
        """Let go of the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(psycopg.Error):
                connection.close()

    def _listening(self) -> psycopg.Connection[tuple[Any, ...]]:
        connection: psycopg.Connection[tuple[Any, ...]] = psycopg.connect(
            self._address, autocommit=True, connect_timeout=self._connect_s, prepare_threshold=None
        )
        try:
            connection.execute(f"LISTEN {CHANNEL}".encode())
        except BaseException:
            connection.close()
            raise
        return connection
