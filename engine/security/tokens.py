"""API tokens: made once, shown once, kept as a hash, limited in time, roles and services.

A token is `wt_ID_SECRET` with 256 random bits, so that a plain SHA-256 of it is as good as a slow
hash is for a password, and whoever reads the book has nothing that he could show.  A person may
have several; all of them carry his name, as four eyes are counted by names.

They are in the store, so that engines that share a database know the same ones.  The bootstrap
token alone is a document in the state folder: it is for one machine, and has to work whatever
became of the database.
"""

from __future__ import annotations

import hmac
import json
import math
import re
import secrets
import threading
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256

import structlog

from engine.ports.cabinet import Cabinet, CabinetError
from engine.ports.credentials import Credentials, Texts
from engine.security.identity import IdentityUnreadableError, NotAuthenticatedError
from engine.security.roles import Method, Principal, Role, is_same
from engine.security.token_texts import (
    DOCUMENT,
    Token,
    TokenBook,
    book_of,
    document_book,
    document_text,
    latest,
    texts_of,
)

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

log = structlog.stdlib.get_logger(__name__)


class TokenError(ValueError):
    """A token that cannot be made or revoked; the message says what is allowed."""


@dataclass(frozen=True, slots=True)
class _Read:
    """What was read last: its mark, and why it is not to be gone by, "" if it is."""

    mark: str | None = None
    book: TokenBook = field(default_factory=TokenBook)
    by_id: Mapping[str, Token] = field(default_factory=dict)
    unreadable: str = "they have not been read yet"


