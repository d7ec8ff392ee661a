"""Bookings as JSON over HTTP: pages, each with its ETag, and signed where there is a secret.

    python -m engine serve bookings=http bookings.options.url=https://crm.example.com/bookings

A page is a list, or an object with one under `items` and the next page's address under `next`.
Only pages that have changed are sent again (`If-None-Match`).  Addresses keep the rules of what
the engine asks and tells (`engine.security.outbound`): TLS, or this very machine; a next page is
never anywhere else than the first.

A signed page has `X-WedTwin-Timestamp` (epoch seconds) and `X-WedTwin-Signature`, "sha256=" and
HMAC-SHA-256 over "timestamp.body", as the engine's own notices have.  One that is older than
`OLDEST_S`, or of the future, is refused: it may be somebody's copy.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import httpx
from pydantic import AfterValidator, Field, SecretStr

from engine.adapters.bookings.feed import Feed, configured
from engine.adapters.bookings.files import FeedError
from engine.adapters.bookings.known import Listing
from engine.adapters.bookings.rows import BookedEvent, FeedConfig, RowReader, WrongRow, made_at_s
from engine.adapters.notices.webhook import LEAST_SECRET, signature
from engine.config.secrets import revealed
from engine.config.security import is_safe
from engine.config.strict import ConfigError
from engine.model import ServiceSpec
from engine.security.foreign_json import ForeignJsonError, parsed
from engine.security.outbound import OutboundTransport
from engine.security.tls import TlsError, client_context

OLDEST_S = 300.0
MOST_PAGES = 2000


def _safe(url: SecretStr) -> SecretStr:
    if not is_safe(url.get_secret_value()):
        raise ValueError(
            "is not allowed (an https:// address without a user or a fragment, or http:// to this "
            "machine itself, such as http://127.0.0.1:8080/bookings)"
        )
    return url


def _long(secret: SecretStr | None) -> SecretStr | None:
    if secret is not None and len(secret.get_secret_value()) < LEAST_SECRET:
        raise ValueError(f"has to have at least {LEAST_SECRET} characters")
    return secret


class HttpConfig(FeedConfig):
    """Where the bookings are asked for, and how an answer reads."""

    url: Annotated[SecretStr, AfterValidator(_safe)]
    headers: dict[str, SecretStr] = Field(default_factory=dict)
    secret: Annotated[SecretStr | None, AfterValidator(_long)] = None
    """Each page has to be signed with it; null: none is."""
    items: str | None = "items"
    """The key of the rows; null: the answer is the list itself."""
    next: str | None = "next"
    """The key of the next page's address; null: there is one page."""
    as_of: str | None = None
    """The key of when the first page was made; null: it does not say."""
    ca: Path | None = None
    timeout_s: Annotated[float, Field(gt=0.0, le=300.0)] = 10.0
    """For each page."""
    max_mib: Annotated[float, Field(gt=0.0, le=1024.0)] = 64.0
    """All pages together that are larger are refused."""


@dataclass(frozen=True, slots=True)
class _Page:
    """A page as it was had: its validator, its rows and where the next one is ("": nowhere)."""

    etag: str
    rows: tuple[Mapping[str, object], ...]
    next: str
    bytes: int
    as_of_s: float | None


