"""What the engine keeps of the bookings itself: a file that somebody may have touched."""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.adapters.bookings.feed import configured, schedule_of
from engine.adapters.bookings.last_good import LastGood
from engine.adapters.bookings.rows import FeedConfig
from tools.fuzz.scratch import COLUMNS, NOW_S, SPECS, folder, model
from tools.fuzz.target import FuzzTarget

EVENTS = [
    ["A1", NOW_S + 86_400.0, None, [200.0, None], True, None],
    ["B2", NOW_S + 90_000.0, NOW_S + 99_000.0, [80.0, 5.0], False, NOW_S],
]


def _read() -> Callable[[bytes], object]:
    config, events, _ = configured(FeedConfig, SPECS, {"columns": COLUMNS, "model": model()})
    place = folder()
    kept = LastGood(place, None, config, events.roles)

    def read(given: bytes) -> object:
        # The right fingerprint, as whoever touches the file would leave it.
        kept._path.write_bytes(given.replace(b'"ours"', json.dumps(kept._of).encode()))
        calendar, _ = kept.read()
        return schedule_of(list(calendar.events.values()), events)

    return read


TARGET = FuzzTarget(
    "last_good",
    (json.dumps({"version": 1, "of": "ours", "read_s": NOW_S, "events": EVENTS}).encode(),),
    _read,
    (),
)
