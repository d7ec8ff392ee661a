"""The samples of a day, written by the engine's thread and read by the API's without a lock.

Rows go into blocks; a view is a tuple of blocks and how much of the last one is filled.  A row that
a view reaches is never written again, so a view is a frozen value, and making one costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.model import SAMPLE_FIELDS, FloatArray

BLOCK = 720
"""Samples of a block: an hour of 5 s."""
TIME = SAMPLE_FIELDS.index("time_s")


@dataclass(frozen=True, slots=True, eq=False)
class SampleView:
    """Samples in the order of `SAMPLE_FIELDS`, newest last."""

    blocks: tuple[FloatArray, ...] = ()
    filled: int = 0
    """Rows of the last block that count."""

    def since(self, time_s: float) -> FloatArray:
        """The samples after `time_s` (epoch seconds): (samples, fields)."""
        parts = []
        for i, block in enumerate(self.blocks):
            rows = block[: self.filled] if i == len(self.blocks) - 1 else block
            if len(rows) and rows[-1, TIME] > time_s:
                parts.append(rows[rows[:, TIME] > time_s])
        if not parts:
            return np.zeros((0, len(SAMPLE_FIELDS)))
        return np.concatenate(parts)

    def until(self, time_s: float) -> SampleView:
        """Those up to `time_s` (epoch seconds)."""
        for i in range(len(self.blocks) - 1, -1, -1):
            rows = self.blocks[i][: self.filled] if i == len(self.blocks) - 1 else self.blocks[i]
            if len(rows) and rows[0, TIME] <= time_s:
                there = int(np.searchsorted(rows[:, TIME], time_s, side="right"))
                return SampleView(self.blocks[: i + 1], there)
        return SampleView()

    @property
    def newest(self) -> FloatArray | None:
        """The newest sample (fields,), None without any."""
        if not self.blocks or not self.filled:
            return None
        row: FloatArray = self.blocks[-1][self.filled - 1]
        return row


class Samples:
    """Collects them; one thread writes."""

    def __init__(self, kept: int) -> None:
        """Keep at least the newest `kept` samples."""
        self._most = -(-kept // BLOCK) + 1
        self._blocks: tuple[FloatArray, ...] = ()
        self._filled = BLOCK
        self._newest_s = -np.inf

    def add(self, rows: FloatArray) -> None:
        """Add those of `rows` (samples, fields) that are newer than all before.

        Where even the newest of them is older, the clock was set back: what was kept is of a time
        that is still to come, and goes.
        """
        if len(rows) and rows[-1, TIME] < self._newest_s:
            self._blocks, self._filled, self._newest_s = (), BLOCK, -np.inf
        for row in rows[rows[:, TIME] > self._newest_s]:
            if self._filled == BLOCK:
                block = np.empty((BLOCK, len(SAMPLE_FIELDS)))
                self._blocks = (*self._blocks, block)[-self._most :]
                self._filled = 0
            self._blocks[-1][self._filled] = row
            self._filled += 1
            self._newest_s = row[TIME]

    def view(self) -> SampleView:
        """All of them, as of now."""
        return SampleView(self._blocks, self._filled if self._blocks else 0)
