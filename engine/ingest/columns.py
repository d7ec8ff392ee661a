"""A body of remote write as columns: decompressed within a limit, then walked.

The memory of a request is bounded before it is taken: a body says how much it decompresses to (the
preamble of snappy's format), and no more than that can come of it; and there are at most so many
series, samples, symbols and rare parts, whatever they would take on the wire.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow
from numpy.typing import NDArray

from engine.ingest import wire
from engine.ingest.plain import BombError, WireError, WireVersion, label_of, varint
from engine.ingest.table import LabelTable

MOST_ROWS = 1_000_000
"""Series of a message; as many samples, symbols; four times as many labels."""
MOST_RARE = 100_000
"""Histograms, exemplars and metadata of a message."""


@dataclass(frozen=True, slots=True)
class Columns:
    """A message: a row for each series, one for each sample, one for each rare part.

    `entries` are the numbers of the series in the sender's table (-1: not in it), `hashes` those of
    their labels; `row` is the series of a sample, `at_ms` and `started_ms` are Unix times (0: it
    does not say when it started); `rare` is kind, series (-1: none), from and to in `raw`.  The
    columns are good until the next message is read.
    """

    version: WireVersion
    raw: NDArray[np.uint8]
    entries: NDArray[np.int64]
    hashes: NDArray[np.uint64]
    row: NDArray[np.int64]
    value: NDArray[np.float64]
    at_ms: NDArray[np.int64]
    started_ms: NDArray[np.int64]
    rare: NDArray[np.int64]
    label_at: NDArray[np.int64]
    label_end: NDArray[np.int64]
    apart: NDArray[np.bool_]
    scratch: NDArray[np.uint8]
    refs: NDArray[np.int64]
    symbol_at: NDArray[np.int64]
    symbol_size: NDArray[np.int64]

    def part(self, start: int, end: int) -> bytes:
        """Bytes of the message."""
        return self.raw[start:end].tobytes()

    def symbol(self, ref: int) -> bytes:
        """A symbol of a 2.0 message; raises WireError where there is none."""
        if not 0 <= ref < len(self.symbol_at):
            raise WireError(wire.FAULTS[wire.NO_SYMBOL])
        start = int(self.symbol_at[ref])
        return self.part(start, start + int(self.symbol_size[ref]))

    def written(self, series: int) -> bytes:
        """The labels of a series as its table keeps them."""
        start, end = int(self.label_at[series]), int(self.label_end[series])
        if self.version is WireVersion.ONE:
            return (self.scratch if self.apart[series] else self.raw)[start:end].tobytes()
        texts = (self.symbol(ref) for ref in self.refs[start:end].tolist())
        return b"".join(len(text).to_bytes(4, "little") + text for text in texts)


def pairs(version: WireVersion, written: bytes) -> list[tuple[bytes, bytes]]:
    """The labels of `Columns.written`, in the sender's order; raises WireError."""
    texts: list[bytes] = []
    i = 0
    if version is WireVersion.TWO:
        while i < len(written):
            size = int.from_bytes(written[i : i + 4], "little")
            texts.append(written[i + 4 : i + 4 + size])
            i += 4 + size
        return list(zip(texts[::2], texts[1::2], strict=True))
    read: list[tuple[bytes, bytes]] = []
    while i < len(written):
        size, i = varint(written, i + 1)  # after the tag, which is one byte
        read.append(label_of(written[i : i + size]))
        i += size
    return read


class Reader:
    """Reads bodies, one at a time, with buffers that it keeps.

    `key` is 16 bytes that no sender knows; `largest` the bytes of a message.
    """

    def __init__(self, key: bytes, largest: int) -> None:
        self.key = np.frombuffer(key, np.uint64)
        self._largest = largest
        self._codec = pyarrow.Codec("snappy")
        self._buffers = _Buffers(1 << 16)

    def read(self, body: bytes, version: WireVersion, table: LabelTable) -> Columns:
        """The columns of a body; raises WireError and BombError."""
        raw = self._decompressed(body)
        if len(raw) > self._buffers.size:
            self._buffers = _Buffers(1 << len(raw).bit_length())
        b = self._buffers
        symbols = 0
        if version is WireVersion.ONE:
            message = raw, b.scratch, self.key
            series, samples, rare = wire.walk_1(message, table.arrays, b.of_series, b.others)
        else:
            named = raw, b.refs, self.key, b.symbol_at, b.symbol_size, b.symbol_hash
            series, samples, rare, symbols = wire.walk_2(named, table.arrays, b.of_series, b.others)
        if series < 0:
            raise WireError(wire.FAULTS[series])
        row, started_ms = b.row[:samples], b.started_ms[:samples]
        if version is WireVersion.TWO and b.created_ms[:series].any():
            started_ms = np.where(started_ms == 0, b.created_ms[row], started_ms)
        return Columns(
            version, raw, b.entries[:series], b.hashes[:series], row, b.value[:samples],
            b.at_ms[:samples], started_ms, b.rare[:rare], b.label_at, b.label_end, b.apart,
            b.scratch, b.refs, b.symbol_at[:symbols], b.symbol_size[:symbols],
        )  # fmt: skip

    def _decompressed(self, body: bytes) -> NDArray[np.uint8]:
        try:
            size, _ = varint(body[:10], 0)
        except WireError:
            raise WireError("it is not compressed with snappy") from None
        if size > self._largest:
            raise BombError(
                f"it would be {size:,} bytes when it is decompressed (at most {self._largest:,})"
            )
        if size == 0:
            return np.zeros(0, np.uint8)
        try:
            plain = self._codec.decompress(body, size)
        except (OSError, pyarrow.ArrowException):
            raise WireError("it is not compressed with snappy") from None
        raw = np.frombuffer(plain, np.uint8)
        return raw if raw.flags.writeable else raw.copy()


class _Buffers:
    """Columns for a message of up to `size` bytes."""

    def __init__(self, size: int) -> None:
        self.size = size
        series = samples = symbols = min(size // 2 + 1, MOST_ROWS)  # two bytes: one without content
        self.scratch = np.empty(size, np.uint8)
        self.entries = np.empty(series, np.int64)
        self.hashes = np.empty(series, np.uint64)
        self.label_at, self.label_end = np.empty(series, np.int64), np.empty(series, np.int64)
        self.apart = np.zeros(series, np.bool_)
        self.created_ms = np.empty(series, np.int64)
        self.row, self.value = np.empty(samples, np.int64), np.empty(samples)
        self.at_ms, self.started_ms = np.empty(samples, np.int64), np.empty(samples, np.int64)
        self.rare = np.empty((min(size // 2 + 1, MOST_RARE), 4), np.int64)
        self.symbol_at, self.symbol_size = np.empty(symbols, np.int64), np.empty(symbols, np.int64)
        self.symbol_hash = np.empty(symbols, np.uint64)
        self.refs = np.empty(min(size, 4 * MOST_ROWS), np.int64)
        of_series = wire.SeriesRows(
            self.entries, self.hashes, self.label_at, self.label_end, self.apart, self.created_ms
        )
        self.of_series = tuple(of_series)
        self.others = self.row, self.value, self.at_ms, self.started_ms, self.rare
