"""Remote write's two messages from their wire format to columns, every bound checked.

A message is walked in place: no object is made for a series or a sample.  `walk_1` reads
`prometheus.WriteRequest` (remote write 1.0), `walk_2` reads `io.prometheus.write.v2.Request` (2.0);
the wire format is protobuf's (protobuf.dev/programming-guides/encoding).  A row of the first
columns is a series of the message, a row of the second ones a sample; what is rare (histograms,
exemplars, metadata) is only located, as a row of the third, for `engine.ingest.rare` to read.

**Which series it is** is asked of a table behind a keyed hash, SipHash-1-3 (Aumasson and Bernstein,
2012) of the label bytes.  Whoever does not know the key cannot aim at one place of the table, and
the bytes themselves are compared before a hash counts: no two series are ever taken for one.

**Nothing is trusted.**  Every index is compared with the end of what it lies in before it is used;
what does not fit ends the walk with a negative number that says why (`FAULTS`).  Fields may come in
any order, as the wire format allows, fields that nobody knows are skipped, and nothing is
recursive. `engine.ingest.plain` says the same in plain Python, and the tests compare the two.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from engine.ingest import plain

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

_ONE = np.uint64(1)
_SEVEN = np.uint64(7)
_EIGHT = np.uint64(8)
_V0 = np.uint64(0x736F6D6570736575)
_V1 = np.uint64(0x646F72616E646F6D)
_V2 = np.uint64(0x6C7967656E657261)
_V3 = np.uint64(0x7465646279746573)
_LAST = np.uint64(0xFF)
_COMPILED = {"cache": True, "nogil": True}


@njit(**_COMPILED)
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


@njit(**_COMPILED)
def _part(b, i, end):
    """Where the field whose length is at `i` begins and ends; -1 if it does not end by `end`."""
    size, i = _varint(b, i, end)
    if i < 0 or size > np.uint64(end - i):
        return np.int64(-1), np.int64(-1)
    return i, i + np.int64(size)


@njit(**_COMPILED)
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


@njit(**_COMPILED)
def _word(b, i):
    """Eight bytes, the lowest first; the caller knows that they are there.

    An index without a sign spares the question whether it counts from the end, eight times.
    """
    u = np.uint64(i)
    return (
        np.uint64(b[u])
        | np.uint64(b[u + _ONE]) << np.uint64(8)
        | np.uint64(b[u + np.uint64(2)]) << np.uint64(16)
        | np.uint64(b[u + np.uint64(3)]) << np.uint64(24)
        | np.uint64(b[u + np.uint64(4)]) << np.uint64(32)
        | np.uint64(b[u + np.uint64(5)]) << np.uint64(40)
        | np.uint64(b[u + np.uint64(6)]) << np.uint64(48)
        | np.uint64(b[u + np.uint64(7)]) << np.uint64(56)
    )


@njit(**_COMPILED)
def _size(b, i):
    """Four bytes as a size, the lowest first; the caller knows that they are there."""
    u = np.uint64(i)
    return np.int64(
        np.uint64(b[u])
        | np.uint64(b[u + _ONE]) << np.uint64(8)
        | np.uint64(b[u + np.uint64(2)]) << np.uint64(16)
        | np.uint64(b[u + np.uint64(3)]) << np.uint64(24)
    )


@njit(**_COMPILED)
def _left(x, by):
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@njit(**_COMPILED)
def _round(v0, v1, v2, v3):
    v0 += v1
    v1 = _left(v1, 13) ^ v0
    v0 = _left(v0, 32)
    v2 += v3
    v3 = _left(v3, 16) ^ v2
    v0 += v3
    v3 = _left(v3, 21) ^ v0
    v2 += v1
    v1 = _left(v1, 17) ^ v2
    v2 = _left(v2, 32)
    return v0, v1, v2, v3


@njit(**_COMPILED)
def siphash(b, start, end, key):
    """SipHash-1-3 of the bytes from `start` to `end`; `key` is two 64-bit words."""
    v0, v1, v2, v3 = _V0 ^ key[0], _V1 ^ key[1], _V2 ^ key[0], _V3 ^ key[1]
    i = start
    while i + 8 <= end:
        word = _word(b, i)
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
        i += 8
    word = np.uint64(end - start) << np.uint64(56)
    shift = np.uint64(0)
    while i < end:
        word |= np.uint64(b[np.uint64(i)]) << shift
        shift += _EIGHT
        i += 1
    return _closed(v0, v1, v2, v3, word)


@njit(**_COMPILED)
def _closed(v0, v1, v2, v3, word):
    """The last word of a SipHash, and its end."""
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= _LAST
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@njit(**_COMPILED)
def siphash_of(hashes, refs, start, end, key):
    """SipHash-1-3 of the hashes that `refs` from `start` to `end` point at, one word each."""
    v0, v1, v2, v3 = _V0 ^ key[0], _V1 ^ key[1], _V2 ^ key[0], _V3 ^ key[1]
    for k in range(start, end):
        word = hashes[refs[k]]
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    return _closed(v0, v1, v2, v3, np.uint64(end - start) << np.uint64(59))


@njit(**_COMPILED)
def _alike(a, i, b, j, size):
    """Whether `size` bytes of `a` from `i` and of `b` from `j` are the same; both have so many."""
    k = 0
    while k + 8 <= size:
        if _word(a, i + k) != _word(b, j + k):
            return False
        k += 8
    while k < size:
        if a[np.uint64(i + k)] != b[np.uint64(j + k)]:
            return False
        k += 1
    return True


@njit(**_COMPILED)
def _look_up(b, start, end, h, keys, places, starts, sizes, arena):
    """The number of the label bytes from `start` to `end` in the table; -1: they are not in it."""
    mask = np.int64(len(keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while places[k] != 0:
        one = places[k] - 1
        if (
            keys[k] == h
            and sizes[one] == end - start
            and _alike(arena, starts[one], b, start, end - start)
        ):
            return one
        k = (k + 1) & mask
    return np.int64(-1)


@njit(**_COMPILED)
def _look_up_refs(
    b, refs, start, end, symbol_at, symbol_size, h, keys, places, starts, sizes, arena
):
    """The number of the labels that `refs` from `start` to `end` name; -1: not in the table."""
    mask = np.int64(len(keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while places[k] != 0:
        if keys[k] == h:
            one = places[k] - 1
            at, stop = starts[one], starts[one] + sizes[one]
            same = True
            for r in range(start, end):
                size = symbol_size[refs[r]]
                if (
                    at + 4 + size > stop
                    or _size(arena, at) != size
                    or not _alike(arena, at + 4, b, symbol_at[refs[r]], size)
                ):  # fmt: skip
                    same = False
                    break
                at += 4 + size
            if same and at == stop:
                return one
        k = (k + 1) & mask
    return np.int64(-1)


@njit(**_COMPILED)
def put_in(keys, places, h, one):
    """Enter number `one` under hash `h`; the table has room."""
    mask = np.int64(len(keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while places[k] != 0:
        k = (k + 1) & mask
    keys[k] = h
    places[k] = one + 1


@njit(**_COMPILED)
def put_all_in(keys, places, hashes, numbers):
    """Enter all `numbers`, each under its hash."""
    for k in range(len(numbers)):
        put_in(keys, places, hashes[k], numbers[k])


@njit(**_COMPILED)
def _sample(b, i, end, word, real, n, value, at_ms, started_ms, latest):
    """Read one sample into row `n`; whether it can be read.  `latest`: with a start, as in 2.0."""
    value[n] = 0.0
    at_ms[n] = 0
    started_ms[n] = 0
    while i < end:
        tag, i = _varint(b, i, end)
        if i < 0:
            return False
        if tag == 9:
            if i + 8 > end:
                return False
            word[0] = _word(b, i)
            value[n] = real[0]
            i += 8
        elif tag == 16:
            number, i = _varint(b, i, end)
            if i < 0:
                return False
            at_ms[n] = np.int64(number)
        elif tag == 24 and latest:
            number, i = _varint(b, i, end)
            if i < 0:
                return False
            started_ms[n] = np.int64(number)
        else:
            i = _skip(b, i, end, tag)
            if i < 0:
                return False
    return True


@njit(**_COMPILED)
def walk_1(
    b, scratch, key, keys, places, starts, sizes, arena,
    number, hashes, label_at, label_end, apart, row, value, at_ms, started_ms, rare,
):  # fmt: skip
    """Read a `prometheus.WriteRequest` of all bytes of `b`.

    `scratch` is as long as `b`: labels that do not lie together are put together there.  `key` is
    the hash's; `keys` … `arena` are the table's.  Fills for each series its `number` in the table
    (-1: not in it), its `hashes`, and where its labels are (`label_at` to `label_end`, in `scratch`
    where `apart`); for each sample the `row` of its series, `value`, `at_ms`, and 0 for
    `started_ms`; and in `rare` (kind, row of the series or -1, from, to).  Returns how many series,
    samples and rare rows there are, or a fault, 0, 0.
    """
    end = np.int64(len(b))
    i = np.int64(0)
    s, n, x, used = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    word = np.empty(1, np.uint64)
    real = word.view(np.float64)
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
        if s == len(number):
            return TOO_MANY, 0, 0
        begun = i
        first, last, together = np.int64(0), np.int64(0), True
        while i < stop:
            before = i
            tag, i = _varint(b, i, stop)
            if i < 0:
                return BROKEN, 0, 0
            if tag == 10:
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
                if n == len(value):
                    return TOO_MANY, 0, 0
                if not _sample(b, at, i, word, real, n, value, at_ms, started_ms, False):
                    return BROKEN, 0, 0
                row[n] = s
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
        if together:
            hashes[s] = siphash(b, first, last, key)
            number[s] = _look_up(b, first, last, hashes[s], keys, places, starts, sizes, arena)
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
            hashes[s] = siphash(scratch, first, last, key)
            number[s] = _look_up(
                scratch, first, last, hashes[s], keys, places, starts, sizes, arena
            )
        label_at[s], label_end[s], apart[s] = first, last, not together
        s += 1
    return s, n, x


@njit(**_COMPILED)
def walk_2(
    b, key, keys, places, starts, sizes, arena,
    symbol_at, symbol_size, symbol_hash, refs,
    number, hashes, label_at, label_end, created_ms, row, value, at_ms, started_ms, rare,
):  # fmt: skip
    """Read an `io.prometheus.write.v2.Request` of all bytes of `b`.

    As `walk_1`, with these besides: where each symbol is (`symbol_at`, `symbol_size`) and its
    `symbol_hash`; `refs` has for each series, from `label_at` to `label_end`, the symbols of its
    labels; `created_ms` when each series began, 0 if it does not say.  Returns as `walk_1`, with
    the number of symbols as a fourth.
    """
    end = np.int64(len(b))
    i = np.int64(0)
    s, n, x = np.int64(0), np.int64(0), np.int64(0)
    symbols, used = np.int64(0), np.int64(0)
    word = np.empty(1, np.uint64)
    real = word.view(np.float64)
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
        if symbols == len(symbol_at):
            return TOO_MANY, 0, 0, 0
        symbol_at[symbols], symbol_size[symbols] = at, i - at
        symbol_hash[symbols] = siphash(b, at, i, key)
        symbols += 1
    i = np.int64(0)
    while i < end:
        tag, i = _varint(b, i, end)
        if tag != 42:
            i = _skip(b, i, end, tag)
            continue
        i, stop = _part(b, i, end)
        if s == len(number):
            return TOO_MANY, 0, 0, 0
        first = used
        created_ms[s] = 0
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
                if n == len(value):
                    return TOO_MANY, 0, 0, 0
                if not _sample(b, at, i, word, real, n, value, at_ms, started_ms, True):
                    return BROKEN, 0, 0, 0
                row[n] = s
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
                created_ms[s] = np.int64(ms)
            else:
                i = _skip(b, i, stop, tag)
                if i < 0:
                    return BROKEN, 0, 0, 0
        if (used - first) % 2 != 0:
            return ODD_LABELS, 0, 0, 0
        hashes[s] = siphash_of(symbol_hash, refs, first, used, key)
        number[s] = _look_up_refs(
            b, refs, first, used, symbol_at, symbol_size, hashes[s],
            keys, places, starts, sizes, arena,
        )  # fmt: skip
        label_at[s], label_end[s] = first, used
        s += 1
    return s, n, x, symbols
