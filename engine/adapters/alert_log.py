"""Alerts into the log of the process: the notifier of an engine that has no other."""

from __future__ import annotations

import structlog

from engine.ports.notifier import Alert, AlertState

log = structlog.stdlib.get_logger(__name__)


class AlertLog:
    """A line a change: a warning when something begins or changes, a plain line when it ends."""

    async def notify(self, alert: Alert) -> None:
        """Write the line."""
        level = log.info if alert.state is AlertState.ENDED else log.warning
        level(
            f"trouble {alert.state.value}: {alert.source}: {alert.detail}",
            time_s=alert.time_s,
            source=alert.source,
            state=alert.state.value,
        )

    async def close(self) -> None:
        """Nothing to let go of."""
