"""Notices into the log of the process: the receiver of an engine that has no other."""

from __future__ import annotations

import structlog

from engine.monitoring.alerts.machine import AlertNotice, NoticeKind

log = structlog.stdlib.get_logger(__name__)

CALM = (NoticeKind.ACKNOWLEDGED, NoticeKind.RESOLVED)
"""Nobody has to do anything about these."""


class LogNotices:
    """A line a notice."""

    async def send(self, notice: AlertNotice) -> None:
        """Write it."""
        level = log.info if notice.kind in CALM else log.warning
        level(
            f"alert {notice.kind}: {notice.key}: {notice.words}",
            id=notice.id,
            severity=notice.severity.value,
        )

    async def close(self) -> None:
        """Nothing to let go of."""
