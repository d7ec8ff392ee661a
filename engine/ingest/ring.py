"""The newest samples in memory, as they came: blocks of columns, the oldest of which go.

20 bytes a sample; bounded in time and in number, whichever comes first.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BLOCK = 65_536
"""Samples of a block."""


@dataclass(slots=True)
class _Block:
    series: NDArray[np.uint32]
    at_ms: NDArray[np.int64]
    values: NDArray[np.float64]
    used: int = 0
    came_s: float = 0.0
    """When its newest sample came."""


class SampleRing:
    """Samples of the last `span_s` seconds by the time at which they came, at most `most`."""

    def __init__(self, span_s: float, most: int) -> None:
        self._span_s = span_s
        self._most = most
        self._size = min(BLOCK, max(most // 8, 1))
        self._blocks: deque[_Block] = deque()
        self.count = 0

    def add(
        self,
        series: NDArray[np.int64],
        at_ms: NDArray[np.int64],
        values: NDArray[np.float64],
        now_s: float,
    ) -> None:
        """Take samples in, in the order in which they came."""
        done = 0
        while done < len(series):
            if not self._blocks or self._blocks[-1].used == self._size:
                self._blocks.append(
                    _Block(np.empty(self._size, np.uint32), np.empty(self._size, np.int64),
                           np.empty(self._size))
                )  # fmt: skip
            block = self._blocks[-1]
            size = min(self._size - block.used, len(series) - done)
            into, of = slice(block.used, block.used + size), slice(done, done + size)
            block.series[into], block.at_ms[into] = series[of], at_ms[of]
            block.values[into] = values[of]
            block.used += size
            block.came_s = now_s
            done += size
            self.count += size
        self.forget(now_s)

    def forget(self, now_s: float) -> None:
        """Let go of what is too old, or too much."""
        while self._blocks and (
            self.count > self._most or self._blocks[0].came_s < now_s - self._span_s
        ):
            self.count -= self._blocks.popleft().used

    def between(
        self, series: NDArray[np.int64], from_ms: int, to_ms: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
        """Samples of some series from one time until before another, in the order they came in."""
        parts = list(self._parts(series, from_ms, to_ms))
        if not parts:
            return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        numbers, times, values = (np.concatenate(column) for column in zip(*parts, strict=True))
        return numbers, times, values

    def _parts(
        self, series: NDArray[np.int64], from_ms: int, to_ms: int
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]]:
        if not len(series):
            return
        wanted = np.zeros(int(series.max()) + 1, np.bool_)
        wanted[series] = True
        for block in self._blocks:
            numbers, at_ms = block.series[: block.used], block.at_ms[: block.used]
            rows = np.flatnonzero((at_ms >= from_ms) & (at_ms < to_ms) & (numbers < len(wanted)))
            rows = rows[wanted[numbers[rows]]]
            yield numbers[rows].astype(np.int64), at_ms[rows], block.values[rows]
