"""Remote write's two messages from their wire format to columns, every bound checked.

A message is walked in place: no object is made for a series or a sample.  `walk_1` reads
`prometheus.WriteRequest` (remote write 1.0), `walk_2` reads `io.prometheus.write.v2.Request` (2.0);
the wire format is protobuf's (protobuf.dev/programming-guides/encoding).  A row of the first
columns is a series of the message, a row of the second ones a sample; what is rare (histograms,
exemplars, metadata) is only located, as a row of the third, for `engine.ingest.rare` to read.

**Which series it is** is asked of a table behind a keyed hash, SipHash-1-3 (Aumasson and Bernstein,
2012) of the label bytes.  Whoever does not know the key cannot aim at one place of the table, and
the bytes themselves are compared before a hash counts: no two series are ever taken for one.

A sender writes its series in one order, message after message.  So `walk_1` first compares a series
with the one that followed its predecessor the last time (`after` of the table): if its label bytes
are those, nothing of them has to be parsed or hashed.  If not, it is looked up as if nobody had
guessed.

**Nothing is trusted.**  Every index is compared with the end of what it lies in before it is used;
what does not fit ends the walk with a negative number that says why (`FAULTS`).  Fields may come in
any order, as the wire format allows, fields that nobody knows are skipped, and nothing is
recursive. `engine.ingest.plain` says the same in plain Python, and the tests compare the two.
"""

# mypy: allow-untyped-defs, allow-untyped-calls
# The compiler infers the types, of each way in which a function is called.

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.ingest import plain
from engine.ingest.hashing import (
    Lookup,
    Piece,
    SymbolRefs,
    Symbols,
    alike,
    compiled,
    eight_bytes,
    look_up,
    look_up_refs,
    siphash,
    siphash_of,
)

BROKEN, TOO_MANY, NO_SYMBOL, ODD_LABELS, OTHER = -1, -2, -3, -4, -5
FAULTS = {
    BROKEN: plain.BROKEN,
    TOO_MANY: "it holds more than a request may",
    NO_SYMBOL: plain.NO_SYMBOL,
    ODD_LABELS: plain.ODD_LABELS,
    OTHER: plain.OTHER,
}
"""What a negative result of a walk says."""

HISTOGRAM, EXEMPLAR, METADATA = 1, 2, 3
"""What a rare row is."""


class SeriesRows(NamedTuple):
    """What is read of each series, (series,)."""

    number: NDArray[np.int64]
    """In the table; -1: it is not in it."""
    hashes: NDArray[np.uint64]
    """Of its labels, if they had to be hashed."""
    label_at: NDArray[np.int64]
    """Where its labels begin: in the message, in `scratch` where they are `apart`, in `refs`."""
    label_end: NDArray[np.int64]
    apart: NDArray[np.bool_]
    created_ms: NDArray[np.int64]
    """When it began, 0 if it does not say; 2.0 only."""


class SampleRows(NamedTuple):
    """What is read of each sample, (samples,)."""

    row: NDArray[np.int64]
    """Of its series."""
    value: NDArray[np.float64]
    at_ms: NDArray[np.int64]
    started_ms: NDArray[np.int64]
    """0 if it does not say."""


_SEVEN = np.uint64(7)
_EIGHT = np.uint64(8)


@compiled
def _varint(b, i, end):
    """The number at `i` and where it ends; -1 where it does not within `end`."""
    if i < end and b[np.uint64(i)] < 0x80:
        return np.uint64(b[np.uint64(i)]), i + 1
    value = np.uint64(0)
    shift = np.uint64(0)
    for _ in range(10):
        if i >= end:
            return np.uint64(0), np.int64(-1)
        c = b[np.uint64(i)]
        i += 1
        value |= np.uint64(c & 0x7F) << shift
        if c < 0x80:
            return value, i
        shift += _SEVEN
    return np.uint64(0), np.int64(-1)


@compiled
def _part(b, i, end):
    """Where the field whose length is at `i` begins and ends; -1 if it does not end by `end`."""
    size, i = _varint(b, i, end)
    if i < 0 or size > np.uint64(end - i):
        return np.int64(-1), np.int64(-1)
    return i, i + np.int64(size)


@compiled
def _skip(b, i, end, tag):
    """Past a field that nobody knows; -1 where it does not end by `end`, or cannot be one."""
    wire = np.int64(tag & _SEVEN)
    if tag < _EIGHT:  # there is no field 0
        return np.int64(-1)
    if wire == 0:
        _, i = _varint(b, i, end)
        return i
    if wire == 2:
        _, i = _part(b, i, end)
        return i
    if wire == 1:
        i += 8
    elif wire == 5:
        i += 4
    else:  # groups, which protobuf has given up, and what is no wire type
        return np.int64(-1)
    return i if i <= end else np.int64(-1)


