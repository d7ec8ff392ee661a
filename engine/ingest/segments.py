"""Samples on disk: Parquet segments of 5 s, of a minute and of an hour, each whole or not there.

A row is one series in one span of time: smallest, largest, mean and how many samples.  A segment
has the rows of one hour that came in one go (of one day where a span is a minute, of one year where
it is an hour), by time and then by series; it is written beside its name, synced, renamed, and the
folder is synced, so that a kill leaves whole segments only.  Small segments are merged into one;
its name says which it took the place of, and what a kill left of those is ignored and removed.

Longer spans are made of shorter ones once nothing more can come late, and outlive them.
"""

from __future__ import annotations

import io
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow
import pyarrow.parquet as parquet
from numpy.typing import NDArray

from engine.record.files import remove, write_atomically

MERGED = 6
"""So many segments of one hour become one."""
NAME = re.compile(r"(-?\d+)-(\d+)-(\d+)\.(parquet|sealed)")
COLUMNS = ("series", "time_ms", "smallest", "largest", "mean", "count")


class Sealing(Protocol):
    """Turns bytes into what nobody else can read, and back; see `engine.security.sealing`."""

    def seal(self, plain: bytes, context: str) -> bytes:
        """Sealed, as `context`."""
        ...

    def open(self, sealed: bytes, context: str) -> bytes:
        """What was sealed as `context`."""
        ...


