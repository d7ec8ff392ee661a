"""The one way in: whatever somebody shows, one of several knows it or nobody does.

By its form a token is for one of them alone, so that none is asked about what another one refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from engine.config.security import MachineConfig, SecurityConfig
from engine.ports.cabinet import Cabinet
from engine.security import certificates
from engine.security.break_glass import OPENED, SEALED, BreakGlass
from engine.security.identity import NotAuthenticatedError, Peer, bearer
from engine.security.roles import Principal
from engine.security.shared_look import SharedLook
from engine.security.tokens import PREFIX, Tokens

PATIENCE_S = 3.0
"""Longest that a request waits for the tokens to be read."""


class Provider(Protocol):
    """An identity provider; see `engine.security.oidc.Oidc`."""

    def who(self, shown: str, now_s: float) -> Principal:
        """Who shows this token; raises NotAuthenticatedError."""
        ...

    def renew(self) -> None:
        """Ask for newer keys."""
        ...


class Gate:
    """The engine's `Identity`."""

    def __init__(
        self,
        tokens: Tokens,
        provider: Provider | None = None,
        machines: Mapping[str, MachineConfig] | None = None,
        emergency: BreakGlass | None = None,
    ) -> None:
        self._tokens = tokens
        self._emergency = emergency
        self._provider = provider
        self._machines = machines or {}
        self._looks = SharedLook(tokens.look, PATIENCE_S)

    async def refresh(self, authorization: str, peer: Peer | None = None) -> None:
        """Read the tokens, and who was revoked, where that matters for what is shown.

        It does not for emergency access and the bootstrap token: neither waits for a database.
        """
        if authorization or peer is None:
            try:
                shown = bearer(authorization)
            except NotAuthenticatedError:
                return  # nobody's, whatever the tokens are
            if not self._is_looked_up(shown):
                return
        if self._tokens.is_current():
            return
        try:
            await self._looks.wait()
        except TimeoutError:
            self._tokens.cannot_be_read(f"nothing has come for {PATIENCE_S:g} s")

    def who(self, authorization: str, now_s: float, peer: Peer | None = None) -> Principal:
        """Who shows this header, or, without one, this certificate.

        Raises NotAuthenticatedError, IdentityUnreadableError.
        """
        if peer is not None and not authorization:
            return certificates.principal(peer, self._machines, self._tokens, now_s)
        shown = bearer(authorization)
        if shown.startswith(PREFIX):
            return self._tokens.who(shown, now_s)
        if self._emergency is not None and shown.startswith((SEALED, OPENED)):
            return self._emergency.who(shown, now_s)
        if self._provider is None:
            raise NotAuthenticatedError("no such token")
        return self._provider.who(shown, now_s)

    def renew(self) -> None:
        """Ask the provider for newer keys, if there is one."""
        if self._provider is not None:
            self._provider.renew()

    def close(self) -> None:
        """Let go of the tokens."""
        self._looks.close()
        self._tokens.close()

    def has_others(self, now_s: float) -> bool:
        """Whether anybody besides the holder of the bootstrap token can be known.

        Where the tokens cannot be read, somebody may be; until they can, nobody comes in.
        """
        if self._provider is not None or self._machines:
            return True
        try:
            return self._tokens.usable(now_s)
        except OSError:
            return True

    def _is_looked_up(self, shown: str) -> bool:
        """Whether it takes the tokens, or who was revoked, to know whose this is."""
        if shown.startswith(PREFIX):
            return not self._tokens.is_bootstrap(shown)
        return self._provider is not None and not shown.startswith((SEALED, OPENED))


def opened(config: SecurityConfig, tokens: Tokens, cabinet: Cabinet) -> Gate:
    """The gate of an engine."""
    provider: Provider | None = None
    if config.oidc is not None:
        from engine.security.oidc import KeySource, Oidc  # takes a moment, and few need it

        provider = Oidc(config.oidc, tokens, KeySource(config.oidc))
    return Gate(tokens, provider, config.machines, BreakGlass(cabinet))
