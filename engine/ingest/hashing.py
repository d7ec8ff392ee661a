"""SipHash-1-3 and the table behind it, compiled; see `engine.ingest.wire` for what they are for."""

# mypy: allow-untyped-defs, allow-untyped-calls
# The compiler infers the types, of each way in which a function is called.

from __future__ import annotations

import numpy as np
from numba import njit

_ONE = np.uint64(1)
_EIGHT = np.uint64(8)
_V0 = np.uint64(0x736F6D6570736575)
_V1 = np.uint64(0x646F72616E646F6D)
_V2 = np.uint64(0x6C7967656E657261)
_V3 = np.uint64(0x7465646279746573)
_LAST = np.uint64(0xFF)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def _size(b, i):
    """Four bytes as a size, the lowest first; the caller knows that they are there."""
    u = np.uint64(i)
    return np.int64(
        np.uint64(b[u])
        | np.uint64(b[u + _ONE]) << np.uint64(8)
        | np.uint64(b[u + np.uint64(2)]) << np.uint64(16)
        | np.uint64(b[u + np.uint64(3)]) << np.uint64(24)
    )


@njit(cache=True, nogil=True)
def _left(x, by):
    return (x << np.uint64(by)) | (x >> np.uint64(64 - by))


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def siphash(b, start, end, key):
    """SipHash-1-3 of the bytes from `start` to `end`; `key` is two 64-bit words."""
    v0, v1, v2, v3 = _V0 ^ key[0], _V1 ^ key[1], _V2 ^ key[0], _V3 ^ key[1]
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
    return _closed(v0, v1, v2, v3, word)


@njit(cache=True, nogil=True)
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


@njit(cache=True, nogil=True)
def siphash_of(hashes, refs, start, end, key):
    """SipHash-1-3 of the hashes that `refs` from `start` to `end` point at, one word each."""
    v0, v1, v2, v3 = _V0 ^ key[0], _V1 ^ key[1], _V2 ^ key[0], _V3 ^ key[1]
    for k in range(start, end):
        word = hashes[refs[k]]
        v3 ^= word
        v0, v1, v2, v3 = _round(v0, v1, v2, v3)
        v0 ^= word
    return _closed(v0, v1, v2, v3, np.uint64(end - start) << np.uint64(59))


@njit(cache=True, nogil=True)
def alike(a, i, b, j, size):
    """Whether `size` bytes of `a` from `i` and of `b` from `j` are the same; both have so many."""
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


@njit(cache=True, nogil=True)
def look_up(b, start, end, h, keys, places, starts, sizes, arena):
    """The number of the label bytes from `start` to `end` in the table; -1: they are not in it."""
    mask = np.int64(len(keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while places[k] != 0:
        one = places[k] - 1
        if (
            keys[k] == h
            and sizes[one] == end - start
            and alike(arena, starts[one], b, start, end - start)
        ):
            return one
        k = (k + 1) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)
def look_up_refs(
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
                    or not alike(arena, at + 4, b, symbol_at[refs[r]], size)
                ):  # fmt: skip
                    same = False
                    break
                at += 4 + size
            if same and at == stop:
                return one
        k = (k + 1) & mask
    return np.int64(-1)


@njit(cache=True, nogil=True)
def put_in(keys, places, h, one):
    """Enter number `one` under hash `h`; the table has room."""
    mask = np.int64(len(keys) - 1)
    k = np.int64(h & np.uint64(mask))
    while places[k] != 0:
        k = (k + 1) & mask
    keys[k] = h
    places[k] = one + 1


@njit(cache=True, nogil=True)
def put_all_in(keys, places, hashes, numbers):
    """Enter all `numbers`, each under its hash."""
    for k in range(len(numbers)):
        put_in(keys, places, hashes[k], numbers[k])
