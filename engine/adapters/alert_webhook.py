"""Alerts to somebody's HTTP address, signed, so that he can tell who sent them.

Headers and signature are those of Standard Webhooks (`webhook-id`, `webhook-timestamp`,
`webhook-signature: v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`).  An alert has the
same id however often it is sent, so that a receiver can tell a repetition.

How it gets there, and to which addresses it does not go, is `engine.adapters.posting`'s.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable

from engine.adapters.posting import NotTakenError, Poster
from engine.ports.notifier import Alert

PREFIX = "whsec_"
SHORTEST_KEY = 24
"""Bytes of a secret, as Standard Webhooks has it."""

PAUSE_S = 0.5
"""After the first try, twice as long after the second; the third is the last."""

TIMEOUT_S = 3.0
"""Of a try."""


class WebhookNotifier:
    """`engine.ports.notifier.Notifier`, to `url`, signed with `secret` (`whsec_` and base64)."""

    def __init__(
        self,
        url: str,
        secret: str,
        ca: str | None = None,
        *,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """`ca` is a file of certificates that it is trusted by; raises ValueError."""
        try:
            self._key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except ValueError:
            self._key = b""
        if not secret.startswith(PREFIX) or len(self._key) < SHORTEST_KEY:
            raise ValueError(f"secret: is not {PREFIX} and the base64 of {SHORTEST_KEY} bytes")
        self._wall_s = wall_s
        self._poster = Poster(url, ca=ca, timeout_s=TIMEOUT_S)

    async def notify(self, alert: Alert) -> None:
        """Send it, a few times if it is not taken; raises NotTakenError."""
        body = json.dumps(
            {
                "type": "engine.alert",
                "time_s": alert.time_s,
                "source": alert.source,
                "state": alert.state.value,
                "detail": alert.detail,
            },
            sort_keys=True,
        ).encode()
        for pause_s in (PAUSE_S, 2 * PAUSE_S):
            try:
                await self._poster.post(body, self._headers(body))
            except NotTakenError:
                await asyncio.sleep(pause_s)
            else:
                return
        await self._poster.post(body, self._headers(body))

    async def close(self) -> None:
        """Let go of the connection."""
        await self._poster.close()

    def _headers(self, body: bytes) -> dict[str, str]:
        name, at_s = f"msg_{hashlib.sha256(body).hexdigest()[:24]}", str(int(self._wall_s()))
        signed = b".".join((name.encode(), at_s.encode(), body))
        signature = base64.b64encode(hmac.new(self._key, signed, hashlib.sha256).digest()).decode()
        return {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": at_s,
            "webhook-signature": f"v1,{signature}",
        }
