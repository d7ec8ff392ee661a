"""A calendar of events from a CSV file: when each starts, and what is known of it beforehand.

A football fixture list as it is published will do: a column with the start, and whatever else.
Columns that say how big an event is expected to be (`size`, `importance`) and of what sort it is
(`stage`, `kind`) are used where they exist.
"""

from __future__ import annotations

import csv
import math
from pathlib import Path

import numpy as np

from engine.model import Calendar
from scenarios.traces.files import parse_time

START_NAMES = ("kickoff_utc", "start_utc", "start", "start_time", "kickoff", "time", "timestamp",
               "date")  # fmt: skip
SIZE_NAMES = ("size", "importance", "expected_size", "weight")
KIND_NAMES = ("stage", "kind", "type", "category")
KNOWN_NAMES = ("known_utc", "known", "booked_utc", "booked", "announced")
MOST_EVENTS = 1_000_000


class FixturesError(ValueError):
    """A file that is no calendar of events; the message names it, its line and what is allowed."""


def read(path: Path) -> Calendar:
    """Read a calendar; raises FixturesError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = [row for row in csv.reader(file) if any(field.strip() for field in row)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise FixturesError(f"{path}: not a CSV text ({error})") from None
    except OSError as error:
        raise FixturesError(f"{path}: {error.strerror or error}") from None
    if len(rows) < 2:
        raise FixturesError(f"{path}: holds no events (a header and a row for each event)")
    if len(rows) - 1 > MOST_EVENTS:
        raise FixturesError(
            f"{path}: {len(rows) - 1:,} events are not allowed (1 … {MOST_EVENTS:,})"
        )
    names = [name.strip().lower() for name in rows[0]]
    start = _column(names, START_NAMES)
    if start is None:
        raise FixturesError(
            f"{path}: no column for the start of an event (one of {', '.join(START_NAMES)})"
        )
    size, kind, entered = (
        _column(names, allowed) for allowed in (SIZE_NAMES, KIND_NAMES, KNOWN_NAMES)
    )
    events = []
    for line, row in enumerate(rows[1:], 2):
        where = f"{path}: line {line}"
        if len(row) <= start:
            raise FixturesError(f"{where}: has no {names[start]}")
        expected, booked = _field(row, size), _field(row, entered)
        events.append(
            (
                _moment(row[start], f"{where}: {names[start]}"),
                _size(expected, where) if expected else 1.0,
                _field(row, kind),
                _moment(booked, where) if booked else -math.inf,
            )
        )
    events.sort()
    sizes = np.array([event[1] for event in events])
    usual = float(np.median(sizes)) or 1.0
    return Calendar(
        start_s=np.array([event[0] for event in events]),
        size=sizes / usual,
        kinds=tuple(event[2] for event in events),
        known_s=np.array([event[3] for event in events]),
    )


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


def _field(row: list[str], column: int | None) -> str:
    return row[column].strip() if column is not None and column < len(row) else ""


def _moment(text: str, where: str) -> float:
    try:
        return parse_time(text)
    except ValueError:
        raise FixturesError(f'{where}: "{text[:40]}" is not an ISO 8601 time') from None


def _size(text: str, where: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0.0 < value < math.inf:
        raise FixturesError(f'{where}: "{text[:40]}" is not allowed (a number more than 0)')
    return value
