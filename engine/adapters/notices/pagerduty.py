"""Notices in the format of PagerDuty's Events API v2.

An incident is one alert there by its `dedup_key` (at most 255 characters); whatever is sent of it
again changes that one.  Who takes it on here has taken it on there.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json

from engine.adapters.posting import Poster
from engine.monitoring.alerts.machine import AlertNotice, NoticeKind

URL = "https://events.pagerduty.com/v2/enqueue"
LONGEST_KEY, LONGEST_SUMMARY = 255, 1024
ACTIONS = {NoticeKind.ACKNOWLEDGED: "acknowledge", NoticeKind.RESOLVED: "resolve"}
"""Any other notice triggers."""


class PagerDutyNotices:
    """`routing_key` is the integration's."""

    def __init__(self, routing_key: str, url: str = URL, ca: str | None = None) -> None:
        if not routing_key:
            raise ValueError("routing_key: is empty")
        self._routing_key = routing_key
        self._poster = Poster(url, ca=ca)

    async def send(self, notice: AlertNotice) -> None:
        """Enqueue it; raises NotTakenError."""
        await self._poster.post(json.dumps(self.event(notice)).encode())

    def event(self, notice: AlertNotice) -> dict[str, object]:
        """The event of a notice."""
        action = ACTIONS.get(notice.kind, "trigger")
        event: dict[str, object] = {
            "routing_key": self._routing_key,
            "event_action": action,
            "dedup_key": _short(notice.key),
        }
        if action != "trigger":
            return event
        time = dt.datetime.fromtimestamp(notice.time_s, dt.UTC).isoformat(timespec="milliseconds")
        service, _, kind = notice.key.partition("#")[0].partition("/")
        return event | {
            "payload": {
                "summary": f"{service}: {notice.words}"[:LONGEST_SUMMARY],
                "source": service,
                "severity": notice.severity.value,
                "timestamp": time,
                "component": service,
                "class": kind,
                "custom_details": {
                    "notice": notice.id,
                    "said": notice.kind.value,
                    "for": list(notice.receivers),
                },
            }
        }

    async def close(self) -> None:
        """Let go of the connection."""
        await self._poster.close()


def _short(key: str) -> str:
    if len(key) <= LONGEST_KEY:
        return key
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"{key[: LONGEST_KEY - len(digest) - 1]}-{digest}"
