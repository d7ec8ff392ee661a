"""Predictions that were worked out, kept in a Redis for all engines that are started there.

Nothing rests on it.  One that is slow is not waited for, one that is gone is not asked for a while,
one that was flushed has nothing; and what comes back is taken only if it is, byte for byte, what
was put there for the same question: then the answer is worked out, as it is without a Redis.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

import structlog

from engine.api.snapshot import EncodedText, text_of
from engine.config.strict import ConfigError

WAIT_S = 0.25
"""For an answer of Redis."""
REST_S = 5.0
"""After a failure it is left alone for so long."""
PREFIX = "wedtwin:prediction:"
DIGEST_BYTES = 32

log = structlog.stdlib.get_logger(__name__)


class SharedCache(Protocol):
    """Keeps texts by their questions; never raises for trouble of its own."""

    async def get(self, question: str) -> EncodedText | None:
        """The text that was put there, None if it is not to be had."""
        ...

    async def put(self, question: str, text: EncodedText, valid_s: float) -> None:
        """Keep it for so long, if that can be done."""
        ...


class NoSharedCache:
    """Where there is none."""

    async def get(self, question: str) -> EncodedText | None:  # noqa: ARG002
        """Nothing."""
        return None

    async def put(self, question: str, text: EncodedText, valid_s: float) -> None:
        """Nothing is kept."""


class RedisCache:
    """Texts in the Redis at `url`."""

    def __init__(self, url: str) -> None:
        """Raises ConfigError for a URL that is none, or without the package `redis`."""
        try:
            from redis.asyncio import Redis
        except ImportError:
            raise ConfigError("api.cache: the package redis is not installed") from None
        try:
            self._redis: Any = Redis.from_url(
                url, socket_timeout=WAIT_S, socket_connect_timeout=WAIT_S, max_connections=8
            )
        except ValueError as error:
            raise ConfigError(f"api.cache.url: is not allowed ({error})") from None
        self._again_s = 0.0

    async def get(self, question: str) -> EncodedText | None:
        """The text, if it is there and whole."""
        raw = await self._asked(lambda: self._redis.get(_key(question)))
        if not isinstance(raw, bytes) or len(raw) < DIGEST_BYTES:
            return None
        digest, content = raw[:DIGEST_BYTES], raw[DIGEST_BYTES:]
        is_whole = hmac.compare_digest(digest, _digest(question, content))
        return text_of(content) if is_whole else None

    async def put(self, question: str, text: EncodedText, valid_s: float) -> None:
        """Keep it."""
        kept = _digest(question, text.content) + text.content
        await self._asked(lambda: self._redis.set(_key(question), kept, ex=max(int(valid_s), 1)))

    async def _asked(self, ask: Callable[[], Awaitable[Any]]) -> Any:
        """What Redis says; None if it does not in time, and then it is not asked for a while."""
        if time.monotonic() < self._again_s:
            return None
        try:
            async with asyncio.timeout(WAIT_S):
                return await ask()
        except Exception as error:  # whatever a client library finds wrong with a Redis
            self._again_s = time.monotonic() + REST_S
            log.warning(
                f"the shared cache is left alone for {REST_S:.0f} s: {type(error).__name__}"
            )
            return None


def _key(question: str) -> str:
    return PREFIX + hashlib.sha256(question.encode()).hexdigest()


def _digest(question: str, content: bytes) -> bytes:
    return hashlib.blake2b(
        content, digest_size=DIGEST_BYTES, key=hashlib.sha256(question.encode()).digest()
    ).digest()
