"""JSON to a receiver over HTTP, and what its answer means.

Whoever is told something gets it over TLS 1.3, or without TLS where the receiver is on this very
machine (an Alertmanager beside the engine); a name that leads to the machine, to its link or to
what clouds keep there is refused at each sending, and nothing that an answer says is followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from pathlib import Path

import httpx

from engine.config.security import is_safe
from engine.security.outbound import OutboundTransport
from engine.security.tls import TlsError, client_context

TIMEOUT_S = 8.0


class NotTakenError(OSError):
    """The receiver did not take it; the message says why, without the address's secrets."""


class Poster:
    """A connection to one receiver, which `ca`, a file, is trusted by if not by the system."""

    def __init__(self, url: str, *, ca: str | None = None, timeout_s: float = TIMEOUT_S) -> None:
        """Raises ValueError, which names the option, for what cannot be told anything."""
        if not is_safe(url):
            raise ValueError(
                "url: is not allowed (an https:// address without a user or a fragment, "
                "or http:// to this machine itself, such as http://127.0.0.1:9093)"
            )
        try:
            trusted = client_context(None if ca is None else Path(ca))
        except TlsError as error:
            raise ValueError(f"ca: {error}") from None
        self._url = httpx.URL(url)
        self._http = httpx.AsyncClient(
            timeout=timeout_s,
            trust_env=False,
            follow_redirects=False,
            transport=OutboundTransport(to_self=False, verify=trusted),
        )

    async def post(self, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send it; raises NotTakenError unless the answer is a success."""
        given = {"content-type": "application/json", **(headers or {})}
        request = self._http.build_request("POST", self._url, content=content, headers=given)
        try:
            answer = await self._http.send(request, stream=True)  # its body is of no use
            async with aclosing(answer):
                status = answer.status_code
        except httpx.HTTPError as error:
            raise NotTakenError(
                f"{self._url.host} cannot be reached: {error or type(error).__name__}"
            ) from error
        if not 200 <= status < 300:
            raise NotTakenError(f"{self._url.host} answered {status}")

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()
