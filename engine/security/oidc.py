"""Tokens of an identity provider (OpenID Connect): JWTs, signed with keys that it publishes.

What a token says is believed once its signature fits a key that came from the configured address;
nothing in it says where to look or how to check.  Keys are asked for in the background, and at most
every few seconds, so that nobody can make the engine ask by showing it keys that it does not know.
"""

from __future__ import annotations

import base64
import math
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

import httpx
import structlog
from joserfc import jwk, jws
from joserfc.errors import JoseError

from engine.config.security import OidcConfig
from engine.security.foreign_json import parsed, parsed_object
from engine.security.identity import NotAuthenticatedError, UnknownKeyError
from engine.security.outbound import BlockingOutboundTransport
from engine.security.roles import Method, Principal, Role
from engine.security.tokens import TokenError, Tokens, person

AGAIN_S = 10.0
"""Keys are not asked for more often."""
STALE_S = 86_400.0
"""Keys that could not be renewed for so long are none."""
PATIENCE_S = 5.0
LARGEST = 262_144
"""Bytes of a set of keys."""
MOST_KEYS, SMALLEST_RSA = 64, 2048
REMEMBERED = 1024
"""Tokens whose signature need not be checked again."""

TYPES = (None, "jwt", "at+jwt", "application/at+jwt")
KINDS = {"R": "RSA", "P": "RSA", "E": "EC"}
"""The kind of key of an algorithm, by its first letter."""

NOT_KEYS = (
    httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, TypeError, KeyError, RecursionError,
    JoseError,
)  # fmt: skip
"""What comes of a provider that is not there, or that answers something else."""

log = structlog.stdlib.get_logger(__name__)


