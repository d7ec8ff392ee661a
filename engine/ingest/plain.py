"""Remote write's messages read in plain Python: the reference of `engine.ingest.wire`.

It is also how the rare parts of a message (`engine.ingest.rare`) are read, which need not be fast.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

Labels = tuple[tuple[str, str], ...]
"""Names and values of a series' labels."""


class WireVersion(IntEnum):
    """Which of remote write's messages a body is."""

    ONE = 1
    TWO = 2


class BombError(Exception):
    """A body that is larger than it may be once it is decompressed; the message says how large."""


class WireError(Exception):
    """The bytes are not the message that they should be; the message says why."""


BROKEN = "it is not the message that its Content-Type names"
OTHER = "it is the message of remote write's other version, which its Content-Type does not name"
NO_SYMBOL = "it refers to a symbol that is not there"
ODD_LABELS = "a series has a label name without a value"


def varint(b: bytes, i: int) -> tuple[int, int]:
    """The number at `i` and where it ends; raises WireError."""
    value = 0
    for shift in range(0, 70, 7):
        if i >= len(b):
            raise WireError(BROKEN)
        value |= (b[i] & 0x7F) << shift
        i += 1
        if b[i - 1] < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, i
    raise WireError(BROKEN)


def fields(b: bytes) -> Iterator[tuple[int, int, int | bytes]]:
    """Each field of a message: its tag (number × 8 + wire type), where it begins, what it holds.

    Raises WireError for what is no message.
    """
    i = 0
    while i < len(b):
        before = i
        tag, i = varint(b, i)
        wire = tag & 7
        if tag < 8:
            raise WireError(BROKEN)
        if wire == 0:
            number, i = varint(b, i)
            yield tag, before, number
            continue
        if wire not in (1, 2, 5):
            raise WireError(BROKEN)
        if wire == 2:
            size, i = varint(b, i)
        else:
            size = 8 if wire == 1 else 4
        if size > len(b) - i:
            raise WireError(BROKEN)
        yield tag, before, b[i : i + size]
        i += size


@dataclass(slots=True)
class PlainSeries:
    """One series of a message: its labels as bytes, its samples (value, time, start; ms)."""

    labels: list[tuple[bytes, bytes]] = field(default_factory=list)
    samples: list[tuple[float, int, int]] = field(default_factory=list)
    histograms: list[bytes] = field(default_factory=list)
    exemplars: list[bytes] = field(default_factory=list)
    metadata: list[bytes] = field(default_factory=list)
    created_ms: int = 0


def read_1(b: bytes) -> list[PlainSeries]:
    """The series of a `prometheus.WriteRequest`; raises WireError."""
    parts = list(fields(b))
    if any(tag in (34, 42) for tag, _, _ in parts):
        raise WireError(OTHER)
    of_series = (part for tag, _, part in parts if tag == 10)
    return [_series_1(part) for part in of_series if isinstance(part, bytes)]


def read_2(b: bytes) -> list[PlainSeries]:
    """The series of an `io.prometheus.write.v2.Request`; raises WireError."""
    parts = list(fields(b))
    if any(tag in (10, 26) for tag, _, _ in parts):
        raise WireError(OTHER)
    symbols = [part for tag, _, part in parts if tag == 34 and isinstance(part, bytes)]
    return [
        _series_2(part, symbols) for tag, _, part in parts if tag == 42 and isinstance(part, bytes)
    ]


def label_of(b: bytes) -> tuple[bytes, bytes]:
    """Name and value of a label message of 1.0; raises WireError."""
    name = value = b""
    for tag, _, part in fields(b):
        if tag == 10 and isinstance(part, bytes):
            name = part
        elif tag == 18 and isinstance(part, bytes):
            value = part
    return name, value


def refs_of(b: bytes) -> list[int]:
    """The numbers of a packed field; raises WireError."""
    refs, i = [], 0
    while i < len(b):
        ref, i = varint(b, i)
        refs.append(ref)
    return refs


def signed(number: int) -> int:
    """A 64-bit number as the wire has it, with its sign."""
    return number - (1 << 64) if number >> 63 else number


def real(b: bytes) -> float:
    """A double of the wire."""
    (value,) = struct.unpack("<d", b)
    return float(value)


def _sample(b: bytes, *, latest: bool) -> tuple[float, int, int]:
    value, at_ms, started_ms = 0.0, 0, 0
    for tag, _, part in fields(b):
        if tag == 9 and isinstance(part, bytes):
            value = real(part)
        elif tag == 16 and isinstance(part, int):
            at_ms = signed(part)
        elif tag == 24 and latest and isinstance(part, int):
            started_ms = signed(part)
    return value, at_ms, started_ms


def _series_1(b: bytes) -> PlainSeries:
    series = PlainSeries()
    for tag, _, part in fields(b):
        if not isinstance(part, bytes):
            continue
        if tag == 10:
            series.labels.append(label_of(part))
        elif tag == 18:
            series.samples.append(_sample(part, latest=False))
        elif tag == 26:
            series.exemplars.append(part)
        elif tag == 34:
            series.histograms.append(part)
    return series


def _series_2(b: bytes, symbols: list[bytes]) -> PlainSeries:
    series, refs = PlainSeries(), list[int]()
    for tag, _, part in fields(b):
        if isinstance(part, int):
            if tag == 8:
                refs.append(part)
            elif tag == 48:
                series.created_ms = signed(part)
        elif tag == 10:
            refs.extend(refs_of(part))
        elif tag == 18:
            series.samples.append(_sample(part, latest=True))
        elif tag == 26:
            series.histograms.append(part)
        elif tag == 34:
            series.exemplars.append(part)
        elif tag == 42:
            series.metadata.append(part)
    if any(ref >= len(symbols) for ref in refs):
        raise WireError(NO_SYMBOL)
    if len(refs) % 2:
        raise WireError(ODD_LABELS)
    named = [symbols[ref] for ref in refs]
    series.labels = list(zip(named[::2], named[1::2], strict=True))
    return series
