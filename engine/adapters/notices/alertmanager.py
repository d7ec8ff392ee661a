"""Notices to Prometheus' Alertmanager, API v2.

Its alert is one for each incident, told apart by the label `incident`; the same one again is an
update there, so nothing is told twice.  It forgets an alert that is not renewed
(`resolve_timeout`), so `endsAt` is given: far ahead while the incident goes on (the engine's
reminders renew it), and the time of the resolution at its end.

The severity is a label, as routes go by it, and so a part of what tells alerts apart: where it may
have changed, the alert of the other severity is ended with the same request.
"""

from __future__ import annotations

import datetime as dt
import json

from engine.adapters.posting import Poster
from engine.monitoring.alerts.machine import AlertNotice, NoticeKind
from engine.monitoring.findings import Severity

MAY_CHANGE = (NoticeKind.WORSE, NoticeKind.REMINDED, NoticeKind.RESOLVED)
"""What may be told with another severity than what was told before."""
HOLDS_S = 2.0 * 86_400.0
"""An alert that is not renewed ends there after so long; reminders come sooner."""


class AlertmanagerNotices:
    """`url` is Alertmanager's; `labels` are added to each alert."""

    def __init__(
        self, url: str, labels: dict[str, str] | None = None, ca: str | None = None
    ) -> None:
        self._labels = dict(labels or {})
        self._poster = Poster(url.rstrip("/") + "/api/v2/alerts", ca=ca)

    async def send(self, notice: AlertNotice) -> None:
        """Set its alert; raises NotTakenError."""
        await self._poster.post(json.dumps(self.alerts(notice)).encode())

    def alerts(self, notice: AlertNotice) -> list[dict[str, object]]:
        """The alert of an incident, and the one that takes its place with another severity."""
        now = [self.alert(notice)]
        if notice.kind in MAY_CHANGE:
            ended = notice._replace(kind=NoticeKind.RESOLVED)
            now += [
                self.alert(ended._replace(severity=other))
                for other in (Severity.WARNING, Severity.CRITICAL)
                if other is not notice.severity
            ]
        return now

    def alert(self, notice: AlertNotice) -> dict[str, object]:
        """The alert of an incident, as API v2 has it."""
        service, _, kind = notice.key.partition("#")[0].partition("/")
        over = notice.kind is NoticeKind.RESOLVED
        return {
            "labels": {
                "alertname": kind,
                "service": service,
                "severity": notice.severity.value,
                "incident": notice.key,
                **self._labels,
            },
            "annotations": {
                "summary": notice.words,
                "notice": notice.id,
                "said": notice.kind.value,
                "for": ", ".join(notice.receivers),
            },
            "startsAt": _time(notice.opened_s),
            "endsAt": _time(notice.time_s if over else notice.time_s + HOLDS_S),
        }

    async def close(self) -> None:
        """Let go of the connection."""
        await self._poster.close()


def _time(epoch_s: float) -> str:
    return dt.datetime.fromtimestamp(epoch_s, dt.UTC).isoformat(timespec="milliseconds")
