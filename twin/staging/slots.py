"""The fixed capacity of an instance: so many slots, a first-come-first-served queue, a limit.

What the twin computes, a worker does: a request holds a slot for a drawn time; when all are taken
it waits its turn; when too many wait it is shed at once, and when it has waited too long it gives
up.
"""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np

BATCH = 512


class Shed(Exception):
    """The queue is full."""


class GaveUp(Exception):
    """The request waited longer than its client does."""


class Slots:
    """`size` slots and a queue of at most `limit` waiting requests.

    `busy_s` is the integral of busy slots over time, so that any two readings give the mean
    utilisation between them, whatever happened in between.
    """

    def __init__(self, size: int, limit: int) -> None:
        self.size = size
        self.limit = limit
        self.busy = 0
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._busy_s = 0.0
        self._since_s = self._loop.time()

    @property
    def waiting(self) -> int:
        """Requests that wait for a slot."""
        return len(self._waiting)

    @property
    def busy_s(self) -> float:
        """Slot-seconds that were busy so far."""
        self._count()
        return self._busy_s

    async def take(self, patience_s: float) -> None:
        """Wait for a slot and take it; raises Shed or GaveUp."""
        if self.busy < self.size:
            self._count()
            self.busy += 1
            return
        if len(self._waiting) >= self.limit:
            raise Shed
        turn: asyncio.Future[None] = self._loop.create_future()
        self._waiting.append(turn)
        timer = self._loop.call_later(patience_s, self._give_up, turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self.give_back()  # the slot had just been handed over
            elif turn in self._waiting:
                self._waiting.remove(turn)
            raise
        finally:
            timer.cancel()

    def give_back(self) -> None:
        """Hand the slot to whoever waits longest, or leave it free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._count()
        self.busy -= 1

    def _give_up(self, turn: asyncio.Future[None]) -> None:
        if not turn.done():
            self._waiting.remove(turn)
            turn.set_exception(GaveUp())

    def _count(self) -> None:
        now_s = self._loop.time()
        self._busy_s += self.busy * (now_s - self._since_s)
        self._since_s = now_s


class ServiceTimes:
    """Gamma-distributed service times by mean and squared coefficient of variation."""

    def __init__(self, mean_s: float, scv: float, rng: np.random.Generator) -> None:
        self._shape = 1.0 / scv
        self._scale_s = mean_s * scv
        self._rng = rng
        self._drawn: list[float] = []

    def draw_s(self) -> float:
        """The next service time."""
        if not self._drawn:
            self._drawn = self._rng.gamma(self._shape, self._scale_s, BATCH).tolist()
        return self._drawn.pop()