class KeySource:
    """The provider's keys as they were last published."""

    def __init__(self, config: OidcConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """`clock` is in seconds, from anywhere."""
        self._config = config
        self._clock = clock
        self._asking = threading.Lock()
        self._tried_s = self._renewed_s = -math.inf
        self.keys: Mapping[str, jwk.Key] = {}

    @property
    def stale(self) -> bool:
        """Whether they are too old to go by."""
        return self._clock() - self._renewed_s > STALE_S

    @property
    def askable(self) -> bool:
        """Whether asking again would be no burden."""
        return self._clock() - self._tried_s >= AGAIN_S

    def keep_fresh(self) -> None:
        """Ask in the background, where it is time to."""
        if self._asking.locked() or self._clock() - self._renewed_s <= self._config.refresh_s:
            return
        if self.askable:
            threading.Thread(target=self.renew, name="keys of the identity provider").start()

    def renew(self) -> None:
        """Ask for them, unless somebody just did."""
        with self._asking:
            if not self.askable:
                return
            self._tried_s = self._clock()
            try:
                self.keys = _keys(self._published())
            except NOT_KEYS as error:
                reason = f"{type(error).__name__}: {error}"
                log.warning(f"keys of the identity provider: {self._config.jwks}: {reason}")
            else:
                self._renewed_s = self._clock()

    def _published(self) -> dict[str, Any]:
        """What is there; raises ValueError for what is not a small answer of that very address."""
        verify: ssl.SSLContext | bool = True
        if self._config.ca is not None:
            verify = ssl.create_default_context(cafile=str(self._config.ca))
        with (
            httpx.Client(
                transport=BlockingOutboundTransport(to_self=False, verify=verify),
                follow_redirects=False,
                trust_env=False,
                timeout=PATIENCE_S,
            ) as client,
            client.stream("GET", self._config.jwks, headers={"accept-encoding": "identity"}) as got,
        ):
            if got.status_code != 200:
                raise ValueError(f"it answered {got.status_code}")
            if got.headers.get("content-encoding", "identity") != "identity":
                raise ValueError("the answer is compressed")
            until_s, body = time.monotonic() + PATIENCE_S, bytearray()
            for part in got.iter_raw():
                body += part
                if len(body) > LARGEST or time.monotonic() > until_s:
                    raise ValueError(f"more than {LARGEST} bytes, or {PATIENCE_S:g} s")
        return parsed_object(body)


class Oidc:
    """Knows people by what their identity provider says of them."""

    def __init__(self, config: OidcConfig, tokens: Tokens, source: KeySource) -> None:
        """`tokens` knows whose were revoked here."""
        self._config = config
        self._tokens = tokens
        self._source = source
        self._checked: OrderedDict[bytes, Mapping[str, Any]] = OrderedDict()
        self._checked_with: Mapping[str, jwk.Key] = {}

    def who(self, shown: str, now_s: float) -> Principal:
        """Who shows this token; raises NotAuthenticatedError, UnknownKeyError."""
        self._source.keep_fresh()
        claims = self._claims(shown)
        config, leeway_s = self._config, self._config.leeway_s
        if claims.get("iss") != config.issuer:
            raise NotAuthenticatedError("the token is of another issuer")
        audience = claims.get("aud")
        if config.audience not in (audience if isinstance(audience, list) else [audience]):
            raise NotAuthenticatedError("the token is for another audience")
        if "cnf" in claims:
            raise NotAuthenticatedError("the token is bound to a key that was not shown")
        issued_s, expires_s = _time(claims, "iat"), _time(claims, "exp")
        from_s = _time(claims, "nbf") if "nbf" in claims else issued_s
        if now_s >= expires_s + leeway_s:
            raise NotAuthenticatedError("the token has expired")
        if now_s < max(from_s, issued_s) - leeway_s:
            raise NotAuthenticatedError("the token does not hold yet")
        if expires_s - issued_s > config.longest_s:
            raise NotAuthenticatedError(f"the token holds for more than {config.longest_s:g} s")
        name = self._name(claims)
        if self._tokens.issued_too_early(name, issued_s):
            raise NotAuthenticatedError("the token was revoked")
        identifier = claims.get("jti")
        return Principal(
            name, self._roles(claims), self._services(claims), Method.OIDC,
            identifier[:100] if isinstance(identifier, str) else "", expires_s + leeway_s,
        )  # fmt: skip

    def renew(self) -> None:
        """Ask for newer keys."""
        self._source.renew()

    def _claims(self, shown: str) -> Mapping[str, Any]:
        """What a token says whose signature fits."""
        keys = self._source.keys
        if self._source.stale:
            if self._source.askable:
                raise UnknownKeyError("the keys of the identity provider are not there yet")
            raise NotAuthenticatedError("the identity provider has not been reached")
        if keys is not self._checked_with:  # what a key that is gone has signed is not remembered
            self._checked, self._checked_with = OrderedDict(), keys
        remembered = sha256(shown.encode()).digest()
        claims = self._checked.get(remembered)
        if claims is None:
            claims = self._verified(shown, keys)
            self._checked[remembered] = claims
            if len(self._checked) > REMEMBERED:
                self._checked.popitem(last=False)
        return claims

    def _verified(self, shown: str, keys: Mapping[str, jwk.Key]) -> Mapping[str, Any]:
        header = _part(shown.split(".")[0]) if shown.count(".") == 2 else None
        if header is None:
            raise NotAuthenticatedError("the token is no JWT")
        algorithm, kid, kind = header.get("alg"), header.get("kid"), header.get("typ")
        if algorithm not in self._config.algorithms:
            raise NotAuthenticatedError("the token's algorithm is not allowed")
        if "crit" in header or "b64" in header:
            raise NotAuthenticatedError("the token asks for what the engine does not do")
        if (kind.lower() if isinstance(kind, str) else kind) not in TYPES:
            raise NotAuthenticatedError("the token is of another type")
        if kid is None and len(keys) == 1:
            kid = next(iter(keys))
        key = keys.get(kid) if isinstance(kid, str) else None
        if key is None:
            if self._source.askable:
                raise UnknownKeyError("the token is signed with a key that is not published")
            raise NotAuthenticatedError("the token is signed with a key that is not published")
        fits = KINDS.get(algorithm[0], "") if algorithm != "Ed25519" else "OKP"
        if key.key_type != fits or key.get("alg") not in (None, algorithm):
            raise NotAuthenticatedError("the token's key is for another algorithm")
        try:
            signed = jws.deserialize_compact(shown, key, algorithms=[algorithm])
            claims = parsed(signed.payload or b"", mends=False)  # a name that is spelt so is none
        except (JoseError, ValueError):
            raise NotAuthenticatedError("the token's signature does not fit") from None
        if not isinstance(claims, dict):
            raise NotAuthenticatedError("the token says nothing")
        return claims

    def _name(self, claims: Mapping[str, Any]) -> str:
        try:
            return person(str(_claim(claims, self._config.name_claim) or ""))
        except TokenError:
            said = f"the token's {self._config.name_claim} is no name"
            raise NotAuthenticatedError(said) from None

    def _roles(self, claims: Mapping[str, Any]) -> frozenset[Role]:
        """Those that the engine knows; others are for other programs."""
        own = {role.value: role for role in Role} | dict(self._config.roles)
        return frozenset(
            own[name] for name in _texts(claims, self._config.roles_claim) if name in own
        )

    def _services(self, claims: Mapping[str, Any]) -> frozenset[str] | None:
        if self._config.services_claim is None:
            return None
        return frozenset(_texts(claims, self._config.services_claim))


def _keys(published: Any) -> dict[str, jwk.Key]:
    """Public keys that signatures may be checked with, by their ids; others are left out."""
    keys: dict[str, jwk.Key] = {}
    entries = published["keys"]
    if not isinstance(entries, list) or len(entries) > MOST_KEYS:
        raise ValueError(f"keys: is no list of at most {MOST_KEYS}")
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("kty") not in ("RSA", "EC", "OKP"):
            continue
        if entry.get("use", "sig") != "sig" or "d" in entry:
            continue
        try:
            key = jwk.import_key(entry)
            kid = key.ensure_kid() or str(key.kid)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            log.warning(f"a key of the identity provider cannot be read: {type(error).__name__}")
            continue
        if isinstance(key, jwk.RSAKey) and key.public_key.key_size < SMALLEST_RSA:
            log.warning(f"a key of the identity provider is shorter than {SMALLEST_RSA} bits")
            continue
        if kid in keys:
            raise ValueError("two keys have the same id")
        keys[kid] = key
    if not keys:
        raise ValueError("there is no key in it that signatures could be checked with")
    return keys


def _part(encoded: str) -> Mapping[str, Any] | None:
    """The header of a token, None if it is none."""
    try:
        raw = base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4))
        return parsed_object(raw)
    except ValueError:  # no base64, or no JSON object
        return None


def _time(claims: Mapping[str, Any], name: str) -> float:
    value = claims.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e11:
        raise NotAuthenticatedError(f"the token's {name} is no time")
    return float(value)


def _claim(claims: Mapping[str, Any], path: str) -> Any:
    """The claim of that name, or what the dots in it lead to."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value


def _texts(claims: Mapping[str, Any], path: str) -> list[str]:
    value = _claim(claims, path)
    if isinstance(value, str):
        return value.split()
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
