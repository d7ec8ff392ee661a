"""Credentials as rows of the store.

They are read over a connection of their own: whoever shows a token waits for no long look at the
history.  What changes them puts another mark beside them, so that a look which sees the mark of the
one before reads nothing else.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from engine.adapters.store.database import Database
from engine.adapters.store.letters import PLAIN, Letters, of_credential, readable
from engine.adapters.store.schema import Transaction
from engine.ports.credentials import Glimpse, Texts

MARK_BYTES = 8


class SqlCredentials:
    """`engine.ports.credentials.Credentials`, over a database that nothing else reads with."""

    def __init__(self, database: Database, letters: Letters = PLAIN) -> None:
        self._database = database
        self._letters = letters
        self._version: tuple[int, int] | None = None
        """Of the database, from before the last glimpse."""

    def glimpse(self, mark: str | None) -> Glimpse | None:
        """What is there now, None if that is what was there with this mark."""
        self._version = None
        version = self._database.version()
        glimpse = self._database.read(lambda at: self._glimpse(at, mark))
        self._version = version
        return glimpse

    def is_unchanged(self) -> bool:
        """Whether nobody has written to the database since before the last glimpse."""
        return self._version is not None and self._database.version() == self._version

    def change(self, edit: Callable[[Texts], Texts]) -> None:
        """Put `edit` of what is there in its place."""

        def make(to: Transaction) -> None:
            before = self._texts(to)
            after = edit(before)
            if after == before:
                return
            for name in before.keys() - after.keys():
                to.execute("DELETE FROM credentials WHERE id = ?", name)
            for name, text in after.items():
                if before.get(name) != text:
                    to.execute(
                        "INSERT INTO credentials (id, content) VALUES (?, ?) ON CONFLICT (id) "
                        "DO UPDATE SET content = excluded.content",
                        name, self._letters.closed(text, of_credential(name)),
                    )  # fmt: skip
            to.execute(
                "INSERT INTO credentials_mark (one, mark) VALUES (1, ?) ON CONFLICT (one) "
                "DO UPDATE SET mark = excluded.mark",
                secrets.token_hex(MARK_BYTES),
            )  # fmt: skip

        self._database.write(make).result()

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def _glimpse(self, at: Transaction, mark: str | None) -> Glimpse | None:
        rows = at.execute("SELECT mark FROM credentials_mark")
        newest = str(rows[0][0]) if rows else ""
        return None if newest == mark else Glimpse(newest, self._texts(at))

    def _texts(self, at: Transaction) -> Texts:
        rows = at.execute("SELECT id, content FROM credentials ORDER BY id")
        return {name: readable(self._letters, text, of_credential(name)) for name, text in rows}
