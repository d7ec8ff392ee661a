"""Pages of bookings in JSON, as somebody's server answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from engine.adapters.bookings import http_json
from engine.adapters.bookings.files import FeedError
from tools.fuzz.scratch import COLUMNS, NOW_S, SPECS, model
from tools.fuzz.target import FuzzTarget

ROWS = [
    {"id": "A1", "at": "2027-06-19T16:00Z", "until": NOW_S + 90_000.0, "guests": 200,
     "state": "booked", "type": "luxury", "changed": "2027-06-01T00:00Z"},
    {"id": 2, "at": NOW_S + 86_400.0, "guests": "80", "state": "cancelled"},
]  # fmt: skip


def _read() -> Callable[[bytes], object]:
    feed: Any = http_json.connect(
        SPECS, NOW_S, url="http://127.0.0.1:1/bookings", columns=COLUMNS, model=model(),
        as_of="as_of",
    )  # fmt: skip
    source = feed._source

    def read(given: bytes) -> object:
        page = source._parsed(given, "")
        if page.next:
            source._next(source._first, page.next)
        return source._listing([page], NOW_S)

    return read


TARGET = FuzzTarget(
    "bookings_http",
    tuple(
        json.dumps({"items": ROWS[:k], "next": "/bookings?page=2", "as_of": NOW_S}).encode()
        for k in (1, 2)
    ),
    _read,
    (FeedError,),
)
