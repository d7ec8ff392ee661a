"""What is rare in a message, read in plain Python: native histograms, exemplars, metadata.

A native histogram becomes the series that a classic one has: `_count`, `_sum`, and, where a figure
asks for them, cumulative `_bucket`s, so that one rule gives quantiles of both kinds.  Bounds are
those of Prometheus's exponential schemas, 2^(i·2^-schema), or the histogram's own (schema -53).
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.ingest.labels import LONGEST, MOST_LABELS
from engine.ingest.plain import (
    Labels,
    WireError,
    WireVersion,
    fields,
    label_of,
    real,
    refs_of,
    signed,
    varint,
)

if TYPE_CHECKING:  # it needs numba, and whoever scrapes does not
    from engine.ingest.columns import Columns

STALE_BITS = 0x7FF0_0000_0000_0002
"""The NaN by which Prometheus says that a series has ended."""
STALE = struct.unpack("<d", struct.pack("<Q", STALE_BITS))[0]
CUSTOM = -53
"""The schema of histograms that bring their own bounds."""
SCHEMAS = range(-4, 9)
MOST_BUCKETS = 4_096
TYPES = (
    "unknown",
    "counter",
    "gauge",
    "histogram",
    "gaugehistogram",
    "summary",
    "info",
    "stateset",
)


class RareError(Exception):
    """A part that is well-formed and says something impossible; the message says what."""


@dataclass(frozen=True, slots=True)
class NativeHistogram:
    """One histogram at one time: cumulative counts by upper bound, the last of them infinite."""

    at_ms: int
    started_ms: int
    count: float
    total: float
    cumulative: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An example of what a series counts, with labels of its own, such as a trace's."""

    at_ms: int
    value: float
    labels: Labels


@dataclass(frozen=True, slots=True)
class FamilyMetadata:
    """What a family of metrics is."""

    kind: str
    help: str
    unit: str


def histogram_of(b: bytes) -> NativeHistogram:
    """Read one; raises WireError, and RareError where its figures contradict each other."""
    numbers: dict[int, int | bytes] = {}
    spans: dict[int, list[tuple[int, int]]] = {8: [], 11: []}
    packed: dict[int, list[bytes]] = {}
    for tag, _, part in fields(b):
        field = tag >> 3
        if field in spans and isinstance(part, bytes):
            spans[field].append(_span(part))
        elif field in (9, 10, 12, 13, 16) and isinstance(part, bytes):
            packed.setdefault(field, []).append(part)
        else:
            numbers[field] = part
    schema, total = _zigzag(_whole(numbers, 4)), _real(numbers, 3)
    in_floats = 2 in numbers
    count = _real(numbers, 2) if in_floats else float(_whole(numbers, 1))
    zeros = _real(numbers, 7) if 7 in numbers else float(_whole(numbers, 6))
    bounds = _reals(packed.get(16, []))
    if schema != CUSTOM and schema not in SCHEMAS:
        raise RareError(f"a histogram of schema {schema}")
    if schema == CUSTOM and (
        spans[8] or zeros or not all(map(math.isfinite, bounds))
        or any(b <= a for a, b in itertools.pairwise(bounds))
    ):  # fmt: skip
        raise RareError("a histogram whose own bounds are not finite and rising")
    positive = _buckets(spans[11], packed, 12, 13)
    negative = _buckets(spans[8], packed, 9, 10)
    if schema == CUSTOM and any(not 0 <= index <= len(bounds) for index, _ in positive):
        raise RareError("a histogram with fewer bounds than buckets")
    inside = zeros + sum(n for _, n in positive) + sum(n for _, n in negative)
    stale = _bits(total) == STALE_BITS
    if not stale and (
        any(n < 0.0 for _, n in (*positive, *negative)) or zeros < 0.0 or count < 0.0
        or (not in_floats and (inside > count if math.isnan(total) else inside != count))
    ):  # fmt: skip
        raise RareError("a histogram whose count is not that of its buckets")
    return NativeHistogram(
        signed(_whole(numbers, 15)), signed(_whole(numbers, 17)), STALE if stale else count, total,
        () if stale else tuple(
            _cumulated(
                schema, bounds, positive, negative,
                zeros=zeros, threshold=_real(numbers, 5), count=count,
            )
        ),
    )  # fmt: skip


