"""The section `security`: who is known from elsewhere, and what he is here."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from engine.config.strict import Strict
from engine.security.addresses import complaint
from engine.security.roles import Role

Algorithm = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "Ed25519"
]
"""Signatures with two keys: what the engine holds to check with cannot be used to sign."""


def is_safe(url: str) -> bool:
    """Whether somebody can be there, and nothing be changed on its way to him or from him."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.username or parts.password or parts.fragment or not host or complaint(url):
            return False
        return parts.scheme == "https" or (
            parts.scheme == "http"
            and (host == "localhost" or ipaddress.ip_address(host).is_loopback)
        )
    except ValueError:
        return False


def _safe(url: str) -> str:
    if not is_safe(url):
        raise ValueError(f'"{url}" is not allowed (an https:// URL without a user or a fragment)')
    return url


SafeUrl = Annotated[str, Field(max_length=2000), AfterValidator(_safe)]
Claimed = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\w:/.@-]+$")]
"""The name of a claim; dots lead into objects."""


class OidcConfig(Strict):
    """An identity provider whose tokens are taken."""

    issuer: SafeUrl
    """Who issues the tokens: their `iss`."""
    audience: Annotated[str, Field(min_length=1, max_length=500)]
    """What its tokens have to be for: this engine."""
    jwks: SafeUrl
    """Where its keys are; nothing that a token says is ever followed."""
    ca: Path | None = None
    """Certificates that `jwks` is trusted by; null: those of the system."""
    algorithms: Annotated[tuple[Algorithm, ...], Field(min_length=1)] = ("RS256", "PS256", "ES256")
    """By which tokens may be signed."""
    name_claim: Claimed = "sub"
    """The claim that says who it is."""
    roles_claim: Claimed = "roles"
    """The claim that lists the roles."""
    roles: dict[str, Role] = Field(default_factory=dict)
    """What the provider calls them, and what they are here; besides those of the same name."""
    services_claim: Claimed | None = None
    """A list of services that the token is limited to; null: tokens are not limited."""
    leeway_s: Annotated[float, Field(ge=0.0, le=300.0)] = 60.0
    """So far apart the two clocks may be."""
    longest_s: Annotated[float, Field(ge=60.0, le=604_800.0)] = 86_400.0
    """Tokens that hold for longer are not taken."""
    refresh_s: Annotated[float, Field(ge=1.0, le=86_400.0)] = 300.0
    """Keys are asked for again after so long."""


class MachineConfig(Strict):
    """A machine that shows a certificate."""

    roles: Annotated[tuple[Role, ...], Field(min_length=1)]
    """What it may do."""
    services: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Services that it is limited to; null: none."""


class SecurityConfig(Strict):
    """Who is known besides those with a token of the engine's own."""

    oidc: OidcConfig | None = None
    machines: dict[str, MachineConfig] = Field(default_factory=dict)
    """By the name (DNS or URI) in the certificate."""
