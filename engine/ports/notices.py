"""The port to those who are told of incidents."""

from __future__ import annotations

from typing import Protocol

from engine.monitoring.alerts.machine import AlertNotice


class NoticeSender(Protocol):
    """Tells one receiver of incidents."""

    async def send(self, notice: AlertNotice) -> None:
        """Send it; raises if it was not taken, and is then asked again with the same notice.

        The receiver may have it all the same: it is told the notice's id and the incident's key.
        """
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...
