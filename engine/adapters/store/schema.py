"""The tables, and the way to them from each version that there has been.

What both databases have is used and nothing besides.  A migration is never changed once it is
released: the next one follows it.
"""

from __future__ import annotations

from typing import Any, Protocol

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # The newest lead; `one` keeps it to a single row.
        "CREATE TABLE lead (one INTEGER PRIMARY KEY CHECK (one = 1), fence BIGINT NOT NULL)",
        "CREATE TABLE memory (one INTEGER PRIMARY KEY CHECK (one = 1), text TEXT NOT NULL)",
        "CREATE TABLE shown (one INTEGER PRIMARY KEY CHECK (one = 1), text TEXT NOT NULL)",
        "CREATE TABLE requests (id TEXT PRIMARY KEY, kind TEXT NOT NULL, service TEXT NOT NULL, "
        "content TEXT NOT NULL)",
        "CREATE TABLE answers (decision_id TEXT PRIMARY KEY, content TEXT NOT NULL)",
        "CREATE TABLE history (position BIGINT PRIMARY KEY, kind TEXT NOT NULL, id TEXT NOT NULL, "
        "time_s DOUBLE PRECISION NOT NULL, fence BIGINT NOT NULL, content TEXT NOT NULL, "
        "UNIQUE (kind, id))",
    ),
    (
        # Who leads until when, for engines that share a database.
        "ALTER TABLE lead ADD COLUMN holder TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE lead ADD COLUMN expires_s DOUBLE PRECISION NOT NULL DEFAULT 0",
    ),
    (
        # Rows of the audit log that are not in it yet, each for one log.
        "CREATE TABLE staged (position BIGINT PRIMARY KEY, id TEXT NOT NULL UNIQUE, "
        "log TEXT NOT NULL, content TEXT NOT NULL)",
        # How far the history was sealed anew, and under which key.
        "CREATE TABLE resealed (one INTEGER PRIMARY KEY CHECK (one = 1), key_id TEXT NOT NULL, "
        "position BIGINT NOT NULL)",
    ),
    (
        # Who has which shard, for engines that share a platform; see engine.sharding.register.
        "CREATE TABLE shard_lease (shard TEXT PRIMARY KEY, holder TEXT NOT NULL, "
        "epoch BIGINT NOT NULL, until_s DOUBLE PRECISION NOT NULL)",
        "CREATE TABLE engine_member (member TEXT PRIMARY KEY, layout TEXT NOT NULL, "
        "until_s DOUBLE PRECISION NOT NULL)",
        "CREATE TABLE shard_layout (one INTEGER PRIMARY KEY CHECK (one = 1), layout TEXT NOT NULL, "
        "until_s DOUBLE PRECISION NOT NULL)",
        "CREATE TABLE shard_memory (shard TEXT PRIMARY KEY, text TEXT NOT NULL)",
    ),
    (
        # Who has said what of an action that waits for approval, the first of two as well.
        "CREATE TABLE said (decision_id TEXT PRIMARY KEY, at_s DOUBLE PRECISION NOT NULL, "
        "content TEXT NOT NULL)",
    ),
    (
        # What is kept of credentials, and a mark that is another one after each change.
        "CREATE TABLE credentials (id TEXT PRIMARY KEY, content TEXT NOT NULL)",
        "CREATE TABLE credentials_mark (one INTEGER PRIMARY KEY CHECK (one = 1), "
        "mark TEXT NOT NULL)",
    ),
)
"""Those that lead from version k to version k + 1; 0 is an empty database."""

NEWEST = len(MIGRATIONS)
FIRST_TABLE = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"


class Transaction(Protocol):
    """Statements of one transaction; `?` stands for a value."""

    def execute(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run it; the rows that it gives."""
        ...

    def appended(self, position: int) -> None:
        """Hint at the history up to there, to whoever waits for it, once the transaction lasts."""
        ...


class NewerStoreError(ValueError):
    """A store that a later version of the product has written."""


def is_current(transaction: Transaction) -> bool:
    """Whether the tables are of this version."""
    return transaction.execute("SELECT version FROM schema_version") == [(NEWEST,)]


def migrate(transaction: Transaction) -> bool:
    """Bring the tables to this version; whether there were none before.

    Raises NewerStoreError for those of a later version, and has then changed nothing.
    """
    transaction.execute(FIRST_TABLE)
    rows = transaction.execute("SELECT version FROM schema_version")
    version = int(rows[0][0]) if rows else 0
    if version > NEWEST:
        raise NewerStoreError(
            f"its tables are of version {version}, and this product knows those up to {NEWEST}: "
            "a later version has used it"
        )
    for statements in MIGRATIONS[version:]:
        for statement in statements:
            transaction.execute(statement)
    if not rows:
        transaction.execute("INSERT INTO schema_version (version) VALUES (?)", NEWEST)
    elif version < NEWEST:
        transaction.execute("UPDATE schema_version SET version = ?", NEWEST)
    return version == 0
