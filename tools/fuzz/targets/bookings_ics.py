"""Bookings in an iCalendar file, with what its rules of recurrence come to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.adapters.bookings import ics_file
from engine.adapters.bookings.files import FeedError
from tools.fuzz.scratch import NOW_S, SPECS, folder, model
from tools.fuzz.target import FuzzTarget

BEGIN = b"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//fuzz//EN\r\nX-WR-TIMEZONE:Europe/Rome\r\n"
EVENT = (
    b"BEGIN:VEVENT\r\nUID:a1\r\nDTSTART:20270619T140000Z\r\nDTEND:20270619T220000Z\r\n"
    b"STATUS:CONFIRMED\r\nCATEGORIES:luxury\r\nATTENDEE;PARTSTAT=ACCEPTED:mailto:a@example.com\r\n"
    b"END:VEVENT\r\n"
)
RULE = (
    b"BEGIN:VEVENT\r\nUID:b2\r\nDTSTART;TZID=Europe/Rome:20270601T160000\r\nDURATION:PT8H\r\n"
    b"RRULE:FREQ=WEEKLY;BYDAY=SA,SU;COUNT=20\r\nEXDATE;TZID=Europe/Rome:20270605T160000\r\n"
    b"RDATE;TZID=Europe/Rome:20270703T160000\r\nEND:VEVENT\r\n"
    b"BEGIN:VEVENT\r\nUID:b2\r\nRECURRENCE-ID;TZID=Europe/Rome:20270612T160000\r\n"
    b"DTSTART;TZID=Europe/Rome:20270612T180000\r\nDURATION:PT6H\r\nSEQUENCE:1\r\nEND:VEVENT\r\n"
)
DAILY = (
    b"BEGIN:VEVENT\r\nUID:c3\r\nDTSTART:20260619T140000Z\r\nDURATION:PT1H\r\n"
    b"RRULE:FREQ=DAILY;INTERVAL=2;BYHOUR=10,14;UNTIL=20270801T000000Z;BYMONTH=6,7\r\n"
    b"END:VEVENT\r\n"
)
END = b"END:VCALENDAR\r\n"


def _read() -> Callable[[bytes], object]:
    feed: Any = ics_file.connect(
        SPECS, NOW_S, path=str(folder() / "bookings.ics"), columns={"people": {}}, model=model()
    )

    def read(given: bytes) -> object:
        source = feed._source
        source._calendars = source._parsed(given)
        return list(source._rows(NOW_S, NOW_S - 172_800.0))

    return read


TARGET = FuzzTarget(
    "bookings_ics", (BEGIN + EVENT + END, BEGIN + RULE + END, BEGIN + EVENT + DAILY + END), _read,
    (FeedError,),
)  # fmt: skip
