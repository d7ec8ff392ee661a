"""The port to the time of day."""

from __future__ import annotations

import asyncio
from typing import Protocol


class Clock(Protocol):
    """Wall time: it may be set, back as well as ahead."""

    def now_s(self) -> float:
        """Epoch seconds (UTC)."""
        ...

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        """Wait for `duration_s`, or until `stop` is set."""
        ...
