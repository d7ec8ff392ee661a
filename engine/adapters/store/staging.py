"""Rows of the audit log on their way from the store into the log.

They are written with what they are about, in one transaction, and go once the log has them: so
after a crash between the two they are still here, and the log knows them again by their ids.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence

from engine.adapters.store.letters import STAGED, Letters, readable
from engine.adapters.store.schema import Transaction
from engine.ports.store import StagedRow


def stage(transaction: Transaction, texts: Sequence[str], letters: Letters, log: str) -> None:
    """Let rows wait for `log`; "" is none, and one that waits already waits once."""
    texts = [text for text in texts if text]
    if not texts:
        return
    [(last,)] = transaction.execute("SELECT COALESCE(MAX(position), 0) FROM staged")
    for position, text in enumerate(texts, start=int(last) + 1):
        transaction.execute(
            "INSERT INTO staged (position, id, log, content) VALUES (?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            position, json.loads(text)["id"], log, letters.closed(text, STAGED),
        )  # fmt: skip


def staged(transaction: Transaction, limit: int, letters: Letters, log: str) -> list[StagedRow]:
    """The first rows that wait for `log`, in their order; raises OSError."""
    rows = transaction.execute(
        "SELECT id, content FROM staged WHERE log = ? ORDER BY position LIMIT ?", log, limit
    )
    return [StagedRow(name, readable(letters, text, STAGED)) for name, text in rows]


def unstage(transaction: Transaction, ids: Collection[str]) -> None:
    """They are in the log."""
    for name in ids:
        transaction.execute("DELETE FROM staged WHERE id = ?", name)
