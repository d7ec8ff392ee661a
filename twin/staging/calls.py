"""Calls from one service to another: an HTTP/1.1 client that costs next to nothing.

A general client takes a millisecond of processor time for a request, ten times what everything
else in a worker takes together, and so would be what a small machine measures.  This one keeps
connections open to one address (a socket of HAProxy's), sends requests with a known length and
reads answers with httptools, the parser that the server uses too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httptools

IDLE_S = 20.0
"""A connection that was idle for longer is not used again: HAProxy may be about to close it."""


class CallError(Exception):
    """The call had no answer; the message says why."""


@dataclass(frozen=True, slots=True)
class CallResult:
    """What a call came back with."""

    status: int
    body: bytes


class Caller:
    """Requests to what listens on the socket at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._loop = asyncio.get_running_loop()
        self._idle: list[_Connection] = []

    async def request(self, method: str, target: str, body: bytes, timeout_s: float) -> CallResult:
        """Make one request; raises CallError when there is no answer in `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._request(method, target, body)
        except TimeoutError:
            raise CallError(f"no answer in {timeout_s:g} s") from None
        except OSError as error:
            raise CallError(str(error.strerror or error)) from None

    async def _request(self, method: str, target: str, body: bytes) -> CallResult:
        while True:
            connection, used_before = await self._connection()
            try:
                answer = await connection.request(method, target, body)
            except _ClosedBeforeAnswer:
                # An idle connection was closed under us: the request was not looked at.
                if used_before:
                    continue
                raise CallError("the connection was closed before the answer") from None
            except asyncio.CancelledError:
                connection.close()
                raise
            if connection.reusable:
                connection.idle_since_s = self._loop.time()
                self._idle.append(connection)
            return answer

    async def _connection(self) -> tuple[_Connection, bool]:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and self._loop.time() - connection.idle_since_s < IDLE_S:
                return connection, True
            connection.close()
        _, connection = await self._loop.create_unix_connection(_Connection, self._path)
        return connection, False


class _ClosedBeforeAnswer(Exception):
    """Not one byte of an answer came."""


class _Connection(asyncio.Protocol):
    """One connection; one request at a time."""

    def __init__(self) -> None:
        self.idle_since_s = 0.0
        self._transport: Any = None
        self._answer: asyncio.Future[CallResult] | None = None
        self._parser: Any = None
        self._body: list[bytes] = []
        self._began = False
        self._open = False

    @property
    def reusable(self) -> bool:
        """Whether another request may be sent on it."""
        return self._open and self._answer is None

    def request(self, method: str, target: str, body: bytes) -> asyncio.Future[CallResult]:
        """Send a request; the future is its answer."""
        assert self._answer is None
        self._answer = asyncio.get_running_loop().create_future()
        self._parser = httptools.HttpResponseParser(self)
        self._body, self._began = [], False
        head = f"{method} {target} HTTP/1.1\r\nhost: staging\r\ncontent-length: {len(body)}\r\n\r\n"
        answer = self._answer
        if self._open:
            self._transport.write(head.encode() + body)
        else:
            self._fail(_ClosedBeforeAnswer())
        return answer

    def close(self) -> None:
        """Close it, whatever it is doing."""
        self._open = False
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The connection is there."""
        self._transport = transport
        self._open = True

    def data_received(self, data: bytes) -> None:
        """Some bytes of an answer came."""
        self._began = True
        if self._answer is None:
            self.close()  # an answer that nobody asked for, such as 408 to an idle connection
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(CallError(f"the answer is no HTTP: {error}"))
            self.close()

    def connection_lost(self, _: Exception | None) -> None:
        """The other side closed."""
        self._open = False
        if self._answer is not None:
            self._fail(
                CallError("the answer ended early") if self._began else _ClosedBeforeAnswer()
            )

    def on_body(self, body: bytes) -> None:
        """Part of the answer's body (httptools' callback)."""
        self._body.append(body)

    def on_message_complete(self) -> None:
        """The answer is whole (httptools' callback)."""
        answer, self._answer = self._answer, None
        if not self._parser.should_keep_alive():
            self.close()
        if answer is not None and not answer.done():
            answer.set_result(CallResult(self._parser.get_status_code(), b"".join(self._body)))

    def _fail(self, error: Exception) -> None:
        answer, self._answer = self._answer, None
        if answer is not None and not answer.done():
            answer.set_exception(error)
