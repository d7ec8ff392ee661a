"""The port to whatever knows what is booked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from engine.model import Outlook
from engine.security.sealing import Sealer


class Bookings(Protocol):
    """The calendar as it becomes known."""

    async def outlook(self, now_s: float) -> Outlook:
        """The outlook as known at `now_s` (epoch seconds); the same object until it changes."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


@dataclass(frozen=True, slots=True)
class FeedState:
    """How fresh the outlook is: times are epoch seconds, -inf for never.

    `read_s` is when a listing was last had and believed, `changed_s` when one last changed
    something, `events` how many are known; `troubles` are what is wrong with the feed, in words
    that stay the same while it is.
    """

    read_s: float = -math.inf
    changed_s: float = -math.inf
    events: int = 0
    troubles: tuple[str, ...] = ()


@runtime_checkable
class FedBookings(Protocol):
    """Bookings that can say how fresh they are; others need not."""

    def feed(self) -> FeedState:
        """How fresh the last outlook is."""
        ...


@runtime_checkable
class NamesEvents(Protocol):
    """Bookings with ids of their own, which get pseudonyms; others need not."""

    def name_by(self, pseudonym: Callable[[str], str]) -> None:
        """From now on `pseudonym` says what stands for an id."""
        ...


@runtime_checkable
class KeepsEvents(Protocol):
    """Bookings that keep what they know for the next start; others need not."""

    def keep_in(self, folder: Path, sealing: Sealer | None) -> None:
        """Go on with what `folder` holds, and keep it there; sealed if there is a `sealing`."""
        ...


def feed_of(bookings: object) -> FeedState | None:
    """How fresh these bookings are; None if they do not say it, or say something else."""
    if not isinstance(bookings, FedBookings):
        return None
    state: object = bookings.feed()
    return state if isinstance(state, FeedState) else None


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
