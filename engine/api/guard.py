"""Around all routes: what is too large or too slow is refused, and nothing inside gets out."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import structlog

from engine.api.context import ApiContext
from engine.api.problems import Problem, ProblemError, response

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
)
LONGEST_PATH = 2_048
UNREAD = frozenset({"/api/v1/write"})
"""Paths whose handler reads the body by itself, in limits of its own, once it knows whose it is."""

log = structlog.stdlib.get_logger(__name__)


class RequestGuard:
    """An ASGI application around `inner`."""

    def __init__(self, inner: Application, context: ApiContext) -> None:
        self._inner = inner
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._inner(scope, receive, send)
            return
        begun = ended = False

        async def guarded(message: Message) -> None:
            nonlocal begun, ended
            ended = message["type"] == "http.response.body" and not message.get("more_body", False)
            if message["type"] == "http.response.start":
                begun = True
                headers = list(message.get("headers", ()))
                own = {name for name, _ in headers}
                headers += [(name, value) for name, value in HEADERS if name not in own]
                if b"cache-control" not in own:
                    headers.append((b"cache-control", b"no-store"))
                if self._context.draining:
                    headers.append((b"connection", b"close"))
                message = {**message, "headers": headers}
            await send(message)

        try:
            _check_head(scope)
            if scope["path"] in UNREAD and scope["method"] == "POST":
                await self._inner(scope, receive, guarded)
                return
            whole = await self._whole(scope, receive)
            if whole is None:
                return  # the client has gone
            await self._inner(scope, _replayed(whole, receive), guarded)
        except ProblemError as error:
            await response(error)(scope, receive, guarded)
        except Exception:
            log.exception("a request came to nothing")
            if begun:
                if not ended:
                    abort(scope)
                return
            failed = ProblemError(Problem.INTERNAL, "the engine failed to answer; its log says why")
            await response(failed)(scope, receive, guarded)

    async def _whole(self, scope: Scope, receive: Receive) -> bytes | None:
        """The body, read before anybody works on it; raises ProblemError."""
        headers = list(scope["headers"])
        for name, value in headers:
            if name == b"content-encoding" and value.strip().lower() not in (b"", b"identity"):
                raise ProblemError(
                    Problem.MEDIA, "Content-Encoding: a body must not be compressed",
                    headers={"accept-encoding": "identity"},
                )  # fmt: skip
        most = self._context.config.limits.body_bytes
        declared = next((value for name, value in headers if name == b"content-length"), b"0")
        if declared.isdigit() and int(declared) > most:
            raise ProblemError(
                Problem.TOO_LARGE, f"the body is larger than {most:,} bytes",
                headers={"connection": "close"},
            )  # fmt: skip
        body = bytearray()
        try:
            async with asyncio.timeout(self._context.config.limits.request_s):
                while True:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        return None
                    body += message.get("body", b"")
                    if len(body) > most:
                        raise ProblemError(
                            Problem.TOO_LARGE, f"the body is larger than {most:,} bytes",
                            headers={"connection": "close"},
                        )  # fmt: skip
                    if not message.get("more_body", False):
                        _check_media(headers, body)
                        return bytes(body)
        except TimeoutError:
            abort(scope)
            return None


def _check_head(scope: Scope) -> None:
    """Raises the problem that the request is none that any handler should see."""
    if len(scope["path"]) > LONGEST_PATH:
        raise ProblemError(Problem.INVALID, f"the path is longer than {LONGEST_PATH}")
    if not scope["path"].isprintable():  # a line break at its end would be overlooked later
        raise ProblemError(Problem.INVALID, "the path holds what cannot be printed")
    if {b"content-length", b"transfer-encoding"} <= {name for name, _ in scope["headers"]}:
        # RFC 9112 6.1: somebody before us may have gone by the other one.
        raise ProblemError(
            Problem.INVALID, "Content-Length and Transfer-Encoding: only one of the two",
            headers={"connection": "close"},
        )  # fmt: skip


def _check_media(headers: Sequence[tuple[bytes, bytes]], body: bytes | bytearray) -> None:
    """Raises the problem that a body is there and is not said to be JSON."""
    given = next((value for name, value in headers if name == b"content-type"), b"")
    if body and given.partition(b";")[0].strip().lower() != b"application/json":
        raise ProblemError(
            Problem.MEDIA, "Content-Type: it has to be application/json",
            headers={"accept": "application/json"},
        )  # fmt: skip


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`receive` with the body that was read already."""
    given = False

    async def replay() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay


def abort(scope: Scope) -> None:
    """Cut the connection: half an answer must not look like a whole one."""
    abort = scope.get("state", {}).get("abort")
    if abort is not None:
        with contextlib.suppress(RuntimeError):
            abort()
