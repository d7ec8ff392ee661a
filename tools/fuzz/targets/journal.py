"""The journal of a run in progress, of which the record is made."""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.record import journal
from engine.record.journal import JournalHeading
from tools.fuzz.scratch import NOW_S, folder
from tools.fuzz.target import FuzzTarget

LINES = (
    {"kind": "run", "version": 1, "started_s": NOW_S, "services": ["api"], "sample_s": 5.0,
     "controller": "engine"},
    {"kind": "event", "event": {"time_s": NOW_S, "kind": "x", "name": "y", "what": "z"}},
    {"kind": "result", "decision_id": "d", "status": "completed", "time_s": NOW_S, "detail": ""},
)  # fmt: skip


def _read() -> Callable[[bytes], object]:
    place = folder()
    path = place / journal.JOURNAL
    heading = JournalHeading(NOW_S, ("api",), 5.0, "engine")

    def read(given: bytes) -> object:
        path.write_bytes(given)
        journal.in_progress(place, heading)
        list(journal.newest(path, 200))
        return list(journal.read(path))

    return read


TARGET = FuzzTarget(
    "journal", (b"".join(json.dumps(line).encode() + b"\n" for line in LINES),), _read, (OSError,)
)
