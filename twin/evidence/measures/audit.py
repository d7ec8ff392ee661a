"""Rows that are edits of an audit log, each by itself, and whether a verifier notices."""

from __future__ import annotations

import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from cryptography.exceptions import InvalidSignature

from engine.security.audit import verifier
from engine.security.audit.log import CHECKPOINTS, ROWS, VERIFIER, AuditLog
from engine.security.audit.rows import AuditEntry
from engine.security.audit.verifier import TouchedError
from scenarios.streams import Streams

BATCHES, BATCH = 12, 16
"""The log that is edited: so many checkpoints, a row more or less than so many between two."""

KINDS = ("byte", "row dropped", "row twice", "rows exchanged", "tail cut", "rolled back",
         "checkpoint")  # fmt: skip

Lines = list[bytes]


def edits(*, rows: int, seed: int, roots: bool = True) -> list[dict[str, Any]]:
    """`rows` random edits of a log, each of a whole one; columns `kind` and `found`, 1 or 0.

    The verifier has the log's key and its last checkpoint, as a witness keeps it.  With `roots`
    false it checks signatures alone.
    """
    stream = Streams(seed)("evidence.audit")
    with tempfile.TemporaryDirectory(prefix="wt-audit-") as name:
        folder = Path(name)
        log, sizes = AuditLog(folder), []
        for _ in range(BATCHES):
            count = BATCH + int(stream.integers(-1, 2))
            log.append(*(_entry(log.size + i, stream) for i in range(count)))
            sizes.append(log.size)
        key = (folder / VERIFIER).read_text(encoding="utf-8")
        lines = (folder / ROWS).read_bytes().splitlines(keepends=True)
        notes = (folder / CHECKPOINTS).read_text(encoding="utf-8").split("\n\n\n")
        check = _checked if roots else _signatures_alone
        made = []
        for _ in range(rows):
            kind = KINDS[int(stream.integers(len(KINDS)))]
            edited, remaining = _edited(kind, list(lines), list(notes), sizes, stream=stream)
            (folder / ROWS).write_bytes(b"".join(edited))
            (folder / CHECKPOINTS).write_bytes(b"\n\n\n".join(remaining))
            made.append({"kind": kind, "found": int(not check(folder, key, notes[-1]))})
    return made


def _entry(number: int, stream: np.random.Generator) -> AuditEntry:
    before = int(stream.integers(2, 90))
    return AuditEntry(
        at_ms=1_813_437_000_000 + 5000 * number, actor="engine", action="scale",
        target=("api", "database", "real-time")[number % 3], outcome="decided",
        why=f"{before} instances are too few", before={"instances": before},
        after={"instances": before + int(stream.integers(1, 40))},
    )  # fmt: skip


def _edited(
    kind: str, lines: Lines, notes: list[str], sizes: list[int], *, stream: np.random.Generator
) -> tuple[Lines, Lines]:
    """The log's lines and its checkpoints after one edit."""
    at = int(stream.integers(len(lines)))
    texts = [note.encode() for note in notes]
    match kind:
        case "byte":
            lines[at] = _flipped(lines[at], stream)
        case "row dropped":
            del lines[at]
        case "row twice":
            lines.insert(at, lines[at])
        case "rows exchanged":
            other = (at + 1 + int(stream.integers(len(lines) - 1))) % len(lines)
            lines[at], lines[other] = lines[other], lines[at]
        case "tail cut":
            del lines[at:]
        case "rolled back":
            del lines[at:], texts[sum(size <= at for size in sizes) :]
        case _:
            which = int(stream.integers(len(texts)))
            texts[which] = _flipped(texts[which], stream)
    return lines, texts


def _flipped(text: bytes, stream: np.random.Generator) -> bytes:
    """One bit of one byte turned."""
    place = int(stream.integers(len(text)))
    other = text[place] ^ (1 << int(stream.integers(8)))
    return text[:place] + bytes([other]) + text[place + 1 :]


def _checked(folder: Path, key: str, kept: str) -> bool:
    """Whether the verifier finds the log whole."""
    return _holds(lambda: verifier.verified(folder, key, ((kept, key),)))


def _signatures_alone(folder: Path, key: str, kept: str) -> bool:
    """Whether each checkpoint is signed, whatever the rows are."""

    def look() -> None:
        verifier.opened(kept.removesuffix("\n") + "\n", key)
        text = (folder / CHECKPOINTS).read_text(encoding="utf-8")
        for note in text.split("\n\n\n"):
            verifier.opened(note.removesuffix("\n") + "\n", key)

    return _holds(look)


def _holds(look: Callable[[], object]) -> bool:
    try:
        look()
    except (TouchedError, InvalidSignature, ValueError, IndexError, struct.error):
        return False
    return True
