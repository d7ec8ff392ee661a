"""Measured traces from files: CSV as people's tools export it, a time and a value to each row.

Traces come from elsewhere, so this is a border: what passes is sorted, free of duplicates and on an
even grid, with NaN where nothing was measured.  How a file is written is found out from all of it,
never from a guess at its first line, and said in `Trace.read_as`; where two readings fit, the file
is refused with what was seen and the key that settles it.  A file that is no trace at all (labels,
a fixture list) is told apart from a trace that is broken: the first is left out of a folder and
listed, the second is an error with its line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from engine.model import FloatArray, Series
from scenarios.traces import columns, moments, numerals, table, text
from scenarios.traces.columns import TimeFields
from scenarios.traces.errors import NoTraceError as NoTraceError
from scenarios.traces.errors import TraceError as TraceError
from scenarios.traces.table import Measurements, Row

SUFFIXES = (".csv", ".csv.gz")
MOST_STEPS = 5_000_000
"""Limit of the even grid: a single wrong year must not fill the memory."""
COHERENT = 0.9
"""How alike the rows' places within a step are (1: the same) where they say when steps begin."""
COUNTED = ("sum", "count")
"""What a file of events is made into: their sum, or their number, in each step."""


@dataclass(frozen=True, slots=True)
class FileLayout:
    """How a file is to be read, where it does not say so itself; empty: find out.

    `columns` are the values' (several are added up), `series` the names of the series that count in
    a file of several.  `zone` is that of times that name none.  With `repeated` "sum" or "count" a
    row is an event: its value, or it, counts in the step that it falls into.
    """

    columns: tuple[str, ...] = ()
    time_column: str = ""
    series: tuple[str, ...] = ()
    separator: str = ""
    decimal: str = ""
    time_format: str = ""
    encoding: str = ""
    zone: str = "UTC"
    repeated: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """What a file holds, in the order of time: `times_s` (rows,) epoch seconds, all different.

    `values` (rows,) with NaN for an empty field; `duplicates` rows repeated a time and were left
    out (the first one counts), `unsorted` rows stood behind a later one and were put in order.
    `read_as` says in words how the file was understood.  `own_zone`: the times say their zone, and
    `offsets_s` which; `counted`: a value is what came in the step, not a rate.
    """

    name: str
    times_s: FloatArray
    values: FloatArray
    duplicates: int
    unsorted: int = 0
    read_as: tuple[str, ...] = ()
    own_zone: bool = True
    offsets_s: frozenset[float] = frozenset()
    counted: bool = False

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


def read(path: Path, name: str = "", layout: FileLayout = FileLayout()) -> Trace:
    """Read a trace; `name` is what it is called, else as its file.

    Raises NoTraceError for a file that holds something else, or several series of which none is
    asked for; TraceError for a broken one.
    """
    try:
        return _read(path, name or stem(path), layout)
    except TraceError as error:
        raise type(error)(f"{path}: {error}") from None


def _read(path: Path, name: str, layout: FileLayout) -> Trace:
    content = text.read(path, layout.encoding)
    lines = table.split(
        content.lines, layout.separator, lambda row: columns.is_row(row, layout.time_format)
    )
    times = columns.times(lines, layout.time_column, layout.time_format)
    whole = table.cut(lines, times.of, lambda field: _holds_time(field, times, layout))
    if layout.repeated == "count":
        chosen: list[int] = []
    else:
        chosen = columns.values(whole, times, layout.columns)
    groups, series = columns.of_series(whole, times, chosen, layout.series)
    parts = [
        _column(rows, times, at, whole, layout=layout) for rows in groups for at in chosen or [-1]
    ]
    spoken = ["+".join(whole.name(at) for at in times.columns), *map(whole.name, chosen)]
    read_as = [
        f"{content.encoding}, fields separated by {table.spoken(lines.separator)}",
        f'time: column "{spoken[0]}", {parts[0].time_note}',
        "value: the number of rows"
        if not chosen
        else f'value: column "{" + ".join(spoken[1:])}", {parts[0].value_note}',
        *([f"series: {series}"] if series else []),
        *([f"left out: {', '.join(whole.left_out)}"] if whole.left_out else []),
    ]
    if any(part.falling for part in parts):
        read_as.append("newest row first, put in order of time")
    times_s, values, duplicates = _added(parts, layout.repeated)
    return Trace(
        name,
        times_s,
        values,
        duplicates,
        sum(part.unsorted for part in parts),
        tuple(read_as),
        parts[0].own_zone,
        parts[0].offsets_s,
        layout.repeated in COUNTED,
    )


@dataclass(frozen=True, slots=True, eq=False)
class _Column:
    """One series of one column of values, in the order of time; times may repeat."""

    times_s: FloatArray
    values: FloatArray
    unsorted: int
    falling: bool
    time_note: str
    value_note: str
    own_zone: bool
    offsets_s: frozenset[float]


