"""Machines that show a certificate: who they are, and how it reaches whoever asks.

A certificate counts once the handshake has verified it against `api.tls.clients`.  A machine is
known by a name in it (subjectAltName: DNS or URI); the common name says nothing (RFC 9525).
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from typing import Any

from engine.config.security import MachineConfig
from engine.security.identity import NotAuthenticatedError, Peer
from engine.security.roles import Method, Principal
from engine.security.tokens import Tokens

KEY = "peer"
"""In the `tls` extension of an ASGI scope."""


def principal(
    peer: Peer, machines: Mapping[str, MachineConfig], tokens: Tokens, now_s: float
) -> Principal:
    """The machine that a verified certificate is of; raises NotAuthenticatedError."""
    names = {
        name for kind, name in peer.get("subjectAltName", ())
        if kind in ("DNS", "URI") and name in machines
    }  # fmt: skip
    if len(names) != 1:
        raise NotAuthenticatedError("the certificate is of no machine that the engine knows")
    name = names.pop()
    from_s = ssl.cert_time_to_seconds(peer["notBefore"])
    until_s = ssl.cert_time_to_seconds(peer["notAfter"])
    if not from_s <= now_s < until_s:
        raise NotAuthenticatedError("the certificate does not hold now")
    if tokens.issued_too_early(name, from_s):
        raise NotAuthenticatedError("the certificate was revoked")
    machine = machines[name]
    return Principal(
        name, frozenset(machine.roles),
        None if machine.services is None else frozenset(machine.services),
        Method.CERTIFICATE, str(peer.get("serialNumber", "")), until_s,
    )  # fmt: skip


def peer_of(scope: Mapping[str, Any]) -> Peer | None:
    """The verified certificate of who made an ASGI request, None if he showed none."""
    shown: Peer | None = scope.get("extensions", {}).get("tls", {}).get(KEY)
    return shown


def telling(protocol: type[Any]) -> type[Any]:
    """A protocol class of uvicorn's that puts the client's certificate into each scope.

    uvicorn has no other place for it; headers are no place, as anybody can send one.
    """

    def connection_made(self: Any, transport: Any) -> None:
        protocol.connection_made(self, transport)
        secured = transport.get_extra_info("ssl_object")
        shown = None if secured is None else (secured.getpeercert() or None)
        inner = self.app

        async def with_peer(scope: Any, receive: Any, send: Any) -> None:
            extensions = {**scope.get("extensions", {}), "tls": {KEY: shown}}
            await inner({**scope, "extensions": extensions}, receive, send)

        self.app = with_peer

    return type("Telling", (protocol,), {"connection_made": connection_made})
