"""Requests that the engine itself makes: they go where the name was seen to lead, or nowhere.

A name is resolved for each request, each address that it has is looked at, and the connection goes
to one of those, never to what a second question would have brought.  Certificates are still
checked against the name.  No proxy of the environment is used, and whoever builds a client with
these transports follows no redirect (httpx does not unless told to).

Who is told something (a webhook, an identity provider's keys are the same case) is elsewhere, or on
this machine where the URL says so itself; metrics may be anywhere but at what is nobody's.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Iterable

import httpx

from engine.security.addresses import address_of, is_nobodys

MOST_ADDRESSES = 4
"""Of one name that are tried, one after the other, in an equal share of the time."""

USUAL = httpx.Limits(max_connections=100, max_keepalive_connections=20)

Resolved = Iterable[tuple[object, object, object, str, tuple[object, ...]]]


class OutboundTransport(httpx.AsyncBaseTransport):
    """For an `httpx.AsyncClient`; raises RefusedAddressError for a name that leads astray.

    `to_self`: whether a name may lead to this machine, besides those that say so.
    """

    def __init__(
        self,
        *,
        to_self: bool,
        verify: ssl.SSLContext | bool = True,
        limits: httpx.Limits = USUAL,
    ) -> None:
        self._to_self = to_self
        self._inner = httpx.AsyncHTTPTransport(verify=verify, trust_env=False, limits=limits)
        self._took: dict[str, str] = {}
        """Where a name's last connection went: that is tried first."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send it to an address of its host; the next one where nobody takes the connection."""
        host = _host(request)
        patience_s = _patience_s(request)
        try:
            async with asyncio.timeout(patience_s):
                loop = asyncio.get_running_loop()
                entries = await loop.getaddrinfo(host, _port(request), type=socket.SOCK_STREAM)
        except TimeoutError:
            raise httpx.ConnectTimeout(f"{host} is not resolved") from None
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error
        places = allowed(host, entries, to_self=self._to_self)
        places.sort(key=lambda place: place != self._took.get(host))
        failed: httpx.TransportError | None = None
        for place in places:
            try:
                answer = await self._inner.handle_async_request(
                    _pinned(request, place, patience_s, len(places))
                )
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
            else:
                if len(places) > 1:
                    self._took[host] = place
                return answer
        raise failed or httpx.ConnectError(f"{host} has no address")

    async def aclose(self) -> None:
        """Let go of the connections."""
        await self._inner.aclose()


class BlockingOutboundTransport(httpx.BaseTransport):
    """The same for an `httpx.Client`."""

    def __init__(self, *, to_self: bool, verify: ssl.SSLContext | bool = True) -> None:
        self._to_self = to_self
        self._inner = httpx.HTTPTransport(verify=verify, trust_env=False)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send it to an address of its host; the next one where nobody takes the connection."""
        host = _host(request)
        try:
            entries = socket.getaddrinfo(host, _port(request), type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise httpx.ConnectError(str(error)) from error
        places = allowed(host, entries, to_self=self._to_self)
        failed: httpx.TransportError | None = None
        for place in places:
            try:
                return self._inner.handle_request(
                    _pinned(request, place, _patience_s(request), len(places))
                )
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                failed = error
        raise failed or httpx.ConnectError(f"{host} has no address")

    def close(self) -> None:
        """Let go of the connections."""
        self._inner.close()


class RefusedAddressError(httpx.ConnectError):
    """A name leads to where nobody is asked or told anything; the message names the address."""


def allowed(host: str, entries: Resolved, *, to_self: bool) -> list[str]:
    """The addresses of `host` to connect to; raises RefusedAddressError if one of all is astray."""
    places = list(dict.fromkeys(str(entry[4][0]) for entry in entries))
    own = host == "localhost" or _is_loopback(host)
    for place in places:
        address = address_of(place)
        if is_nobodys(address) or (address.is_loopback and not (own or to_self)):
            raise RefusedAddressError(f"it is at {address}, where nobody is asked or told anything")
    return places[:MOST_ADDRESSES]


def _is_loopback(host: str) -> bool:
    try:
        return address_of(host).is_loopback
    except ValueError:
        return False


def _host(request: httpx.Request) -> str:
    return request.url.raw_host.decode("ascii").strip("[]")


def _port(request: httpx.Request) -> int:
    return request.url.port or (443 if request.url.scheme == "https" else 80)


def _patience_s(request: httpx.Request) -> float | None:
    limits = request.extensions.get("timeout", {})
    return limits.get("connect") if isinstance(limits, dict) else None


def _pinned(
    request: httpx.Request, place: str, patience_s: float | None, among: int
) -> httpx.Request:
    """The request to that address: `Host` and the name in the certificate stay those of the URL."""
    limits = dict(request.extensions.get("timeout", {}))
    if patience_s is not None:
        limits["connect"] = patience_s / among
    return httpx.Request(
        request.method,
        request.url.copy_with(host=place),
        headers=request.headers,
        stream=request.stream,
        extensions={**request.extensions, "timeout": limits, "sni_hostname": _host(request)},
    )
