"""Bookings in a file of comma-separated values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.adapters.bookings import csv_file
from engine.adapters.bookings.files import FeedError
from tools.fuzz.scratch import COLUMNS, NOW_S, SPECS, folder, model
from tools.fuzz.target import FuzzTarget

HEADING = b"id,at,until,guests,state,type,changed\n"
FILES = (
    HEADING + b"A1,2027-06-19T16:00Z,2027-06-19T23:00Z,200,booked,luxury,2027-06-01\n"
    b'B2,1813420000,,"80",cancelled,,1813000000\n',
    HEADING + '\r\nC3,2027-06-20T16:00+02:00,,1e2,"boo""ked",Zürich,\r\n'.encode(),
)


def _read() -> Callable[[bytes], object]:
    feed: Any = csv_file.connect(
        SPECS, NOW_S, path=str(folder() / "bookings.csv"), columns=COLUMNS, model=model(),
        time_zone="Europe/Rome",
    )  # fmt: skip
    return lambda given: feed._source._parsed(given, NOW_S)


TARGET = FuzzTarget("bookings_csv", FILES, _read, (FeedError,))