@compiled
def _sample(piece, samples, n, latest):
    """Read one sample into row `n`; whether it can be read.  `latest`: with a start, as in 2.0."""
    b, i, end = piece
    samples.value[n] = 0.0
    samples.at_ms[n] = 0
    samples.started_ms[n] = 0
    while i < end:
        tag, i = _varint(b, i, end)
        if i < 0:
            return False
        if tag == 9:
            if i + 8 > end:
                return False
            samples.value[n] = np.uint64(eight_bytes(b, i)).view(np.float64)
            i += 8
        elif tag == 16:
            number, i = _varint(b, i, end)
            if i < 0:
                return False
            samples.at_ms[n] = np.int64(number)
        elif tag == 24 and latest:
            number, i = _varint(b, i, end)
            if i < 0:
                return False
            samples.started_ms[n] = np.int64(number)
        else:
            i = _skip(b, i, end, tag)
            if i < 0:
                return False
    return True


@compiled
def walk_1(message, labels_table, series_rows, other_rows):  # noqa: C901
    """Read a `prometheus.WriteRequest`.

    `message` is all its bytes `b`, `scratch`, and the key of the hash.  `scratch` is as long as
    `b`: labels that do not lie together are put together there.  `labels_table` is a `Lookup`, and
    `series_rows` `SeriesRows`, which are filled; `other_rows` are the arrays of `SampleRows` and
    `rare` (rows, 4), which are filled, too: kind, row of the series or -1, from, to.  All of them
    are plain tuples, which numba looks through faster than records.
    Returns how many series, samples and rare rows there are, or a fault, 0, 0.
    """
    b, scratch, key = message
    table = Lookup(*labels_table)
    after = table.after
    series = SeriesRows(*series_rows)
    samples = SampleRows(other_rows[0], other_rows[1], other_rows[2], other_rows[3])
    rare = other_rows[4]
    end = np.int64(len(b))
    i = np.int64(0)
    s, n, x, used = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    previous = np.int64(0)
    while i < end:
        tag, i = _varint(b, i, end)
        if i < 0:
            return BROKEN, 0, 0
        if tag == 26:  # metadata of a family of metrics
            at, i = _part(b, i, end)
            if i < 0:
                return BROKEN, 0, 0
            if x == len(rare):
                return TOO_MANY, 0, 0
            rare[x, 0], rare[x, 1], rare[x, 2], rare[x, 3] = METADATA, -1, at, i
            x += 1
            continue
        if tag != 10:
            if tag == 34 or tag == 42:  # it is the other message: nothing of it would be written
                return OTHER, 0, 0
            i = _skip(b, i, end, tag)
            if i < 0:
                return BROKEN, 0, 0
            continue
        i, stop = _part(b, i, end)
        if i < 0:
            return BROKEN, 0, 0
        if s == len(series.number):
            return TOO_MANY, 0, 0
        begun = i
        first, last, together = np.int64(0), np.int64(0), True
        guessed = after[previous] - 1
        if guessed >= 0:
            size = table.sizes[guessed]
            whole = Piece(b, i, i + size)
            if size <= stop - i and alike(table.arena, table.starts[guessed], whole):
                first, last = i, i + size  # whole labels, as those in the table are
                i = last
            else:
                guessed = np.int64(-1)
        while i < stop:
            before = i
            tag, i = _varint(b, i, stop)
            if i < 0:
                return BROKEN, 0, 0
            if tag == 10:
                guessed = np.int64(-1)  # it has other labels besides
                _, i = _part(b, i, stop)
                if i < 0:
                    return BROKEN, 0, 0
                if last == 0:
                    first = before
                elif last != before:
                    together = False
                last = i
            elif tag == 18:
                at, i = _part(b, i, stop)
                if i < 0:
                    return BROKEN, 0, 0
                if n == len(samples.value):
                    return TOO_MANY, 0, 0
                if not _sample(Piece(b, at, i), samples, n, False):
                    return BROKEN, 0, 0
                samples.row[n] = s
                n += 1
            elif tag == 26 or tag == 34:
                at, i = _part(b, i, stop)
                if i < 0:
                    return BROKEN, 0, 0
                if x == len(rare):
                    return TOO_MANY, 0, 0
                rare[x, 0] = EXEMPLAR if tag == 26 else HISTOGRAM
                rare[x, 1], rare[x, 2], rare[x, 3] = s, at, i
                x += 1
            else:
                i = _skip(b, i, stop, tag)
                if i < 0:
                    return BROKEN, 0, 0
        if guessed >= 0:
            series.number[s] = guessed
        elif together:
            series.hashes[s] = siphash(b, first, last, key)
            series.number[s] = look_up(Piece(b, first, last), series.hashes[s], table)
        else:
            first = used
            j = begun
            while j < stop:  # what was read above cannot be broken here
                before = j
                tag, j = _varint(b, j, stop)
                if tag == 10:
                    _, j = _part(b, j, stop)
                    for k in range(before, j):
                        scratch[used] = b[k]
                        used += 1
                else:
                    j = _skip(b, j, stop, tag)
            last = used
            series.hashes[s] = siphash(scratch, first, last, key)
            series.number[s] = look_up(Piece(scratch, first, last), series.hashes[s], table)
        series.label_at[s], series.label_end[s], series.apart[s] = first, last, not together
        if series.number[s] >= 0:
            following = series.number[s] + 1
            if after[previous] != following:
                after[previous] = following
            previous = following
        s += 1
    return s, n, x