class HttpSource:
    """`Source` of pages; keeps of each what it needs of it."""

    def __init__(
        self,
        config: HttpConfig,
        reader: RowReader,
        wall_s: Callable[[], float] = time.time,
    ) -> None:
        """Raises TlsError for certificates that cannot be read."""
        self._config = config
        self._reader = reader
        self._wall_s = wall_s
        self._first = httpx.URL(config.url.get_secret_value())
        self._pages: dict[str, _Page] = {}
        trusted = client_context(config.ca)
        self._http = httpx.AsyncClient(
            headers={"accept": "application/json", **revealed(config.headers)},
            timeout=config.timeout_s,
            trust_env=False,
            follow_redirects=False,
            transport=OutboundTransport(to_self=False, verify=trusted),
        )

    async def read(self, now_s: float, since_s: float | None = None) -> Listing | None:
        """All pages, whatever they hold, or None if none has changed; raises OSError."""
        del since_s
        pages: dict[str, _Page] = {}
        has_changed = False
        url = self._first
        while True:
            key = str(url)
            if key in pages:
                raise FeedError(f"{self._first.host}: a next page is one that was read before")
            if len(pages) >= MOST_PAGES:
                raise FeedError(f"{self._first.host} has more than {MOST_PAGES:,} pages")
            room = self._config.max_mib * 1024 * 1024 - sum(page.bytes for page in pages.values())
            page = await self._page(url, room)
            if not pages and self._config.as_of is not None and page.as_of_s is None:
                name = self._config.as_of
                raise FeedError(f"{self._first.host}: {name} is no time (bookings.options.as_of)")
            has_changed = has_changed or page is not self._pages.get(key)
            pages[key] = page
            if not page.next:
                break
            url = self._next(url, page.next)
        if not has_changed and len(pages) == len(self._pages):
            return None
        listing = self._listing(list(pages.values()), now_s)
        self._pages = pages
        return listing

    def hints(self) -> bool:
        """Nobody hints."""
        return False

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _page(self, url: httpx.URL, room: float) -> _Page:
        """The page, the same object if it has not changed; raises FeedError."""
        before = self._pages.get(str(url))
        headers = {"if-none-match": before.etag} if before is not None and before.etag else {}
        request = self._http.build_request("GET", url, headers=headers)
        host = self._first.host
        try:
            answer = await self._http.send(request, stream=True)
            async with aclosing(answer):
                if answer.status_code == 304 and before is not None and headers:
                    return before
                if answer.status_code != 200:
                    raise FeedError(f"{host} answered {answer.status_code}")
                body = bytearray()
                async for part in answer.aiter_bytes():
                    body += part
                    if len(body) > room:
                        raise FeedError(f"{host} answered more than {self._config.max_mib:g} MiB")
        except httpx.HTTPError as error:
            raise FeedError(f"{host} cannot be reached: {error or type(error).__name__}") from None
        self._check(answer.headers, bytes(body))
        return self._parsed(bytes(body), answer.headers.get("etag", ""))

    def _check(self, headers: Mapping[str, str], body: bytes) -> None:
        """Raises FeedError unless it is signed, where it has to be, and new."""
        if self._config.secret is None:
            return
        host = self._first.host
        stamp = headers.get("x-wedtwin-timestamp", "")
        own = signature(self._config.secret.get_secret_value().encode(), stamp, body)
        given = headers.get("x-wedtwin-signature", "")
        if not hmac.compare_digest(given.encode(), f"sha256={own}".encode()):
            raise FeedError(f"{host}: an answer is not signed by who has the secret")
        try:
            age_s = self._wall_s() - float(stamp)
        except ValueError:
            age_s = OLDEST_S + 1.0
        if not abs(age_s) <= OLDEST_S:
            raise FeedError(f"{host}: a signed answer is more than {OLDEST_S:.0f} s off")

    def _parsed(self, body: bytes, etag: str) -> _Page:
        host = self._first.host
        try:
            document = parsed(body, mends=False)  # an id that is spelt so is refused
        except ForeignJsonError as error:
            raise FeedError(f"{host} answered with something that is {error}") from None
        config = self._config
        rows: object = document
        after: object = None
        if config.items is not None:
            if not isinstance(document, dict) or config.items not in document:
                raise FeedError(f"{host} answered without {config.items} (bookings.options.items)")
            rows = document[config.items]
            after = document.get(config.next) if config.next is not None else None
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise FeedError(f"{host} answered with rows that are no objects")
        if after is not None and not isinstance(after, str):
            raise FeedError(f"{host}: {config.next} is no address")
        wanted = config.columns.all
        kept = tuple({name: row[name] for name in wanted if name in row} for row in rows)
        as_of_s = None
        if isinstance(document, dict) and config.as_of is not None:
            as_of_s = made_at_s(document.get(config.as_of))
        return _Page(etag, kept, after or "", len(body), as_of_s)

    def _next(self, url: httpx.URL, after: str) -> httpx.URL:
        """The next page's address; raises FeedError for one of somebody else's."""
        try:
            following = url.join(after)
        except (httpx.InvalidURL, ValueError):
            raise FeedError(f"{self._first.host}: the next page has no address") from None
        if (following.scheme, following.host, following.port) != (
            self._first.scheme, self._first.host, self._first.port
        ):  # fmt: skip
            raise FeedError(f"{self._first.host}: the next page is at another place")
        return following

    def _listing(self, pages: Sequence[_Page], now_s: float) -> Listing:
        events: list[BookedEvent] = []
        wrong: list[WrongRow] = []
        number = 0
        for page in pages:
            for row in page.rows:
                number += 1
                made = self._reader.event(row, f"row {number}", now_s)
                if isinstance(made, BookedEvent):
                    events.append(made)
                else:
                    wrong.append(made)
        return Listing(events, wrong, pages[0].as_of_s)


def connect(specs: Sequence[ServiceSpec], begins_s: float, **options: Any) -> Feed:
    """The bookings of an address, as configured; raises ConfigError naming each wrong key."""
    del begins_s
    config, model, reader = configured(HttpConfig, specs, options)
    try:
        source = HttpSource(config, reader)
    except TlsError as error:
        raise ConfigError(f"bookings.options.ca: {error}") from None
    return Feed(source, reader, config, model, specs=specs)
