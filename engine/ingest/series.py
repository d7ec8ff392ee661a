"""The time series that come in: numbered, each with its labels, forgotten when they end.

A series keeps its number for as long as it lives.  Whoever scrapes and whoever
receives number them here.

**Memory is bounded**: there are at most so many series, with a KiB of labels each on average; what
comes beyond is refused with that reason, and series that nothing came of for a while make room for
others.  Their numbers are given anew; by then the ring holds no sample of them any more.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.ingest import labels as label_sets
from engine.ingest.plain import Labels

BYTES = 1_024
"""Of the labels of a series, on average over as many as there may be."""
REFUSED = -1
"""The number of a series that there is no room for."""


class SeriesNumbers:
    """Numbers for label sets: at most `most` at one time."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._numbers: dict[bytes, int] = {}
        self._written: list[bytes] = []
        self._free: list[int] = []
        self._bytes = 0
        self._seen_s = np.full(1024, -np.inf)

    def __len__(self) -> int:
        return len(self._numbers)

    def number(self, labels: Labels) -> tuple[int, bool]:
        """The number of a series, and whether it is a new one; REFUSED where there is no room."""
        raw = label_sets.written(labels)
        number = self._numbers.get(raw)
        if number is not None:
            return number, False
        if len(self._numbers) >= self.most or self._bytes + len(raw) > BYTES * self.most:
            return REFUSED, False
        if self._free:
            number = self._free.pop()
            self._written[number] = raw
        else:
            number = len(self._written)
            self._written.append(raw)
            if number >= len(self._seen_s):
                grown = np.full(2 * len(self._seen_s), -np.inf)
                grown[: len(self._seen_s)] = self._seen_s
                self._seen_s = grown
        self._numbers[raw] = number
        self._bytes += len(raw)
        return number, True

    def labels(self, number: int) -> Labels:
        """The labels of a series."""
        return label_sets.read(self._written[number])

    def written(self, number: int) -> bytes:
        """The labels of a series as `engine.ingest.labels.written` writes them."""
        return self._written[number]

    def seen(self, numbers: NDArray[np.int64], now_s: float) -> None:
        """Something came of the series `numbers` at `now_s`."""
        self._seen_s[numbers] = now_s

    def forget(self, before_s: float) -> NDArray[np.int64]:
        """Let go of the series that nothing came of since `before_s`; returns their numbers."""
        silent = [
            number for number in np.flatnonzero(self._seen_s[: len(self._written)] < before_s)
            if self._written[number]
        ]  # fmt: skip
        for number in silent:
            del self._numbers[self._written[number]]
            self._bytes -= len(self._written[number])
            self._written[number] = b""
            self._free.append(int(number))
        return np.array(silent, np.int64)
