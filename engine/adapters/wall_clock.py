"""The machine's clock."""

from __future__ import annotations

import asyncio
import time


class WallClock:
    """Wall time, as the machine has it."""

    def now_s(self) -> float:
        """Epoch seconds (UTC)."""
        return time.time()

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        """Wait for `duration_s`, or until `stop` is set."""
        try:
            async with asyncio.timeout(duration_s):
                await stop.wait()
        except TimeoutError:
            pass
