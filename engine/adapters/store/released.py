"""What the released product kept in files of the state folder, carried over into the store once.

    requests/*.json    a pause or floor each
    answers/*.json     an answer each
    memory.json        what the engine remembered
    status.json        how it was; the next step shows that anew

The files are put aside afterwards, where nobody reads them.
"""

from __future__ import annotations

from pathlib import Path

from engine.adapters.store import statements
from engine.adapters.store.schema import Transaction
from engine.ports.desk import EVERYTHING
from engine.ports.lease import Fence
from engine.ports.store import Kept

REQUESTS, ANSWERS, MEMORY, STATUS = "requests", "answers", "memory.json", "status.json"
ASIDE = "before-the-store"
"""Folder of the files that were carried over."""


def is_there(state: Path) -> bool:
    """Whether the folder has any of those files."""
    return any((state / name).exists() for name in (REQUESTS, ANSWERS, MEMORY))


def carry_over(state: Path, transaction: Transaction) -> None:
    """Put what the files say into the tables; what cannot be read stays a complaint.

    Raises OSError.
    """
    for path in sorted((state / REQUESTS).glob("*.json")):
        kind, _, service = path.stem.partition("-")
        service = service.partition("@")[0]
        statements.put_request(
            transaction, path.stem, kind, "" if service == EVERYTHING else service, text=_text(path)
        )
    for path in sorted((state / ANSWERS).glob("*.json")):
        statements.put_answer(transaction, path.stem, _text(path))
    if (state / MEMORY).exists():
        text = _text(state / MEMORY).removesuffix("\n")
        statements.keep(transaction, Kept(memory=text), Fence(statements.newest(transaction)))


def put_aside(state: Path) -> None:
    """Move the files out of the way; one that cannot be moved stays, and nobody reads it."""
    there = [name for name in (REQUESTS, ANSWERS, MEMORY, STATUS) if (state / name).exists()]
    if not there:
        return
    try:
        (state / ASIDE).mkdir(exist_ok=True)
        for name in there:
            (state / name).rename(state / ASIDE / name)
    except OSError:
        return


def _text(path: Path) -> str:
    return path.read_bytes().decode("utf-8", "replace")