class Tokens:
    """All tokens: those in the store, and the bootstrap token in a cabinet."""

    def __init__(
        self, credentials: Credentials, cabinet: Cabinet, *, loopback: bool = False
    ) -> None:
        """`loopback`: only this machine can ask, so that the bootstrap token is taken.

        `cabinet` may have tokens of an earlier release, which are carried over once.
        """
        self._credentials = credentials
        self._cabinet = cabinet
        self._loopback = loopback
        self._looking = threading.Lock()
        self._read = _Read()
        self._own: tuple[str, TokenBook] = ("", TokenBook())

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
        """A first token with every role, for this machine alone.

        "" if a token is there already, or if nobody can say now whether one is.  Raises OSError,
        CabinetError.
        """
        if any(token.ends_s > now_s for token in self._kept_here().tokens):
            return ""
        try:
            there = self.book().tokens
        except OSError as error:
            log.warning(f"no bootstrap token is made, as the tokens cannot be read: {error}")
            return ""
        if any(token.ends_s > now_s for token in there):
            return ""
        made = {"now_s": now_s, "for_s": BOOTSTRAP_S}
        return self._made(BOOTSTRAP, Role, None, made_by="engine", **made)[0]

    def revoke(self, which: str, now_s: float) -> tuple[Token, ...]:
        """Revoke a token by its id, or all of a name; returns those that held until now.

        Raises TokenError where there is none; OSError, CabinetError.
        """
        revoked: list[Token] = []

        def edit(book: TokenBook) -> TokenBook:
            held = [
                token for token in book.tokens
                if (token.id == which or is_same(token.name, which)) and token.ends_s > now_s
            ]  # fmt: skip
            revoked[:] = held  # it is edited once more where others share the transaction
            after = [
                replace(token, revoked_s=now_s) if token in held else token for token in book.tokens
            ]
            return replace(book, tokens=tuple(after))

        here = self._kept_here().tokens
        if any(token.id == which or is_same(token.name, which) for token in here):
            self._change_here(edit, now_s)
        else:
            self._change(edit, now_s)
        if not revoked:
            raise TokenError(f'token: "{which}" is neither the id nor the name of one in force')
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
        """Whether a token of an identity provider, issued then to `name`, was revoked since.

        Goes by the last look; raises IdentityUnreadableError.
        """
        not_before = self._last_read().book.not_before
        return any(is_same(name, other) and issued_s <= at for other, at in not_before)

    def look(self) -> None:
        """Read what is there now, which `who` goes by until the next look; raises nothing.

        Takes as long as the store does.
        """
        try:
            self.book()
        except (OSError, CabinetError) as error:
            self.cannot_be_read(str(error))

    def is_current(self) -> bool:
        """Whether what the last look saw is there now; waits for nobody, raises nothing."""
        # In this order: a look that sees a change is over once what it saw is gone by.
        if not self._credentials.is_unchanged() or self._looking.locked() or self._read.unreadable:
            return False
        try:
            return not _is_of_earlier(self._document())
        except (OSError, CabinetError):
            return False

    def cannot_be_read(self, why: str) -> None:
        """Go by nothing that was read before: nobody knows whether it still holds."""
        if why != self._read.unreadable:
            log.error(f"tokens cannot be read, so nobody comes in with one: {why}")
        self._read = _Read(unreadable=why)

    def book(self) -> TokenBook:
        """All there is, by age; raises OSError, CabinetError."""
        with self._looking:
            self._carry_over()
            before = self._read
            there = self._credentials.glimpse(before.mark)
            if there is not None:
                book = book_of(there.texts)
                by_id = {token.id: token for token in book.tokens}
                self._read = _Read(there.mark, book, by_id, "")
        here, stored = self._kept_here(), self._read.book
        tokens = sorted((*here.tokens, *stored.tokens), key=lambda token: token.created_s)
        return TokenBook(tuple(tokens), stored.not_before)

    def usable(self, now_s: float) -> bool:
        """Whether somebody besides the bootstrap token could show one; raises as `book`."""
        return any(t.ends_s > now_s and t.name != BOOTSTRAP for t in self.book().tokens)

    def is_bootstrap(self, shown: str) -> bool:
        """Whether it says that it is this machine's bootstrap token, which is not in the store."""
        return self._own_token(shown) is not None

    def who(self, shown: str, now_s: float) -> Principal:
        """Who shows this token, as far as the last look knows.

        Raises NotAuthenticatedError, IdentityUnreadableError.
        """
        token = self._own_token(shown) or self._last_read().by_id.get(token_id(shown))
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

    def close(self) -> None:
        """Let go of the store."""
        self._credentials.close()

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
        change = self._change_here if name == BOOTSTRAP else self._change
        change(lambda book: replace(book, tokens=(*book.tokens, token)), now_s)
        return shown, token

    def _change(self, edit: Callable[[TokenBook], TokenBook], now_s: float) -> None:
        """Change what is in the store."""
        self._carry_over()
        self._credentials.change(lambda texts: texts_of(_kept(edit(book_of(texts)), now_s)))

    def _change_here(self, edit: Callable[[TokenBook], TokenBook], now_s: float) -> None:
        """Change what is in the cabinet."""
        self._carry_over()
        self._cabinet.change(
            DOCUMENT, lambda text: document_text(_kept(edit(document_book(text)), now_s))
        )

    def _last_read(self) -> _Read:
        """What the last look saw; raises IdentityUnreadableError."""
        last = self._read
        if last.unreadable:
            raise IdentityUnreadableError(
                "what was revoked cannot be read now, so nobody can say whether this still holds"
            )
        return last

    def _own_token(self, shown: str) -> Token | None:
        """The bootstrap token that it says to be; None also where the cabinet cannot be read."""
        try:
            here = self._kept_here().tokens
        except (OSError, CabinetError):
            return None
        made_id = token_id(shown)
        return next((token for token in here if token.id == made_id), None)

    def _kept_here(self) -> TokenBook:
        """The bootstrap tokens in the cabinet; raises OSError, CabinetError."""
        book = self._document()
        return TokenBook(tuple(token for token in book.tokens if token.name == BOOTSTRAP))

    def _document(self) -> TokenBook:
        text = self._cabinet.read(DOCUMENT)
        if text != self._own[0]:
            self._own = (text, document_book(text))
        return self._own[1]

    def _carry_over(self) -> None:
        """Put what an earlier release kept in the cabinet into the store, once.

        Killed in the middle it is done again, and then a token that is there is not put there
        again: whatever was revoked in either place stays so.  Raises OSError, CabinetError.
        """
        before = self._document()
        if not _is_of_earlier(before):
            return
        others = [token for token in before.tokens if token.name != BOOTSTRAP]

        def merged(texts: Texts) -> Texts:
            there = book_of(texts)
            by_id = {token.id: token for token in there.tokens}
            for token in others:
                kept = by_id.get(token.id, token)
                by_id[token.id] = replace(kept, revoked_s=min(kept.revoked_s, token.revoked_s))
            return texts_of(
                TokenBook(tuple(by_id.values()), latest(*there.not_before, *before.not_before))
            )

        self._credentials.change(merged)

        def rest(text: str) -> str:
            now = document_book(text)
            if now != before:
                return text  # it was changed meanwhile, and is carried over at the next look
            return document_text(TokenBook(tuple(t for t in now.tokens if t.name == BOOTSTRAP)))

        self._cabinet.change(DOCUMENT, rest)
        log.info(f"{len(others)} tokens of an earlier release were carried over into the store")


def _is_of_earlier(book: TokenBook) -> bool:
    """Whether a cabinet's book holds what belongs into the store."""
    return bool(book.not_before) or any(token.name != BOOTSTRAP for token in book.tokens)


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


def _kept(book: TokenBook, now_s: float) -> TokenBook:
    """Without the tokens that have been over for long."""
    tokens = tuple(token for token in book.tokens if token.ends_s > now_s - KEPT_S)
    return replace(book, tokens=tokens)