@dataclass(frozen=True, slots=True)
class SpanRows:
    """Rows by time, then by series: `series` numbers `labels`, as `labels.written` writes them."""

    labels: tuple[bytes, ...]
    series: NDArray[np.int32]
    time_ms: NDArray[np.int64]
    """When the span begins."""
    smallest: NDArray[np.float64]
    largest: NDArray[np.float64]
    mean: NDArray[np.float64]
    count: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.series)

    def at(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> SpanRows:
        """Some of the rows."""
        return SpanRows(
            self.labels, self.series[rows], self.time_ms[rows], self.smallest[rows],
            self.largest[rows], self.mean[rows], self.count[rows],
        )  # fmt: skip


NO_ROWS = SpanRows(
    (), np.zeros(0, np.int32), np.zeros(0, np.int64), np.zeros(0), np.zeros(0), np.zeros(0),
    np.zeros(0, np.int64),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tier:
    """Spans of one length: how many of them are filed together, and for how long."""

    name: str
    span_ms: int
    filed_ms: int
    days: float


def summed(
    labels: Sequence[bytes], series: NDArray[np.int64], at_ms: NDArray[np.int64],
    values: NDArray[np.float64], *, span_ms: int,
) -> SpanRows:  # fmt: skip
    """Samples, as they came, as rows; of several of one series and time the first counts.

    What is no number is left out: marks of an end, and holes.
    """
    finite = np.isfinite(values)
    series, at_ms, values = series[finite], at_ms[finite], values[finite]
    order = np.lexsort((at_ms, series))
    series, at_ms, values = series[order], at_ms[order], values[order]
    first = np.ones(len(series), np.bool_)
    first[1:] = (series[1:] != series[:-1]) | (at_ms[1:] != at_ms[:-1])
    series, at_ms, values = series[first], at_ms[first], values[first]
    rows = SpanRows(
        tuple(labels), series.astype(np.int32), at_ms, values, values, values,
        np.ones(len(series), np.int64),
    )  # fmt: skip
    return coarser(rows, span_ms)


def coarser(rows: SpanRows, span_ms: int) -> SpanRows:
    """Rows in spans of `span_ms`, each series once in each."""
    if not len(rows):
        return rows
    time_ms = rows.time_ms // span_ms * span_ms
    order = np.lexsort((rows.series, time_ms))
    rows, time_ms = rows.at(order), time_ms[order]
    first = np.ones(len(rows), np.bool_)
    first[1:] = (rows.series[1:] != rows.series[:-1]) | (time_ms[1:] != time_ms[:-1])
    starts = np.flatnonzero(first)
    count = np.add.reduceat(rows.count, starts)
    total = np.add.reduceat(rows.mean * rows.count, starts)
    smallest = np.minimum.reduceat(rows.smallest, starts)
    largest = np.maximum.reduceat(rows.largest, starts)
    mean = np.clip(total / count, smallest, largest)  # not outside for a rounding
    return SpanRows(
        rows.labels, rows.series[starts], time_ms[starts], smallest, largest, mean, count
    )


@dataclass(frozen=True, slots=True)
class _File:
    path: Path
    filed: int
    first: int
    last: int


def _rows_of(table: pyarrow.Table) -> SpanRows:
    """The rows of a segment's table; raises ValueError, KeyError and what Arrow raises."""
    if any(column.null_count for column in table.columns):
        raise ValueError("a value is missing")
    names = table.column("series").combine_chunks()
    if isinstance(names, pyarrow.ChunkedArray):
        names = names.chunk(0)
    rows = SpanRows(
        tuple(names.dictionary.to_pylist()), names.indices.to_numpy(),
        *(table.column(name).to_numpy() for name in COLUMNS[1:]),
    )  # fmt: skip
    if len(rows) and not 0 <= rows.series.min() <= rows.series.max() < len(rows.labels):
        raise ValueError("a series has no name")
    return rows


class SegmentFolder:
    """The segments of one tier; raises OSError where the disk does not do its part.

    With a `sealing` segments are sealed; such as are not are read all the same.
    """

    def __init__(self, folder: Path, tier: Tier, sealing: Sealing | None = None) -> None:
        self.tier = tier
        self._folder = folder / tier.name
        self._sealing = sealing
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for left in self._folder.glob(".*"):  # a write that was killed
            left.unlink(missing_ok=True)
        self._next = 1 + max((one.last for one in self._files()), default=-1)
        self._covered(self._files(), tidy=True)

    def add(self, rows: SpanRows) -> None:
        """File rows, a segment for each time that they are filed by; merges what is small."""
        filed = rows.time_ms // self.tier.filed_ms
        for one in np.unique(filed).tolist():
            self._write(rows.at(filed == one), one, self._next, self._next)
            self._next += 1
            files = self._of(one)
            if len(files) >= MERGED:
                self._merge(one, files)

    def filed(self) -> set[int]:
        """The times that there are segments of, in units of what is filed together."""
        return {one.filed for one in self._files()}

    def rows_of(self, filed: int) -> SpanRows:
        """All rows of one of those times."""
        return self._joined([self._read(one.path) for one in self._of(filed)])

    def between(
        self, from_ms: int, to_ms: int, wanted: Callable[[bytes], bool] | None = None
    ) -> SpanRows:
        """Rows whose span begins from one time until before another, of `wanted` labels."""
        return self._joined(list(self.parts(from_ms, to_ms, wanted)))

    def parts(
        self, from_ms: int, to_ms: int, wanted: Callable[[bytes], bool] | None = None
    ) -> Iterator[SpanRows]:
        """The same, a part a segment: a series may be there once in each for one span."""
        first, last = from_ms // self.tier.filed_ms, (to_ms - 1) // self.tier.filed_ms
        files = [one for one in self._covered(self._files()) if first <= one.filed <= last]
        for one in sorted(files, key=lambda one: (one.filed, one.first)):
            rows = self._read(one.path)
            if wanted is not None:
                which = np.array([wanted(labels) for labels in rows.labels], np.bool_)
                if not which.all():
                    rows = rows.at(which[rows.series])
            if len(rows) and (rows.time_ms[0] < from_ms or rows.time_ms[-1] >= to_ms):
                start, end = np.searchsorted(rows.time_ms, (from_ms, to_ms))
                rows = rows.at(np.arange(start, end))
            yield rows

    def forget(self, now_ms: int) -> None:
        """Remove what is older than it is kept."""
        oldest_ms = now_ms - round(self.tier.days * 86_400_000)
        for one in self._files():
            if (one.filed + 1) * self.tier.filed_ms <= oldest_ms:
                remove(one.path)

    def _joined(self, parts: Sequence[SpanRows]) -> SpanRows:
        """Parts as one; each series once in each span."""
        parts = [part for part in parts if len(part)]
        if not parts:
            return NO_ROWS
        numbers: dict[bytes, int] = {}
        series = []
        for part in parts:
            new = [numbers.setdefault(one, len(numbers)) for one in part.labels]
            series.append(np.array(new, np.int32)[part.series])
        apart = all(
            a.time_ms[-1] < b.time_ms[0] for a, b in itertools.pairwise(parts)
        )  # fmt: skip
        whole = SpanRows(
            tuple(numbers), np.concatenate(series),
            *(np.concatenate([getattr(part, name) for part in parts]) for name in COLUMNS[1:]),
        )  # fmt: skip
        return whole if apart else coarser(whole, self.tier.span_ms)

    def _merge(self, filed: int, files: Sequence[_File]) -> None:
        rows = self._joined([self._read(one.path) for one in files])
        self._write(rows, filed, min(f.first for f in files), max(f.last for f in files))
        for one in files:
            remove(one.path)

    def _of(self, filed: int) -> list[_File]:
        return sorted(
            (one for one in self._covered(self._files()) if one.filed == filed),
            key=lambda one: one.first,
        )

    def _covered(self, files: Iterable[_File], *, tidy: bool = False) -> list[_File]:
        """Without those that a merged one took the place of; `tidy`: these are removed."""
        files = list(files)
        alive = []
        for one in files:
            taken = any(
                other.filed == one.filed and other.path != one.path
                and other.first <= one.first and one.last <= other.last
                for other in files
            )  # fmt: skip
            if not taken:
                alive.append(one)
            elif tidy:
                remove(one.path)
        return alive

    def _files(self) -> Iterator[_File]:
        for path in sorted(self._folder.iterdir()):
            match = NAME.fullmatch(path.name)
            if match is not None:
                yield _File(path, int(match[1]), int(match[2]), int(match[3]))

    def _write(self, rows: SpanRows, filed: int, first: int, last: int) -> None:
        used, series = np.unique(rows.series, return_inverse=True)
        labels = pyarrow.array([rows.labels[k] for k in used.tolist()], pyarrow.binary())
        names = pyarrow.DictionaryArray.from_arrays(series.astype(np.int32), labels)
        columns = [names, *(pyarrow.array(getattr(rows, name)) for name in COLUMNS[1:])]
        table = pyarrow.Table.from_arrays(columns, names=list(COLUMNS))
        into = io.BytesIO()
        parquet.write_table(
            table, into, compression="lz4", use_dictionary=["series", "count", "time_ms"],
            row_group_size=1 << 24, store_schema=False, write_statistics=False,
        )  # fmt: skip
        plain, kind = into.getvalue(), "parquet"
        stem = f"{filed}-{first}-{last}"
        if self._sealing is not None:
            plain, kind = self._sealing.seal(plain, self._context(stem)), "sealed"
        write_atomically(self._folder / f"{stem}.{kind}", plain)

    def _read(self, path: Path) -> SpanRows:
        if path.suffix == ".sealed":
            if self._sealing is None:
                raise OSError(f"{path}: it is sealed, and there is no key")
            opened = self._sealing.open(path.read_bytes(), self._context(path.stem))
            file = pyarrow.BufferReader(opened)
        else:
            file = pyarrow.memory_map(str(path))
        try:
            with file:
                table = parquet.read_table(file, read_dictionary=["series"], use_threads=False)
            return _rows_of(table)
        except (pyarrow.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
            words = str(error).splitlines() or [type(error).__name__]
            raise OSError(0, f"it is damaged ({words[0][:100]})", str(path)) from None

    def _context(self, stem: str) -> str:
        return f"samples/{self.tier.name}/{stem}"
