"""SipHash-1-3 and the table behind it, compiled; see `engine.ingest.wire` for what they are for."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The compiler infers the types, of each way in which a function is called.

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

_OPTIONS: dict[str, Any] = {"cache": True, "nogil": True, "_nrt": False}
compiled = njit(**_OPTIONS)
"""Without numba's reference counts: nothing is allocated, and records of arrays cost nothing."""

_ONE = np.uint64(1)
_EIGHT = np.uint64(8)
_V0 = np.uint64(0x736F6D6570736575)
_V1 = np.uint64(0x646F72616E646F6D)
_V2 = np.uint64(0x6C7967656E657261)
_V3 = np.uint64(0x7465646279746573)
_LAST = np.uint64(0xFF)


class Lookup(NamedTuple):
    """The arrays of a table of label bytes; entries are numbered in the order of coming."""

    keys: NDArray[np.uint64]
    """(places,), a power of two: the hash of what is there."""
    places: NDArray[np.int64]
    """(places,): the number of what is there + 1; 0: nothing."""
    starts: NDArray[np.int64]
    """(entries,): where its bytes begin in the arena."""
    sizes: NDArray[np.int64]
    """(entries,): how many they are."""
    arena: NDArray[np.uint8]
    after: NDArray[np.int64]
    """(entries + 1,): number + 1 of what came after each entry the last time, by number + 1."""


class Piece(NamedTuple):
    """Bytes of `b` from `start` to `end`."""

    b: NDArray[np.uint8]
    start: np.int64
    end: np.int64


class SymbolRefs(NamedTuple):
    """The labels that `refs` from `start` to `end` name."""

    refs: NDArray[np.int64]
    start: np.int64
    end: np.int64


class Symbols(NamedTuple):
    """The symbols of a message."""

    b: NDArray[np.uint8]
    """The message."""
    at: NDArray[np.int64]
    """(symbols,): where each begins."""
    size: NDArray[np.int64]
    """(symbols,): how many bytes it has."""
    hashed: NDArray[np.uint64]
    """(symbols,)."""


@compiled
def eight_bytes(b, i):
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


@compiled
def _size(b, i):
    """Four bytes as a size, the lowest first; the caller knows that they are there."""
    u = np.uint64(i)
    return np.int64(
        np.uint64(b[u])
        | np.uint64(b[u + _ONE]) << np.uint64(8)
        | np.uint64(b[u + np.uint64(2)]) << np.uint64(16)
        | np.uint64(b[u + np.uint64(3)]) << np.uint64(24)
    )


@compiled
def _left(x, by):
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@compiled
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


@compiled
def _begun(key):
    """The state of a SipHash before its first word."""
    return _V0 ^ key[0], _V1 ^ key[1], _V2 ^ key[0], _V3 ^ key[1]


@compiled
def siphash(b, start, end, key):
    """SipHash-1-3 of the bytes from `start` to `end`; `key` is two 64-bit words."""
    v0, v1, v2, v3 = _begun(key)
    i = start
    while i + 8 <= end:
        word = eight_bytes(b, i)
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
    return _closed((v0, v1, v2, v3), word)


@compiled
def _closed(state, word):
    """The last word of a SipHash, and its end."""
    v0, v1, v2, v3 = state
    v3 ^= word
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0 ^= word
    v2 ^= _LAST
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    v0, v1, v2, v3 = _round(v0, v1, v2, v3)
    return v0 ^ v1 ^ v2 ^ v3


@compiled
def siphash_of(labels, symbols, key):
    """SipHash-1-3 of the hashes of the symbols that `labels` name, one word each."""
    v0, v1, v2, v3 = _begun(key)
    for k in range(labels.start, labels.end):
        word = symbols.hashed[labels.refs[k]]
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    count = np.uint64(labels.end - labels.start)
    return _closed((v0, v1, v2, v3), count << np.uint64(59))


@compiled
def alike(a, i, piece):
    """Whether the bytes of `a` from `i` are those of `piece`; `a` has so many."""
    b, j, end = piece
    size = end - j
    k = 0
    while k + 8 <= size:
        if eight_bytes(a, i + k) != eight_bytes(b, j + k):
            return False
        k += 8
    while k < size:
        if a[np.uint64(i + k)] != b[np.uint64(j + k)]:
            return False
        k += 1
    return True


@compiled
def look_up(piece, h, table):
    """The number of the label bytes `piece`, hashed `h`, in the table; -1: they are not in it."""
    mask = np.int64(len(table.keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while table.places[k] != 0:
        one = table.places[k] - 1
        if (
            table.keys[k] == h
            and table.sizes[one] == piece.end - piece.start
            and alike(table.arena, table.starts[one], piece)
        ):
            return one
        k = (k + 1) & mask
    return np.int64(-1)


@compiled
def look_up_refs(labels, symbols, h, table):
    """The number of the labels, hashed `h`, in the table; -1: they are not in it."""
    mask = np.int64(len(table.keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while table.places[k] != 0:
        one = table.places[k] - 1
        if table.keys[k] == h and _written(table, one, labels, symbols):
            return one
        k = (k + 1) & mask
    return np.int64(-1)


@compiled
def _written(table, one, labels, symbols):
    """Whether entry `one` of the table has these labels: sizes and bytes, one after the other."""
    at, stop = table.starts[one], table.starts[one] + table.sizes[one]
    for r in range(labels.start, labels.end):
        symbol = labels.refs[r]
        start, size = symbols.at[symbol], symbols.size[symbol]
        if at + 4 + size > stop or _size(table.arena, at) != size:
            return False
        if not alike(table.arena, at + 4, Piece(symbols.b, start, start + size)):
            return False
        at += 4 + size
    return at == stop


@compiled
def put_in(keys, places, h, one):
    """Enter number `one` under hash `h`; the table has room."""
    mask = np.int64(len(keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while places[k] != 0:
        k = (k + 1) & mask
    keys[k] = h
    places[k] = one + 1


@compiled
def put_all_in(keys, places, hashes, numbers):
    """Enter all `numbers`, each under its hash."""
    for k in range(len(numbers)):
        put_in(keys, places, hashes[k], numbers[k])
