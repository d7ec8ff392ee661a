"""API tokens: made once, shown once, kept as a hash, limited in time, roles and services.

A token is `wt_ID_SECRET` with 256 random bits, so that a plain SHA-256 of it is as good as a slow
hash is for a password, and whoever reads the book has nothing that he could show.  A person may
have several; all of them carry his name, as four eyes are counted by names.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import secrets
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from typing import Any

from engine.ports.cabinet import Cabinet, CabinetError
from engine.security.identity import NotAuthenticatedError
from engine.security.roles import Method, Principal, Role, is_same

DOCUMENT = "tokens.json"
VERSION = 1
PREFIX = "wt_"
ID_BYTES, SECRET_BYTES = 6, 32
DAY_S = 86_400.0
LONGEST_S = 400 * DAY_S
KEPT_S = 90 * DAY_S
"""For so long a token that is over stays on the list."""

BOOTSTRAP, BOOTSTRAP_S = "bootstrap", 30 * DAY_S
RESERVED = ("engine", BOOTSTRAP)
"""Names that stand for something else in the audit log."""

NAME = re.compile(r"[^\W_](?:[\w.@+|:/# -]{0,98}[\w])?")


class TokenError(ValueError):
    """A token that cannot be made or revoked; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class Token:
    """A token without its secret; times are epoch seconds, `revoked_s` inf while it holds."""

    id: str
    name: str
    roles: tuple[Role, ...]
    services: tuple[str, ...] | None
    created_s: float
    expires_s: float
    revoked_s: float
    made_by: str
    sha256: str

    @property
    def ends_s(self) -> float:
        """Until when it is good for anything."""
        return min(self.expires_s, self.revoked_s)


@dataclass(frozen=True, slots=True)
class TokenBook:
    """All tokens, and since when somebody's tokens of an identity provider are no longer taken."""

    tokens: tuple[Token, ...] = ()
    not_before: tuple[tuple[str, float], ...] = ()


class Tokens:
    """The book of tokens in a cabinet."""

    def __init__(self, cabinet: Cabinet, *, loopback: bool = False) -> None:
        """`loopback`: only this machine can ask, so that the bootstrap token is taken."""
        self._cabinet = cabinet
        self._loopback = loopback
        self._read: tuple[str, TokenBook, Mapping[str, Token]] = ("", TokenBook(), {})

    def create(
        self,
        name: str,
        roles: Iterable[Role],
        services: Iterable[str] | None,
        *,
        now_s: float,
        for_s: float,
        made_by: str,
    ) -> tuple[str, Token]:
        """Make a token; returns it as it is shown, once, and what is kept of it.

        Raises TokenError for a name, a time or limits that are not allowed; OSError.
        """
        name = person(name)
        return self._made(name, roles, services, now_s=now_s, for_s=for_s, made_by=made_by)

    def bootstrap(self, now_s: float) -> str:
        """A first token with every role, for this machine alone; "" if a token is there already.

        Raises OSError, CabinetError.
        """
        if any(token.ends_s > now_s for token in self.book().tokens):
            return ""
        made = {"now_s": now_s, "for_s": BOOTSTRAP_S}
        return self._made(BOOTSTRAP, Role, None, made_by="engine", **made)[0]

    def revoke(self, which: str, now_s: float) -> tuple[Token, ...]:
        """Revoke a token by its id, or all of a name; returns those that held until now.

        Raises TokenError where there is none; OSError, CabinetError.
        """
        revoked: list[Token] = []

        def edit(book: TokenBook) -> TokenBook:
            revoked[:] = [
                token for token in book.tokens
                if (token.id == which or is_same(token.name, which)) and token.ends_s > now_s
            ]  # fmt: skip
            if not revoked:
                raise TokenError(f'token: "{which}" is neither the id nor the name of one in force')
            after = [
                replace(token, revoked_s=now_s) if token in revoked else token
                for token in book.tokens
            ]
            return replace(book, tokens=tuple(after))

        self._change(edit, now_s)
        return tuple(revoked)

    def refuse_earlier(self, name: str, now_s: float) -> None:
        """Take no token of an identity provider that was issued to `name` up to now.

        Raises TokenError, OSError, CabinetError.
        """
        name = person(name)

        def edit(book: TokenBook) -> TokenBook:
            others = tuple(entry for entry in book.not_before if not is_same(entry[0], name))
            return replace(book, not_before=(*others, (name, now_s)))

        self._change(edit, now_s)

    def issued_too_early(self, name: str, issued_s: float) -> bool:
        """Whether a token of an identity provider, issued then to `name`, was revoked since."""
        return any(is_same(name, other) and issued_s <= at for other, at in self.book().not_before)

    def book(self) -> TokenBook:
        """All there is, newest last; raises OSError, CabinetError."""
        text = self._cabinet.read(DOCUMENT)
        if text != self._read[0]:
            book = _parsed(text)
            self._read = (text, book, {token.id: token for token in book.tokens})
        return self._read[1]

    def usable(self, now_s: float) -> bool:
        """Whether somebody besides the bootstrap token could show one."""
        return any(t.ends_s > now_s and t.name != BOOTSTRAP for t in self.book().tokens)

    def who(self, shown: str, now_s: float) -> Principal:
        """Who shows this token; raises NotAuthenticatedError."""
        try:
            self.book()
        except (OSError, CabinetError):
            raise NotAuthenticatedError("the tokens cannot be read now") from None
        token = self._read[2].get(token_id(shown))
        if token is None or not hmac.compare_digest(token.sha256, digest(shown)):
            raise NotAuthenticatedError("no such token")
        if token.revoked_s <= now_s:
            raise NotAuthenticatedError(f"the token {token.id} was revoked")
        if token.expires_s <= now_s:
            raise NotAuthenticatedError(f"the token {token.id} has expired")
        if token.name == BOOTSTRAP and not self._loopback:
            raise NotAuthenticatedError("the bootstrap token is for the engine's own machine")
        return Principal(
            token.name, frozenset(token.roles),
            None if token.services is None else frozenset(token.services),
            Method.TOKEN, token.id, token.expires_s,
        )  # fmt: skip

    def _made(
        self,
        name: str,
        roles: Iterable[Role],
        services: Iterable[str] | None,
        *,
        now_s: float,
        for_s: float,
        made_by: str,
    ) -> tuple[str, Token]:
        if not 0.0 < for_s <= LONGEST_S:
            raise TokenError(f"for: {for_s / DAY_S:g} days are not allowed (more than 0 … 400)")
        own = tuple(sorted(set(roles)))
        if not own:
            raise TokenError(f"role: is missing ({', '.join(Role)})")
        limits = None if services is None else tuple(sorted({_service(each) for each in services}))
        if limits == ():
            raise TokenError("service: is missing; without any limit it holds for all of them")
        made_id = secrets.token_hex(ID_BYTES)
        shown = f"{PREFIX}{made_id}_{secrets.token_urlsafe(SECRET_BYTES)}"
        token = Token(
            made_id, name, own, limits, now_s, now_s + for_s, math.inf, made_by, digest(shown)
        )
        self._change(lambda book: replace(book, tokens=(*book.tokens, token)), now_s)
        return shown, token

    def _change(self, edit: Callable[[TokenBook], TokenBook], now_s: float) -> None:
        def edited(text: str) -> str:
            book = edit(_parsed(text))
            kept = tuple(token for token in book.tokens if token.ends_s > now_s - KEPT_S)
            return _written(replace(book, tokens=kept))

        self._cabinet.change(DOCUMENT, edited)


