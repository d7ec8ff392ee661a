"""An asyncio event loop whose time is simulated: nothing waits, everything comes in its order.

Whatever the loop would wait for has come at once, and its clock says that the time has passed.
There is no real I/O on it, so a program on it is deterministic: the same to the byte each time.
"""

from __future__ import annotations

import asyncio
import selectors


class NothingLeftError(RuntimeError):
    """Everybody waits for something that can no longer come: in wall time, it would hang."""


class _Skipping(selectors.SelectSelector):
    """Takes no time to wait, and says how long it would have been."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Nothing is ready, and `timeout` seconds have passed."""
        if timeout is None:
            raise NothingLeftError("nothing is scheduled and nothing is ready")
        self.passed_s += max(timeout, 0.0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """Begins at 0 s."""

    def __init__(self) -> None:
        self._skipping = _Skipping()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Seconds that would have passed."""
        return self._skipping.passed_s
