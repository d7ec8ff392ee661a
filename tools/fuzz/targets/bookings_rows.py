"""Rows of bookings as a database gives them: values of any type, and what the rows come to."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import uuid
from collections.abc import Callable
from typing import Any

from engine.adapters.bookings.feed import configured, schedule_of
from engine.adapters.bookings.known import KnownEvents, Listing, take
from engine.adapters.bookings.rows import BookedEvent, FeedConfig
from engine.forecast.outlook import Grid, event_load
from tools.fuzz.scratch import COLUMNS, NOW_S, SPECS, model
from tools.fuzz.target import FuzzTarget

ROWS = [
    {"id": "A1", "at": "dt:2027-06-19T16:00:00+00:00", "until": "dt:2027-06-19T23:00:00",
     "guests": "dec:200", "state": "booked", "type": True, "changed": "date:2027-06-01"},
    {"id": "uuid:12345678-1234-5678-1234-567812345678", "at": NOW_S + 86_400.0, "guests": 80,
     "state": None, "until": None, "type": "bytes:xx", "changed": "dt:0001-01-01T00:00:00"},
]  # fmt: skip
KINDS: dict[str, Callable[[str], Any]] = {
    "dt": dt.datetime.fromisoformat, "date": dt.date.fromisoformat, "dec": decimal.Decimal,
    "uuid": uuid.UUID, "bytes": str.encode,
}  # fmt: skip


def _typed(value: Any) -> Any:
    """What a driver would give."""
    if isinstance(value, str):
        kind, _, text = value.partition(":")
        try:
            return KINDS[kind](text)
        except (KeyError, ValueError, ArithmeticError):
            return value
    return value


def _read() -> Callable[[bytes], object]:
    config, events, reader = configured(
        FeedConfig, SPECS, {"columns": COLUMNS, "model": model(), "time_zone": "Europe/Rome"}
    )

    def read(given: bytes) -> object:
        try:
            rows = json.loads(given)
        except (ValueError, RecursionError):
            return None
        rows = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
        made = [
            reader.event({key: _typed(row[key]) for key in row}, f"row {k}", NOW_S)
            for k, row in enumerate(rows)
        ]
        booked = [one for one in made if isinstance(one, BookedEvent)]
        wrong = [one for one in made if not isinstance(one, BookedEvent)]
        take(KnownEvents(), Listing(booked, wrong), NOW_S, config)
        return event_load(schedule_of(booked, events), events.response, Grid(NOW_S, 600))

    return read


TARGET = FuzzTarget("bookings_rows", (json.dumps(ROWS).encode(),), _read, ())