@compiled
def walk_2(message, labels_table, series_rows, other_rows):  # noqa: C901
    """Read an `io.prometheus.write.v2.Request`.

    As `walk_1`, but `message` is all its bytes `b`, `refs`, the key of the hash, and the arrays
    `at`, `size` and `hashed` of `Symbols`, which are filled; `refs` gets for each series, from
    `label_at` to `label_end`, the symbols of its labels.  Returns as `walk_1`, with the number of
    symbols as a fourth.
    """
    b, refs, key = message[0], message[1], message[2]
    symbol = Symbols(b, message[3], message[4], message[5])
    table = Lookup(*labels_table)
    series = SeriesRows(*series_rows)
    samples = SampleRows(other_rows[0], other_rows[1], other_rows[2], other_rows[3])
    rare = other_rows[4]
    end = np.int64(len(b))
    i = np.int64(0)
    s, n, x = np.int64(0), np.int64(0), np.int64(0)
    symbols, used = np.int64(0), np.int64(0)
    while i < end:  # the symbols first: they may come after what refers to them
        tag, i = _varint(b, i, end)
        if i < 0:
            return BROKEN, 0, 0, 0
        if tag != 34:
            if tag == 10 or tag == 26:
                return OTHER, 0, 0, 0
            i = _skip(b, i, end, tag)
            if i < 0:
                return BROKEN, 0, 0, 0
            continue
        at, i = _part(b, i, end)
        if i < 0:
            return BROKEN, 0, 0, 0
        if symbols == len(symbol.at):
            return TOO_MANY, 0, 0, 0
        symbol.at[symbols], symbol.size[symbols] = at, i - at
        symbol.hashed[symbols] = siphash(b, at, i, key)
        symbols += 1
    i = np.int64(0)
    while i < end:
        tag, i = _varint(b, i, end)
        if tag != 42:
            i = _skip(b, i, end, tag)
            continue
        i, stop = _part(b, i, end)
        if s == len(series.number):
            return TOO_MANY, 0, 0, 0
        first = used
        series.created_ms[s] = 0
        while i < stop:
            tag, i = _varint(b, i, stop)
            if i < 0:
                return BROKEN, 0, 0, 0
            if tag == 10 or tag == 8:  # packed, or one by one, which parsers have to take as well
                if tag == 10:
                    i, last = _part(b, i, stop)
                    if i < 0:
                        return BROKEN, 0, 0, 0
                else:
                    last = i + 1
                while i < last:
                    ref, i = _varint(b, i, last if tag == 10 else stop)
                    if i < 0:
                        return BROKEN, 0, 0, 0
                    if ref >= np.uint64(symbols):
                        return NO_SYMBOL, 0, 0, 0
                    if used == len(refs):
                        return TOO_MANY, 0, 0, 0
                    refs[used] = np.int64(ref)
                    used += 1
            elif tag == 18:
                at, i = _part(b, i, stop)
                if i < 0:
                    return BROKEN, 0, 0, 0
                if n == len(samples.value):
                    return TOO_MANY, 0, 0, 0
                if not _sample(Piece(b, at, i), samples, n, True):
                    return BROKEN, 0, 0, 0
                samples.row[n] = s
                n += 1
            elif tag == 26 or tag == 34 or tag == 42:
                at, i = _part(b, i, stop)
                if i < 0:
                    return BROKEN, 0, 0, 0
                if x == len(rare):
                    return TOO_MANY, 0, 0, 0
                rare[x, 0] = HISTOGRAM if tag == 26 else EXEMPLAR if tag == 34 else METADATA
                rare[x, 1], rare[x, 2], rare[x, 3] = s, at, i
                x += 1
            elif tag == 48:
                ms, i = _varint(b, i, stop)
                if i < 0:
                    return BROKEN, 0, 0, 0
                series.created_ms[s] = np.int64(ms)
            else:
                i = _skip(b, i, stop, tag)
                if i < 0:
                    return BROKEN, 0, 0, 0
        if (used - first) % 2 != 0:
            return ODD_LABELS, 0, 0, 0
        labels = SymbolRefs(refs, first, used)
        series.hashes[s] = siphash_of(labels, symbol, key)
        series.number[s] = look_up_refs(labels, symbol, series.hashes[s], table)
        series.label_at[s], series.label_end[s] = first, used
        s += 1
    return s, n, x, symbols
