"""A list of booked weddings from a CSV file.

Columns `id, date, time, time_zone, type, guests, vendors`: the local date and time at which the
ceremony begins; the other phases are as usual around it.
"""

from __future__ import annotations

import csv
import datetime as dt
from pathlib import Path
from zoneinfo import ZoneInfo

from engine.model import Wedding, WeddingType
from scenarios.weddings.config import PopulationConfig

COLUMNS = ("id", "date", "time", "time_zone", "type", "guests", "vendors")


class BookingsError(ValueError):
    """The file cannot be read; the message names the line and the column."""


def read_bookings(path: Path, population: PopulationConfig) -> list[Wedding]:
    """The weddings of the file, in its order; raises BookingsError."""
    offsets_s = [60.0 * phase.start_min for phase in population.phases] + [
        60.0 * population.end_min
    ]
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = [name for name in COLUMNS if name not in (rows.fieldnames or ())]
            if missing:
                raise BookingsError(f"{path}: has no column {', '.join(missing)}")
            return [_wedding(row, f"{path}, line {rows.line_num}", offsets_s) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BookingsError(f"{path}: cannot be read ({error})") from None


def _wedding(row: dict[str, str | None], where: str, offsets_s: list[float]) -> Wedding:
    def field(name: str) -> str:
        return (row.get(name) or "").strip()

    def fail(name: str, allowed: str) -> BookingsError:
        return BookingsError(f'{where}: {name}: "{field(name)}" is not {allowed}')

    try:
        zone = ZoneInfo(field("time_zone"))
    except (KeyError, ValueError, OSError):
        raise fail("time_zone", "an IANA time zone (such as America/New_York)") from None
    try:
        date = dt.date.fromisoformat(field("date"))
    except ValueError:
        raise fail("date", "a date, write it as YYYY-MM-DD") from None
    try:
        time = dt.time.fromisoformat(field("time"))
    except ValueError:
        raise fail("time", "a time of day, write it as HH:MM") from None
    counts = []
    for name in ("guests", "vendors"):
        if not field(name).isdecimal():
            raise fail(name, "a whole number")
        counts.append(int(field(name)))
    kinds = [kind.value for kind in WeddingType]
    if field("type") not in kinds:
        raise fail("type", f"one of {', '.join(kinds)}")
    ceremony_s = dt.datetime.combine(date, time, tzinfo=zone).timestamp()
    return Wedding(
        id=field("id"),
        time_zone=field("time_zone"),
        type=WeddingType(field("type")),
        guests=counts[0],
        vendors=counts[1],
        phase_start_s=tuple(ceremony_s + offset_s for offset_s in offsets_s),
    )
