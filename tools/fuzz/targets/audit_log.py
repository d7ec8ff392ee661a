"""The audit log that an engine goes on with, and shows: rows, checkpoints and the head."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from engine.security.audit import log
from engine.security.audit.reading import rows_in
from tools.fuzz.scratch import folder
from tools.fuzz.target import FuzzTarget
from tools.fuzz.targets.audit_export import BETWEEN, HEAD, SIGNS, WHOLE

LAST = b"\n=== head ===\n"


def _read() -> Callable[[bytes], object]:
    place = folder() / "audit"

    def read(given: bytes) -> object:
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        (place / log.KEY).write_bytes(SIGNS)
        rest, _, head = given.partition(LAST)
        rows, _, notes = rest.partition(BETWEEN)
        for name, content in ((log.ROWS, rows), (log.CHECKPOINTS, notes), (log.HEAD, head)):
            (place / name).write_bytes(content)
        list(rows_in(rows.decode("utf-8").splitlines(), None))
        return log.AuditLog(place)

    return read


TARGET = FuzzTarget(
    "audit_log", (WHOLE + LAST + HEAD,), _read,
    (ValueError, OSError),
)  # fmt: skip
