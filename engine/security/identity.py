"""Who asks: what a request shows, turned into a principal each time anew.

A revoked token stops at the next request because nothing is remembered between two of them that a
revocation would not reach.  Whoever keeps a stream open asks before each event.  Where nobody can
say whether something was revoked, nobody comes in by it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Protocol

from engine.security.roles import Principal

LONGEST = 8192
"""Characters of a header that are looked at; what is longer is nobody's."""


Peer = Mapping[str, Any]
"""A certificate that was verified, as `ssl.SSLSocket.getpeercert` has it."""


class NotAuthenticatedError(Exception):
    """Nobody that the engine knows; the message holds nothing of what was shown."""


class UnknownKeyError(NotAuthenticatedError):
    """Signed by a key that the engine has not heard of yet; `Identity.renew` may bring it."""


class IdentityUnreadableError(Exception):
    """Nobody can say now whether what is shown still holds; the message says why."""


class Identity(Protocol):
    """Knows people and machines by what they show."""

    async def refresh(self, authorization: str, peer: Peer | None = None) -> None:
        """Learn what was made and revoked until now, as far as it matters for what is shown.

        Waits for a database if it does; `who` goes by what was learned last.
        """
        ...

    def who(self, authorization: str, now_s: float, peer: Peer | None = None) -> Principal:
        """Who shows this `Authorization` header, or else this certificate, at `now_s` (epoch s).

        Waits for nothing but the local disk.  Raises NotAuthenticatedError,
        IdentityUnreadableError.
        """
        ...

    def renew(self) -> None:
        """Ask for newer keys, if there is somebody to ask; takes as long as a network does."""
        ...

    def close(self) -> None:
        """Let go of what it asks."""
        ...


async def authenticated(
    identity: Identity, authorization: str, now_s: float, peer: Peer | None = None
) -> Principal:
    """As `who`, after one more look for keys where the signer's was not there.

    Raises NotAuthenticatedError, IdentityUnreadableError.
    """
    await identity.refresh(authorization, peer)
    try:
        return identity.who(authorization, now_s, peer)
    except UnknownKeyError:
        await asyncio.to_thread(identity.renew)
        return identity.who(authorization, now_s, peer)


def bearer(authorization: str) -> str:
    """The token in an `Authorization` header (RFC 6750); raises NotAuthenticatedError."""
    if not authorization:
        raise NotAuthenticatedError("give a token: Authorization: Bearer …")
    if len(authorization) > LONGEST:
        raise NotAuthenticatedError(f"Authorization is longer than {LONGEST} characters")
    scheme, _, token = authorization.partition(" ")
    if scheme.lower() != "bearer":
        raise NotAuthenticatedError("Authorization has to be: Bearer …")
    token = token.strip(" ")
    if not token or not token.isascii() or any(not "!" <= letter <= "~" for letter in token):
        raise NotAuthenticatedError("Authorization has to hold one token")
    return token
