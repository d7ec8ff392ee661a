"""Measured traces from files: plain CSV, a time and a value to each row.

Traces come from elsewhere, so this is a border: what passes is sorted, free of duplicates and on an
even grid, with NaN where nothing was measured.  A file that is no trace at all (labels, a fixture
list) is told apart from a trace that is broken: the first is left out of a folder and listed, the
second is an error with its line.
"""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np

from engine.model import FloatArray, Series

SUFFIXES = (".csv", ".csv.gz")
VALUE_NAMES = ("value", "values", "requests", "count", "rate", "load", "y")
MISSING = ("", "na", "nan", "null", "none")
MOST_STEPS = 5_000_000
"""Limit of the even grid: a single wrong year must not fill the memory."""


class TraceError(ValueError):
    """A file that cannot be taken as a trace; the message names it and its line."""


class NoTraceError(TraceError):
    """A file that is something else: its first row is not a time and a number."""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What a file holds, in the order of time: `times_s` (rows,) epoch seconds, all different.

    `values` (rows,) with NaN for an empty field; `duplicates` rows repeated a time and were left
    out (the first one counts), `unsorted` rows stood behind a later one and were put in order.
    """

    name: str
    times_s: FloatArray
    values: FloatArray
    duplicates: int
    unsorted: int = 0

    @property
    def step_s(self) -> float:
        """The usual distance of two rows, in seconds."""
        return float(np.median(np.diff(self.times_s))) if len(self.times_s) > 1 else math.nan


def find(path: Path) -> list[Path]:
    """The CSV files at `path` (a file, or a folder with all below it), in order of their names.

    Raises TraceError when there is nothing there.
    """
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise TraceError(f"{path}: there is no such file or folder")
    files = sorted(file for file in path.rglob("*.csv*") if file.name.endswith(SUFFIXES))
    if not files:
        raise TraceError(f"{path}: no .csv or .csv.gz in this folder")
    return files


def read(path: Path, name: str = "", *, column: str = "", zone: str = "UTC") -> Trace:
    """Read a trace: the time in the first column, the value in the one called so, or the second.

    Times are ISO 8601 (without a zone: in `zone`), or seconds or milliseconds since 1970; a header
    is optional, further columns are left alone.  `column` names the value's column in the header,
    if it is not one of the usual.  Raises NoTraceError for a file that holds something else,
    TraceError for a broken one.
    """
    times: list[float] = []
    values: list[float] = []
    where, at = ZoneInfo(zone), 1
    for line, row in _rows(path):
        if not row or (len(row) == 1 and not row[0].strip()):
            continue
        if line == 1 and _is_header(row):
            at = _value_column(path, row, column)
            continue
        if line == 1 and column:
            raise TraceError(f'{path}: has no header, so no column "{column}"')
        try:
            time_s = _time(row[0], where)
            value = _number(row[at] if at < len(row) else None)
        except ValueError as error:
            if not times:
                raise NoTraceError(
                    f"{path}: line {line}: {error}; not a time and a value"
                ) from None
            raise TraceError(f"{path}: line {line}: {error}") from None
        times.append(time_s)
        values.append(value)
    if not times:
        raise NoTraceError(f"{path}: holds no rows")
    all_s = np.array(times)
    kept_s, first = np.unique(all_s, return_index=True)
    unsorted = int(np.count_nonzero(np.diff(all_s) < 0.0))
    return Trace(
        name or stem(path), kept_s, np.array(values)[first], len(times) - len(kept_s), unsorted
    )


def stem(path: Path) -> str:
    """The file's name without its endings."""
    return path.name.removesuffix(".gz").removesuffix(".csv")


def on_grid(trace: Trace, step_s: float) -> Series:
    """Means over an even grid of `step_s` seconds, aligned to whole multiples of it.

    Nothing is made up: a step without a row is NaN.  The first and last steps are left out where
    rows cover less than half of them.  Raises TraceError when the grid would be too long.
    """
    position = np.floor(trace.times_s / step_s)
    span = position[-1] - position[0] + 1
    if span > MOST_STEPS:
        raise TraceError(
            f"{trace.name}: {span:,.0f} steps of {step_s:g} s between the first and the last row "
            f"are not allowed (1 … {MOST_STEPS:,})"
        )
    index = (position - position[0]).astype(np.int64)
    there = np.isfinite(trace.values)
    sums = np.bincount(index[there], trace.values[there], minlength=int(span))
    counts = np.bincount(index[there], minlength=int(span)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(counts > 0.0, sums / counts, np.nan)
    low, high = 0, len(values)
    usual = step_s / trace.step_s if trace.step_s > 0.0 else 1.0
    if usual > 1.5 and high > 2:
        low = int(counts[0] < 0.5 * usual)
        high -= int(counts[-1] < 0.5 * usual)
    return Series(trace.name, float(position[0] + low) * step_s, step_s, values[low:high])


def parse_time(text: str, zone: dt.tzinfo = dt.UTC) -> float:
    """Epoch seconds of an ISO 8601 time (without a zone: in `zone`); raises ValueError."""
    moment = dt.datetime.fromisoformat(text.strip())
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=zone)
    return moment.timestamp()


def _rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """The rows of a file with their line numbers."""
    opened = gzip.open if path.name.endswith(".gz") else open
    line = 0
    try:
        with opened(path, "rt", encoding="utf-8-sig", newline="") as file:
            for line, row in enumerate(csv.reader(file), 1):
                yield line, row
    except (UnicodeDecodeError, csv.Error, gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise TraceError(f"{path}: after line {line}: not a CSV text ({error})") from None
    except OSError as error:
        raise TraceError(f"{path}: {error.strerror or error}") from None


def _is_header(row: list[str]) -> bool:
    try:
        _time(row[0])
    except ValueError:
        return True
    return False


def _value_column(path: Path, header: list[str], wanted: str) -> int:
    names = [name.strip().lower() for name in header]
    if wanted:
        if wanted.strip().lower() not in names[1:]:
            raise TraceError(f'{path}: "{wanted}" is not one of its columns ({", ".join(header)})')
        return names.index(wanted.strip().lower(), 1)
    if len(names) < 2:
        raise NoTraceError(f"{path}: has one column, a time and a value are needed")
    for name in VALUE_NAMES:
        if name in names[1:]:
            return names.index(name, 1)
    return 1


def _time(text: str, zone: dt.tzinfo = dt.UTC) -> float:
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        try:
            return parse_time(text, zone)
        except ValueError:
            raise ValueError(
                f'"{text[:40]}" is not a time (ISO 8601, or seconds since 1970)'
            ) from None
    if not math.isfinite(number) or abs(number) > 1e14:
        raise ValueError(f'"{text[:40]}" is not a time (ISO 8601, or seconds since 1970)')
    return number / 1000.0 if abs(number) > 1e11 else number


def _number(text: str | None) -> float:
    if text is None:
        raise ValueError("has no value")
    text = text.strip()
    if text.lower() in MISSING:
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise ValueError(f'"{text[:40]}" is not a number') from None
    return value if math.isfinite(value) else math.nan
