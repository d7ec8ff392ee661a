"""The port to the people who have to know: alerts, out of the engine."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class AlertState(StrEnum):
    """Where a trouble is in its life."""

    STARTED = "started"
    CHANGED = "changed"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Alert:
    """Something is wrong, or no longer: `source` tells troubles apart, `detail` is for people."""

    time_s: float
    source: str
    state: AlertState
    detail: str


class Notifier(Protocol):
    """Sends alerts."""

    async def notify(self, alert: Alert) -> None:
        """Send it; raises if it cannot, and is then asked again with the next step."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
