"""How tokens are written down: in the store a text each, in the cabinet one document."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from hashlib import sha256
from typing import Any

from engine.ports.cabinet import CabinetError
from engine.ports.credentials import Texts
from engine.security.roles import Role, folded

DOCUMENT = "tokens.json"
"""With the bootstrap token; earlier releases kept all tokens in it."""
VERSION = 1
REFUSED = "refused-"
"""What the id begins with under which it is kept whose tokens issued elsewhere are refused."""


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


def document_book(text: str) -> TokenBook:
    """The book of the cabinet's document; raises CabinetError where it cannot be read."""
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


def document_text(book: TokenBook) -> str:
    """The text of the cabinet's document, "" for none."""
    if not book.tokens and not book.not_before:
        return ""
    tokens = [_entry(token) for token in book.tokens]
    whole = {"version": VERSION, "tokens": tokens, "not_before": book.not_before}
    return json.dumps(whole, allow_nan=False, indent=1) + "\n"


def _entry(token: Token) -> dict[str, Any]:
    # JSON knows no infinity.
    return asdict(token) | ({"revoked_s": None} if math.isinf(token.revoked_s) else {})


def book_of(texts: Texts) -> TokenBook:
    """The book of what is in the store; raises CabinetError where some of it cannot be read."""
    tokens: list[Token] = []
    not_before: list[tuple[str, float]] = []
    for name, text in texts.items():
        try:
            raw = json.loads(text)
            if name.startswith(REFUSED):
                not_before.append((str(raw["name"]), float(raw["issued_until_s"])))
            elif (token := _token(raw)).id != name:
                raise ValueError(f"it is that of {token.id}")
            else:
                tokens.append(token)
        except (ValueError, KeyError, TypeError) as error:
            raise CabinetError(f"credential {name}: cannot be read ({error})") from None
    return TokenBook(tuple(tokens), tuple(not_before))


def texts_of(book: TokenBook) -> Texts:
    """What is put into the store; `book_of` reads it."""
    texts = {token.id: json.dumps(_entry(token), allow_nan=False) for token in book.tokens}
    for name, at_s in book.not_before:
        text = json.dumps({"name": name, "issued_until_s": at_s}, allow_nan=False)
        texts[_refused_id(name)] = text
    return texts


def _refused_id(name: str) -> str:
    """The same however the name is spelled."""
    return f"{REFUSED}{sha256(folded(name).encode()).hexdigest()[:16]}"


def latest(*not_before: tuple[str, float]) -> tuple[tuple[str, float], ...]:
    """Of each name the latest."""
    latest: dict[str, tuple[str, float]] = {}
    for name, at_s in not_before:
        key = folded(name)
        if key not in latest or latest[key][1] < at_s:
            latest[key] = (name, at_s)
    return tuple(latest.values())
