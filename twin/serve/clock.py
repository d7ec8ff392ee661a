"""A clock that runs faster than the machine's, for a world in which days are minutes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable


class FastClock:
    """`engine.ports.clock.Clock`: begins at `begin_s` (epoch seconds) when it is made or started.

    `speed` of its seconds pass in one of `passed_s`, the machine's monotonic time.
    """

    def __init__(
        self, begin_s: float, speed: float, passed_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._speed = speed
        self._passed_s = passed_s
        self.start(begin_s)

    def start(self, begin_s: float) -> None:
        """Begin at `begin_s` now."""
        self._begin_s = begin_s
        self._since_s = self._passed_s()

    def now_s(self) -> float:
        """Epoch seconds (UTC) of the simulated day."""
        return self._begin_s + (self._passed_s() - self._since_s) * self._speed

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        """Wait until `duration_s` of its own seconds have passed, or until `stop` is set."""
        try:
            async with asyncio.timeout(max(duration_s, 0.0) / self._speed):
                await stop.wait()
        except TimeoutError:
            pass
