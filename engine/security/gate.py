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
from engine.security.tokens import PREFIX, Tokens


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

    def who(self, authorization: str, now_s: float, peer: Peer | None = None) -> Principal:
        """Who shows this header, or, without one, this certificate.

        Raises NotAuthenticatedError.
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

    def has_others(self, now_s: float) -> bool:
        """Whether anybody besides the holder of the bootstrap token can be known."""
        return self._provider is not None or bool(self._machines) or self._tokens.usable(now_s)


def opened(config: SecurityConfig, cabinet: Cabinet, *, loopback: bool) -> Gate:
    """The gate of an engine; `loopback`: only its own machine can reach it."""
    tokens = Tokens(cabinet, loopback=loopback)
    provider: Provider | None = None
    if config.oidc is not None:
        from engine.security.oidc import KeySource, Oidc  # takes a moment, and few need it

        provider = Oidc(config.oidc, tokens, KeySource(config.oidc))
    return Gate(tokens, provider, config.machines, BreakGlass(cabinet))
