"""Notices to a webhook, signed: who has the secret knows that it is this engine, and when it was.

The signature is HMAC-SHA-256 over "timestamp.body" (as the headers and the body have them), so a
notice can be changed by nobody, and one that is sent again later by somebody else is recognised by
its age.  The receiver compares `X-WedTwin-Signature` in constant time, refuses what is older than
some minutes, and takes each `Idempotency-Key` once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from collections.abc import Callable

from engine.adapters.posting import Poster
from engine.monitoring.alerts.machine import AlertNotice

LEAST_SECRET = 16


class WebhookNotices:
    """`secret` signs; raises ValueError for one that can be guessed."""

    def __init__(
        self,
        url: str,
        secret: str,
        ca: str | None = None,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        if len(secret) < LEAST_SECRET:
            raise ValueError(f"secret: it has to have at least {LEAST_SECRET} characters")
        self._secret = secret.encode()
        self._wall_s = wall_s
        self._poster = Poster(url, ca=ca)

    async def send(self, notice: AlertNotice) -> None:
        """Post it; raises NotTakenError."""
        body = json.dumps(
            {
                "id": notice.id,
                "incident": notice.key,
                "kind": notice.kind.value,
                "severity": notice.severity.value,
                "receivers": list(notice.receivers),
                "time_s": notice.time_s,
                "opened_s": notice.opened_s,
                "words": notice.words,
            },
            sort_keys=True,
        ).encode()
        stamp = str(int(self._wall_s()))
        await self._poster.post(
            body,
            {
                "x-wedtwin-timestamp": stamp,
                "x-wedtwin-signature": f"sha256={signature(self._secret, stamp, body)}",
                "idempotency-key": notice.id,
            },
        )

    async def close(self) -> None:
        """Let go of the connection."""
        await self._poster.close()


def signature(secret: bytes, stamp: str, body: bytes) -> str:
    """What a receiver has to compare with, as hexadecimal digits."""
    return hmac.new(secret, stamp.encode() + b"." + body, hashlib.sha256).hexdigest()
