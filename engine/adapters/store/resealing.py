"""Texts of a store that are not under the owner's newest key: sealed anew, a few at a time.

It stops nothing: each piece is a short transaction of its own.  How far it is is kept, so that it
goes on after a restart where it was; rows that another process still adds under an earlier key come
after that, and are sealed anew too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from engine.adapters.store.database import Database
from engine.adapters.store.letters import (
    MEMORY,
    STAGED,
    STATUS,
    of_answer,
    of_credential,
    of_history,
    of_request,
    of_said,
)
from engine.adapters.store.schema import Transaction
from engine.security.sealing import ARMOUR, Sealer, SealError, key_of

PIECE = 200
"""Rows of a transaction."""

PAUSE_S = 0.05
"""Between two of them, for whoever else writes."""

AGAIN_S = 30.0
"""Between two looks of a running engine at whether there is a new key or an old text."""

SMALL: tuple[tuple[str, str, Callable[[str], str]], ...] = (
    ("memory", "one", lambda _: MEMORY),
    ("shown", "one", lambda _: STATUS),
    ("requests", "id", of_request),
    ("answers", "decision_id", of_answer),
    ("said", "decision_id", of_said),
    ("staged", "id", lambda _: STAGED),
    ("shard_memory", "shard", lambda _: MEMORY),
    ("credentials", "id", of_credential),
)
"""Tables that are looked through as a whole: name, key, and what their texts are sealed as."""

STRICT = ("credentials",)
"""Of those, where a text in plain stays as it is: whoever put it there is not to be believed."""

log = structlog.stdlib.get_logger(__name__)


def is_under(text: str, key_id: str) -> bool:
    """Whether a text is sealed with that key of the owner's."""
    return text.startswith(ARMOUR) and key_of(text) == key_id


def reseal_a_piece(database: Database, sealer: Sealer) -> bool:
    """Seal a piece anew; whether there may be more.  Raises OSError, SealError."""
    return database.write(lambda to: _piece(to, sealer)).result()


def reseal(database: Database, sealer: Sealer) -> None:
    """Seal all of it anew; raises OSError, SealError."""
    while reseal_a_piece(database, sealer):
        pass


def seal_credentials(database: Database, before: Sealer | None, after: Sealer) -> None:
    """Seal credentials under keys that are to seal from now on, those in plain if none did before.

    Killed in the middle it can be done again.  Raises OSError, SealError.
    """

    def make(to: Transaction) -> None:
        for name, text in _all(to, "credentials", "id"):
            context = of_credential(name)
            if is_under(text, after.key_id) or (before and not text.startswith(ARMOUR)):
                continue
            plain = text
            if text.startswith(ARMOUR):
                plain = (before or after).open_text(text, context)
            to.execute(
                "UPDATE credentials SET content = ? WHERE id = ?",
                after.seal_text(plain, context), name,
            )  # fmt: skip

    database.write(make).result()


async def keep_resealed(database: Database, sealer: Sealer) -> None:
    """Seal anew whatever is not under the newest key, until this is cancelled."""
    trouble = ""
    while True:
        try:
            await asyncio.to_thread(sealer.renew)
            while await asyncio.to_thread(reseal_a_piece, database, sealer):
                await asyncio.sleep(PAUSE_S)
            trouble = ""
        except (OSError, SealError) as error:
            if str(error) != trouble:
                trouble = str(error)
                log.warning(f"the store is not sealed anew yet: {trouble}")
        await asyncio.sleep(AGAIN_S)


def texts_under(database: Database, key_id: str) -> int:
    """How many texts are sealed with a key of the owner's; raises OSError."""
    count = sum(
        is_under(text, key_id)
        for table, key, _ in SMALL
        for _, text in database.read(lambda at, t=table, k=key: _all(at, t, k))  # type: ignore[misc]
    )
    after = 0
    while rows := database.read(lambda at, a=after: _rows(at, a)):  # type: ignore[misc]
        after = rows[-1][0]
        count += sum(is_under(text, key_id) for _, _, text in rows)
    return count


def _piece(to: Transaction, sealer: Sealer) -> bool:
    newest = sealer.key_id
    kept = to.execute("SELECT key_id, position FROM resealed")
    after = int(kept[0][1]) if kept and kept[0][0] == newest else 0
    for table, key, context in SMALL:
        column = _column(table)
        for name, text in _all(to, table, key):
            if _is_due(table, text, newest):
                to.execute(
                    f"UPDATE {table} SET {column} = ? WHERE {key} = ?",  # nosec B608 (names of ours)
                    _anew(sealer, text, context(name)), name,
                )  # fmt: skip
    rows = _rows(to, after)
    for position, kind, text in rows:
        if text and not is_under(text, newest):
            to.execute(
                "UPDATE history SET content = ? WHERE position = ?",
                _anew(sealer, text, of_history(kind)), position,
            )  # fmt: skip
    if rows or not kept or kept[0][0] != newest:
        to.execute(
            "INSERT INTO resealed (one, key_id, position) VALUES (1, ?, ?) ON CONFLICT (one) "
            "DO UPDATE SET key_id = excluded.key_id, position = excluded.position",
            newest, rows[-1][0] if rows else after,
        )  # fmt: skip
    return len(rows) == PIECE


def _is_due(table: str, text: str, newest: str) -> bool:
    if not text or (table in STRICT and not text.startswith(ARMOUR)):
        return False
    return not is_under(text, newest)


def _anew(sealer: Sealer, text: str, context: str) -> str:
    """The text under the newest key; the same where its own key is gone for good."""
    if not text.startswith(ARMOUR):
        return sealer.seal_text(text, context)
    try:
        plain = sealer.open_text(text, context)
    except SealError:
        sealer.renew()  # raises where only nobody can be asked for the keys now
        return text
    return sealer.seal_text(plain, context)


def _all(at: Transaction, table: str, key: str) -> list[tuple[str, str]]:
    rows = at.execute(f"SELECT {key}, {_column(table)} FROM {table}")  # nosec B608 (names of ours)
    return [(name, text) for name, text in rows]


def _column(table: str) -> str:
    return "text" if table in ("memory", "shown", "shard_memory") else "content"


def _rows(at: Transaction, after: int) -> list[tuple[int, str, str]]:
    rows = at.execute(
        "SELECT position, kind, content FROM history WHERE position > ? ORDER BY position LIMIT ?",
        after, PIECE,
    )  # fmt: skip
    return [(position, kind, text) for position, kind, text in rows]