def exemplar_of(b: bytes, columns: Columns) -> Exemplar:
    """Read one; raises WireError and RareError."""
    pairs: list[tuple[bytes, bytes]] = []
    refs: list[int] = []
    value, at_ms = 0.0, 0
    for tag, _, part in fields(b):
        if tag == 17 and isinstance(part, bytes):
            value = real(part)
        elif tag == 24 and isinstance(part, int):
            at_ms = signed(part)
        elif tag == 10 and isinstance(part, bytes):
            if columns.version is WireVersion.ONE:
                pairs.append(label_of(part))
            else:
                refs.extend(refs_of(part))
        elif tag == 8 and isinstance(part, int):
            refs.append(part)
    if len(refs) % 2:
        raise RareError("an exemplar with a label name without a value")
    named = [columns.symbol(ref) for ref in refs]
    pairs.extend(zip(named[::2], named[1::2], strict=True))
    if len(pairs) > MOST_LABELS or sum(len(a) + len(c) for a, c in pairs) > LONGEST:
        raise RareError("an exemplar with too many labels")
    try:
        labels = tuple(sorted((str(a, "utf-8"), str(c, "utf-8")) for a, c in pairs))
    except UnicodeDecodeError:
        raise RareError("an exemplar with a label that is not UTF-8") from None
    return Exemplar(at_ms, value, labels)


def metadata_of(b: bytes, columns: Columns) -> tuple[str, FamilyMetadata]:
    """The name of a family ("": that of the series) and what it is; raises WireError, RareError."""
    kind, texts = 0, dict.fromkeys((2, 4, 5), b"")
    for tag, _, part in fields(b):
        if tag == 8 and isinstance(part, int):
            kind = part
        elif columns.version is WireVersion.TWO and tag in (24, 32) and isinstance(part, int):
            texts[4 if tag == 24 else 5] = columns.symbol(part)
        elif columns.version is WireVersion.ONE and tag in (18, 34, 42) and isinstance(part, bytes):
            texts[tag >> 3] = part
    try:
        name, about, unit = (str(texts[field][:LONGEST], "utf-8") for field in (2, 4, 5))
    except UnicodeDecodeError:
        raise RareError("metadata that is not UTF-8") from None
    return name, FamilyMetadata(TYPES[kind] if kind < len(TYPES) else TYPES[0], about, unit)


def _span(b: bytes) -> tuple[int, int]:
    offset = length = 0
    for tag, _, part in fields(b):
        if tag == 8 and isinstance(part, int):
            offset = _zigzag(part)
        elif tag == 16 and isinstance(part, int):
            length = part
    return offset, length


def _buckets(
    spans: list[tuple[int, int]], packed: Mapping[int, list[bytes]], deltas: int, counts: int
) -> list[tuple[int, float]]:
    """Index and count of each bucket."""
    if sum(length for _, length in spans) > MOST_BUCKETS:
        raise RareError(f"a histogram of more than {MOST_BUCKETS:,} buckets")
    indexes: list[int] = []
    at = 0
    for k, (offset, length) in enumerate(spans):
        if k and offset < 0:
            raise RareError("a histogram whose spans overlap")
        at += offset
        indexes.extend(range(at, at + length))
        at += length
    values = _reals(packed.get(counts, []))
    if not values:
        running = 0
        for part in packed.get(deltas, []):
            i = 0
            while i < len(part):
                number, i = varint(part, i)
                running += _zigzag(number)
                values.append(float(running))
    if len(values) != len(indexes):
        raise RareError("a histogram whose spans are not those of its buckets")
    return list(zip(indexes, values, strict=True))


def _cumulated(
    schema: int, bounds: list[float], positive: list[tuple[int, float]],
    negative: list[tuple[int, float]], *, zeros: float, threshold: float, count: float,
) -> Iterator[tuple[float, float]]:  # fmt: skip
    """Upper bound and cumulative count of each bucket, from the lowest."""
    running = 0.0
    for index, number in reversed(negative):
        running += number
        yield -_bound(schema, index - 1), running
    if zeros:
        running += zeros
        yield threshold, running
    for index, number in positive:
        running += number
        upper = (
            _bound(schema, index) if schema != CUSTOM
            else bounds[index] if index < len(bounds) else math.inf
        )  # fmt: skip
        if math.isfinite(upper):
            yield upper, running
    yield math.inf, count


def _bound(schema: int, index: int) -> float:
    try:
        return float(2.0 ** (index * 2.0**-schema))
    except OverflowError:
        return math.inf


def _zigzag(number: int) -> int:
    return (number >> 1) ^ -(number & 1)


def _whole(numbers: Mapping[int, int | bytes], field: int) -> int:
    number = numbers.get(field, 0)
    if not isinstance(number, int):
        raise WireError("a histogram is not one")
    return number


def _real(numbers: Mapping[int, int | bytes], field: int) -> float:
    part = numbers.get(field, bytes(8))
    if not isinstance(part, bytes) or len(part) != 8:
        raise WireError("a histogram is not one")
    return real(part)


def _reals(parts: list[bytes]) -> list[float]:
    if any(len(part) % 8 for part in parts):
        raise WireError("a histogram is not one")
    return [value for part in parts for (value,) in struct.iter_unpack("<d", part)]


def _bits(value: float) -> int:
    (bits,) = struct.unpack("<Q", struct.pack("<d", value))
    return int(bits)
