"""Label bytes as senders write them, each with the series that it means, behind a keyed hash.

Senders write the same labels in more than one way (two versions of the protocol, orders of the
labels), so each way is an entry, and several entries may mean one series.  An entry that there is
no room for is not remembered: its labels are then read again each time, which is slow and right.
"""

from __future__ import annotations

from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.ingest import hashing
from engine.ingest.series import BYTES

_Kind = TypeVar("_Kind", bound=np.generic)
FIRST = 1 << 11
"""Entries that there is room for at first."""


class LabelTable:
    """At most `most` entries, with a KiB each on average."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._count = 0
        self._used = 0
        self.keys = np.zeros(2 * FIRST, np.uint64)
        self.places = np.zeros(2 * FIRST, np.int64)
        self.starts = np.zeros(FIRST, np.int64)
        self.sizes = np.zeros(FIRST, np.int64)
        self.series = np.zeros(FIRST, np.int64)
        self.after = np.zeros(FIRST + 1, np.int64)
        """Entry + 1 that came after each entry the last time; by entry + 1, 0 is the beginning."""
        self.arena = np.zeros(1 << 18, np.uint8)
        self._hashes = np.zeros(FIRST, np.uint64)

    def __len__(self) -> int:
        return self._count

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """What a walk looks up in: a `hashing.Lookup` as a plain tuple."""
        table = hashing.Lookup(
            self.keys, self.places, self.starts, self.sizes, self.arena, self.after
        )
        return tuple(table)

    def add(self, raw: bytes, hashed: int, series: int) -> None:
        """Remember that `raw`, whose hash is `hashed`, means `series`; when full, nothing is."""
        one, size = self._count, len(raw)
        if one >= self._most or self._used + size > BYTES * self._most:
            return
        if one == len(self.starts):
            self.starts, self.sizes = _doubled(self.starts), _doubled(self.sizes)
            self.series, self._hashes = _doubled(self.series), _doubled(self._hashes)
            self.after = _doubled(self.after)
        while self._used + size > len(self.arena):
            self.arena = _doubled(self.arena)
        self.arena[self._used : self._used + size] = np.frombuffer(raw, np.uint8)
        self.starts[one], self.sizes[one] = self._used, size
        self.series[one], self._hashes[one] = series, np.uint64(hashed)
        self._used += size
        self._count += 1
        if 2 * self._count > len(self.places):
            self._enter_all(2 * len(self.places))
        else:
            hashing.put_in(self.keys, self.places, np.uint64(hashed), one)

    def forget(self, series: NDArray[np.int64]) -> None:
        """Let go of every entry that means one of `series`."""
        stay = np.flatnonzero(~np.isin(self.series[: self._count], series))
        if len(stay) == self._count:
            return
        starts, sizes = self.starts[stay], self.sizes[stay]
        arena = np.zeros(max(1 << 18, 1 << int(sizes.sum()).bit_length()), np.uint8)
        at = 0
        for k, (start, size) in enumerate(zip(starts.tolist(), sizes.tolist(), strict=True)):
            arena[at : at + size] = self.arena[start : start + size]
            self.starts[k] = at
            at += size
        count = len(stay)
        self.arena, self._used = arena, at
        self.sizes[:count] = sizes
        self.series[:count] = self.series[stay]
        self._hashes[:count] = self._hashes[stay]
        self._count = count
        self.after[:] = 0  # they have other numbers now
        self._enter_all(max(2 * FIRST, 1 << (2 * count).bit_length()))

    def _enter_all(self, size: int) -> None:
        self.keys, self.places = np.zeros(size, np.uint64), np.zeros(size, np.int64)
        hashing.put_all_in(
            self.keys, self.places, self._hashes[: self._count], np.arange(self._count)
        )


def _doubled(array: NDArray[_Kind]) -> NDArray[_Kind]:
    grown = np.zeros(2 * len(array), array.dtype)
    grown[: len(array)] = array
    return grown
