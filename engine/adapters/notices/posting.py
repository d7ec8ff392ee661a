"""JSON to a receiver over HTTP, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

TIMEOUT_S = 8.0


class NotTakenError(OSError):
    """The receiver did not take it; the message says why, without the address's secrets."""


class Poster:
    """A connection to one receiver; raises ValueError for what is no http(s) address."""

    def __init__(
        self, url: str, *, ca: str | None = None, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        parsed = httpx.URL(url)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError("url: it has to be http://… or https://…")
        self._url = parsed
        verify: Any = True
        if ca is not None:
            import ssl

            verify = ssl.create_default_context(cafile=ca)
        self._http = httpx.AsyncClient(
            timeout=TIMEOUT_S, trust_env=False, verify=verify, transport=transport
        )

    async def post(self, content: bytes, headers: Mapping[str, str] | None = None) -> None:
        """Send it; raises NotTakenError unless the answer is a success."""
        given = {"content-type": "application/json", **(headers or {})}
        try:
            answer = await self._http.post(self._url, content=content, headers=given)
        except httpx.HTTPError as error:
            raise NotTakenError(
                f"{self._url.host} cannot be reached: {error or type(error).__name__}"
            ) from error
        if not answer.is_success:
            raise NotTakenError(f"{self._url.host} answered {answer.status_code}")

    async def close(self) -> None:
        """Close the connection."""
        await self._http.aclose()
