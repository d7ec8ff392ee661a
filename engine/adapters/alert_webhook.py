"""Alerts to somebody's HTTP address, signed, so that he can tell who sent them.

Headers and signature are those of Standard Webhooks (`webhook-id`, `webhook-timestamp`,
`webhook-signature: v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`).  An alert has the
same id however often it is sent, so that a receiver can tell a repetition.

Nothing that an answer says is followed, no proxy of the environment is used, and an address that
leads into the machine's own link (such as a cloud's metadata) is refused at each sending.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import ipaddress
import json
import ssl
import time
from collections.abc import Callable
from contextlib import aclosing
from urllib.parse import urlsplit

import httpx

from engine.config.security import is_safe
from engine.ports.notifier import Alert

PREFIX = "whsec_"
SHORTEST_KEY = 24
"""Bytes of a secret, as Standard Webhooks has it."""

TRIES = 3
PAUSE_S = 0.5
"""After the first try, twice as long after the second."""

TIMEOUT_S = 3.0
"""Of a try."""


class NotSentError(OSError):
    """An alert that nobody has taken; the message says why, without the path of the address."""


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
        if not is_safe(url):
            raise ValueError("url: is not allowed (an https:// URL without a user or a fragment)")
        try:
            self._key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
        except ValueError:
            self._key = b""
        if not secret.startswith(PREFIX) or len(self._key) < SHORTEST_KEY:
            raise ValueError(f"secret: is not {PREFIX} and the base64 of {SHORTEST_KEY} bytes")
        verify = ssl.create_default_context(cafile=ca)
        verify.minimum_version = ssl.TLSVersion.TLSv1_3
        self._url, self._wall_s = url, wall_s
        parts = urlsplit(url)
        self._host = parts.hostname or ""
        self._port = parts.port or (443 if parts.scheme == "https" else 80)
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT_S, trust_env=False, follow_redirects=False, verify=verify
        )

    async def notify(self, alert: Alert) -> None:
        """Send it, a few times if it is not taken; raises NotSentError."""
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
        why = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(PAUSE_S * 2 ** (attempt - 1))
            why = await self._sent(body)
            if not why:
                return
        raise NotSentError(f"{self._host} has not taken an alert: {why}")

    async def close(self) -> None:
        """Let go of the connection."""
        await self._http.aclose()

    async def _sent(self, body: bytes) -> str:
        """Why it was not taken, "" if it was."""
        try:
            await self._check_address()
            request = self._http.build_request(
                "POST", self._url, content=body, headers=self._headers(body)
            )
            answer = await self._http.send(request, stream=True)  # its body is of no use
            async with aclosing(answer):
                return "" if answer.is_success else f"it answered {answer.status_code}"
        except (httpx.HTTPError, OSError) as error:
            return str(error) or type(error).__name__

    async def _check_address(self) -> None:
        """Raises NotSentError for an address that no receiver of alerts has."""
        loop = asyncio.get_running_loop()
        for *_, place in await loop.getaddrinfo(self._host, self._port):
            address = ipaddress.ip_address(str(place[0]).partition("%")[0])
            if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
                address = address.ipv4_mapped
            own = self._host == "localhost" or self._host.strip("[]") == str(address)
            if (
                address.is_link_local
                or address.is_multicast
                or address.is_unspecified
                or (address.is_loopback and not own)
            ):
                raise NotSentError(f"it is at {address}, where nobody is told anything")

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
