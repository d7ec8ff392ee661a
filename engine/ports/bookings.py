"""The port to whatever knows what is booked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.model import Outlook


class Bookings(Protocol):
    """The calendar as it becomes known."""

    async def outlook(self, now_s: float) -> Outlook:
        """The outlook as known at `now_s` (epoch seconds); the same object until it changes."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


def booked(outlook: object, services: Sequence[str]) -> Outlook:
    """`outlook`, if it is one of all `services`: an adapter may say anything.

    Raises TypeError or ValueError.
    """
    if not isinstance(outlook, Outlook):
        raise TypeError(f"it answered with a {type(outlook).__name__} that is no outlook")
    missing = [name for name in services if name not in outlook.services]
    if missing:
        raise ValueError(f"it says nothing of {', '.join(missing)}")
    return outlook