def digest(shown: str) -> str:
    """What is kept of a token."""
    return sha256(shown.encode()).hexdigest()


def token_id(shown: str) -> str:
    """The id in a token, "" if it is none of ours."""
    parts = shown.split("_", 2)
    return parts[1] if len(parts) == 3 and f"{parts[0]}_" == PREFIX else ""


def person(name: str) -> str:
    """A name as it is written down; raises TokenError for what would mislead a reader."""
    spelled = unicodedata.normalize("NFKC", name).strip()
    if not NAME.fullmatch(spelled):
        raise TokenError(
            f"name: {json.dumps(name)} is not allowed (1 to 100 letters, digits, . @ + | : / # - _ "
            "and blanks, from a letter or digit to a letter or digit)"
        )
    if spelled.casefold() in RESERVED:
        raise TokenError(f'name: "{spelled}" is not allowed (it stands for something else)')
    return spelled


def _service(name: str) -> str:
    if not 1 <= len(name) <= 200 or not name.isprintable():
        raise TokenError(f"service: {json.dumps(name)} is not allowed (the name of a service)")
    return name


def _parsed(text: str) -> TokenBook:
    if not text:
        return TokenBook()
    try:
        raw = json.loads(text)
        if raw["version"] != VERSION:
            raise ValueError(f"version {raw['version']}, this is {VERSION}")
        tokens = tuple(_token(entry) for entry in raw["tokens"])
        early = tuple((str(name), float(at)) for name, at in raw["not_before"])
    except (ValueError, KeyError, TypeError) as error:
        raise CabinetError(f"{DOCUMENT}: cannot be read ({error})") from None
    return TokenBook(tokens, early)


def _token(entry: Mapping[str, Any]) -> Token:
    revoked = entry["revoked_s"]
    return Token(
        id=str(entry["id"]),
        name=str(entry["name"]),
        roles=tuple(Role(role) for role in entry["roles"]),
        services=None if entry["services"] is None else tuple(map(str, entry["services"])),
        created_s=float(entry["created_s"]),
        expires_s=float(entry["expires_s"]),
        revoked_s=math.inf if revoked is None else float(revoked),
        made_by=str(entry["made_by"]),
        sha256=str(entry["sha256"]),
    )


def _written(book: TokenBook) -> str:
    tokens = [
        asdict(token) | ({"revoked_s": None} if math.isinf(token.revoked_s) else {})
        for token in book.tokens
    ]
    whole = {"version": VERSION, "tokens": tokens, "not_before": book.not_before}
    return json.dumps(whole, allow_nan=False, indent=1) + "\n"