def _holds_time(field: str, times: TimeFields, layout: FileLayout) -> bool:
    """Whether a field is a time; a date and a time of day in two columns are one."""
    if len(times.columns) > 1:
        return columns.is_joined(field)
    return moments.is_time(field, layout.time_format)


def _column(
    rows: Sequence[Row], times: TimeFields, at: int, whole: Measurements, *, layout: FileLayout
) -> _Column:
    lines = [row.line for row in rows]
    read = moments.read(
        [times.of(row) for row in rows],
        lines,
        zone=layout.zone,
        time_format=layout.time_format,
        name=whole.name(times.columns[0]),
        repeats=layout.repeated in COUNTED,
    )
    if at < 0:
        values, note = np.ones(len(rows)), ""
    else:
        for row in rows:
            if len(row.fields) <= at:
                raise TraceError(f"line {row.line}: has no value")
        numbers = numerals.read(
            [row.field(at) for row in rows], lines, layout.decimal, whole.separator
        )
        values, note = numbers.values, numbers.note
    times_s, steps = read.times_s, np.diff(read.times_s)
    falling = len(steps) > 0 and bool((steps <= 0.0).all()) and bool((steps < 0.0).any())
    if falling:
        times_s, values, steps = times_s[::-1], values[::-1], -steps
    unsorted = int(np.count_nonzero(steps < 0.0))
    order = np.argsort(times_s, kind="stable")
    return _Column(
        times_s[order], values[order], unsorted, falling, read.note, note, read.own_zone,
        read.offsets_s,
    )  # fmt: skip


def _added(parts: Sequence[_Column], repeated: str) -> tuple[FloatArray, FloatArray, int]:
    """The sum of the columns at each time that any has; NaN where one has no value.

    Of rows that repeat a time the first counts, unless rows are events: then all of them do.
    """
    times_s = np.unique(np.concatenate([part.times_s for part in parts]))
    values = np.zeros(len(times_s))
    duplicates = 0
    for part in parts:
        own = np.zeros(len(times_s)) if repeated in COUNTED else np.full(len(times_s), np.nan)
        at = np.searchsorted(times_s, part.times_s)
        if repeated in COUNTED:
            np.add.at(own, at, np.nan_to_num(part.values))
        else:
            first = np.unique(part.times_s, return_index=True)[1]
            own[at[first]] = part.values[first]
            duplicates += len(part.times_s) - len(first)
        values += own
    return times_s, values, duplicates


def stem(path: Path) -> str:
    """The file's name without its endings."""
    return path.name.removesuffix(".gz").removesuffix(".csv")


def on_grid(trace: Trace, step_s: float) -> Series:
    """Means over an even grid of `step_s` seconds, aligned to whole multiples of it.

    Where each row is a step, the grid is aligned to the rows: hours of a zone that is half an hour
    off, or days that begin at a local midnight, are none of whole multiples.  Nothing is made up: a
    step without a row is NaN, and of events it is 0 events/s.  The first and last steps are left
    out where rows cover less than half of them.  Raises TraceError when the grid would be too long.
    """
    usual = step_s / trace.step_s if trace.step_s > 0.0 else 1.0
    phase_s = None if trace.counted or usual > 1.5 else _phase_s(trace.times_s, step_s)
    if phase_s is None:
        phase_s, position = 0.0, np.floor(trace.times_s / step_s)
    else:
        position = np.round((trace.times_s - phase_s) / step_s)
    span = position[-1] - position[0] + 1
    if span > MOST_STEPS:
        raise TraceError(
            f"{trace.name}: {span:,.0f} steps of {step_s:g} s between the first and the last row "
            f"are not allowed (1 … {MOST_STEPS:,})"
        )
    index = (position - position[0]).astype(np.int64)
    if trace.counted:
        counts = np.bincount(index, trace.values, minlength=int(span))
        return Series(trace.name, float(position[0]) * step_s, step_s, counts / step_s)
    there = np.isfinite(trace.values)
    sums = np.bincount(index[there], trace.values[there], minlength=int(span))
    counts = np.bincount(index[there], minlength=int(span)).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        values = np.where(counts > 0.0, sums / counts, np.nan)
    low, high = 0, len(values)
    if usual > 1.5 and high > 2:
        low = int(counts[0] < 0.5 * usual)
        high -= int(counts[-1] < 0.5 * usual)
    start_s = phase_s + float(position[0] + low) * step_s
    return Series(trace.name, start_s, step_s, values[low:high])


def _phase_s(times_s: FloatArray, step_s: float) -> float | None:
    """Seconds by which the rows are after whole multiples of a step; None where they are anywhere.

    It is the direction of their circular mean, to the second.
    """
    mean = complex(np.exp(2j * np.pi * (times_s / step_s)).mean())
    if abs(mean) < COHERENT:
        return None
    return float(np.round(step_s * (np.angle(mean) / (2.0 * np.pi) % 1.0))) % step_s
