"""Exported audit logs, read by the verifier that needs nothing of the product."""

from __future__ import annotations

import struct
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature

from engine.security.audit import log
from engine.security.audit.rows import AuditEntry
from engine.security.audit.verifier import TouchedError, verified
from tools.fuzz.scratch import NOW_S, folder
from tools.fuzz.target import FuzzTarget

BETWEEN = b"\n=== checkpoints ===\n"


def _made() -> tuple[bytes, str, bytes, bytes]:
    place = folder()
    made = log.AuditLog(place)
    for k in range(3):
        made.append(
            *(
                AuditEntry(at_ms=round(NOW_S * 1000.0), actor="pat", action=f"do {k}{j}",
                           target="api", outcome="accepted")
                for j in range(k + 1)
            )
        )  # fmt: skip
    rows, notes = ((place / name).read_bytes() for name in (log.ROWS, log.CHECKPOINTS))
    kept = ((place / name).read_bytes() for name in (log.KEY, log.HEAD))
    return rows + BETWEEN + notes, (place / log.VERIFIER).read_text(), *kept


WHOLE, KEY, SIGNS, HEAD = _made()


def _read() -> Callable[[bytes], object]:
    place = folder()

    def read(given: bytes) -> object:
        rows, _, notes = given.partition(BETWEEN)
        (place / log.ROWS).write_bytes(rows)
        (place / log.CHECKPOINTS).write_bytes(notes)
        return verified(place, KEY)

    return read


TARGET = FuzzTarget(
    "audit_export", (WHOLE,), _read,
    (TouchedError, InvalidSignature, OSError, ValueError, IndexError, struct.error),
)  # fmt: skip
