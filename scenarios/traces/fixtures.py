"""A calendar of events from a CSV file: when each starts, and what is known of it beforehand.

A football fixture list as it is published will do: a column with the start, and whatever else.
Columns that say how big an event is expected to be (`size`, `importance`) and of what sort it is
(`stage`, `kind`) are used where they exist.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.model import Calendar
from scenarios.traces import moments, numerals, table, text
from scenarios.traces.errors import TraceError
from scenarios.traces.moments import TimeColumn
from scenarios.traces.table import Row

START_NAMES = ("kickoff_utc", "start_utc", "start", "start_time", "kickoff", "time", "timestamp",
               "date")  # fmt: skip
SIZE_NAMES = ("size", "importance", "expected_size", "weight")
KIND_NAMES = ("stage", "kind", "type", "category")
KNOWN_NAMES = ("known_utc", "known", "booked_utc", "booked", "announced")
MOST_EVENTS = 1_000_000


class FixturesError(ValueError):
    """A file that is no calendar of events; the message names it, its line and what is allowed."""


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """A calendar, how its starts were read, and whether they say their time zone themselves."""

    calendar: Calendar
    read_as: str
    own_zone: bool


def read(path: Path, zone: str = "UTC") -> Calendar:
    """Read a calendar; times that name no zone are in `zone`.  Raises FixturesError."""
    return listed(path, zone).calendar


def listed(path: Path, zone: str = "UTC") -> Listed:
    """Read a calendar, and say how it was read; raises FixturesError."""
    try:
        return _listed(path, zone)
    except TraceError as error:
        raise FixturesError(f"{path}: {error}") from None


def _listed(path: Path, zone: str) -> Listed:
    lines = text.read(path).lines
    if not any(line.strip() for line in lines):
        raise TraceError("holds no events (a header and a row for each event)")
    rows: Sequence[Row] = ()
    for separator in (",", ";", "\t", "|"):
        rows = table.split(lines, separator, lambda _: True).rows
        names = [name.strip().lower() for name in rows[0].fields]
        start = _column(names, START_NAMES)
        if start is not None:
            break
    if start is None:
        raise TraceError(f"no column for the start of an event (one of {', '.join(START_NAMES)})")
    events = [row for row in rows[1:] if any(field.strip() for field in row.fields)]
    if not events:
        raise TraceError("holds no events (a header and a row for each event)")
    if len(events) > MOST_EVENTS:
        raise TraceError(f"{len(events):,} events are not allowed (1 … {MOST_EVENTS:,})")
    size, kind, entered = (
        _column(names, allowed) for allowed in (SIZE_NAMES, KIND_NAMES, KNOWN_NAMES)
    )
    for row in events:
        if not row.field(start).strip():
            raise TraceError(f"line {row.line}: has no {names[start]}")
    starts = _moments(events, start, rows[0].field(start), zone)
    sizes = np.array([_size(row, size) for row in events])
    known_s = np.full(len(events), -math.inf)
    booked = [k for k, row in enumerate(events) if entered is not None and row.field(entered)]
    if entered is not None and booked:
        some = [events[k] for k in booked]
        known_s[booked] = _moments(some, entered, rows[0].field(entered), zone).times_s
    order = np.argsort(starts.times_s, kind="stable")
    usual = float(np.median(sizes)) or 1.0
    calendar = Calendar(
        start_s=starts.times_s[order],
        size=sizes[order] / usual,
        kinds=tuple(_field(events[k], kind) for k in order.tolist()),
        known_s=known_s[order],
    )
    return Listed(calendar, f'column "{rows[0].field(start).strip()}", {starts.note}',
                  starts.own_zone)  # fmt: skip


def is_calendar(path: Path) -> bool:
    """Whether a file looks like a fixture list: it is called so, and has a column for the start."""
    if not path.name.lower().startswith("fixtures"):
        return False
    try:
        read(path)
    except FixturesError:
        return False
    return True


def _column(names: list[str], allowed: tuple[str, ...]) -> int | None:
    return next((names.index(name) for name in allowed if name in names), None)


def _field(row: Row, column: int | None) -> str:
    return row.field(column).strip() if column is not None else ""


def _moments(events: Sequence[Row], column: int, name: str, zone: str) -> TimeColumn:
    fields, lines = [row.field(column) for row in events], [row.line for row in events]
    return moments.read(fields, lines, zone=zone, name=name, repeats=True)


def _size(row: Row, column: int | None) -> float:
    written = _field(row, column)
    if not written:
        return 1.0
    mark = "," if "," in written and "." not in written else "."
    try:
        value = float(numerals.read([written], [row.line], mark, "").values[0])
    except TraceError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise TraceError(f'line {row.line}: "{written[:40]}" is not allowed (a number more than 0)')
    return value
