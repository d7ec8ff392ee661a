"""Send one request and say how it ended: HTTP/1.1 over kept connections, and WebSockets.

Leaner than Locust's clients, because the generator must not become what is measured: bytes that
never change are built once, the answer is parsed in C (llhttp), and nothing of it is kept
(`python benchmarks/load_generator.py` compares).  A person's request has a deadline as a whole, not
one for each read.
"""

from __future__ import annotations

import contextlib
import ipaddress
import select
import ssl
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import gevent
import gevent.monkey
import gevent.socket
from geventhttpclient._parser import HTTPParseError, HTTPResponseParser

from locustfiles.journeys import JourneyStep, form
from locustfiles.websocket import Broken, Closed, Refused, WebSocket

Ending = Literal["ok", "failed", "shed", "timed_out"]

READ_BYTES = 65_536
SHED = (429, 503)
GATEWAY_TIMED_OUT = 504
AGENT = "wedtwin-load"
RECONNECTS = 3
LEAVE_S = 2.0
"""So long the other side may take to close a WebSocket that we leave."""
SENT_ELSEWHERE = (1001, 1012)
"""WebSocket closes that mean: this instance goes, connect again (RFC 6455; IANA's registry)."""


@dataclass(frozen=True, slots=True)
class RequestOutcome:
    """How a request ended; `detail` says why it was not ok."""

    ending: Ending
    detail: str = ""
    body_bytes: int = 0


class TargetError(ValueError):
    """The address cannot be a target; the message names the option and what is allowed."""


class _Answer(HTTPResponseParser):
    """Only what decides: whether it is whole, and how long it was."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = False
        self.begun = False
        self.body_bytes = 0

    def _on_message_begin(self) -> None:
        self.begun = True

    def _on_message_complete(self) -> None:
        self.whole = True

    def _on_body(self, part: bytes) -> None:
        self.body_bytes += len(part)

    def _on_status(self, text: str) -> None:
        """The parser asks for this and the next ones, too."""

    def _on_header_field(self, text: str) -> None: ...

    def _on_header_value(self, text: str) -> None: ...

    def _on_headers_complete(self) -> None: ...


class PlatformUnderTest:
    """The platform under test, at `address` such as `https://staging.example.com`."""

    def __init__(self, address: str, photo_bytes: int) -> None:
        parts = urlsplit(address)
        try:
            port = parts.port
        except ValueError:
            port = 0
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise TargetError(
                f'--host: "{address}" is not allowed (http://NAME[:PORT] or https://NAME[:PORT])'
            )
        self.host = parts.hostname
        self.port = port or (443 if parts.scheme == "https" else 80)
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._prefix = parts.path.rstrip("/")
        self._idle: list[Any] = []
        name = f"[{self.host}]" if ":" in self.host else self.host
        self._common = f"Host: {name}:{self.port}\r\nUser-Agent: {AGENT}\r\n".encode()
        self._leaving: set[gevent.Greenlet] = set()
        self._form = form(photo_bytes)
        self._bodies: dict[JourneyStep, bytes] = {}

    def send(self, step: JourneyStep, wedding: int, timeout_s: float) -> RequestOutcome:
        """Make the request of `step`, wait at most `timeout_s` for the whole of its answer."""
        path = self._prefix + step.path.replace("{id}", str(wedding))
        deadline = gevent.Timeout(timeout_s)
        deadline.start()
        try:
            if step.method == "WS":
                return self._follow(path, step.body)
            return self._request(step, path)
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            return RequestOutcome("timed_out", f"no whole answer within {timeout_s:g} s")
        except (OSError, HTTPParseError) as error:
            return RequestOutcome("failed", _why(error))
        finally:
            deadline.close()

    def close(self) -> None:
        """Give up the kept connections, and finish with those that are being left."""
        gevent.joinall(list(self._leaving), timeout=LEAVE_S)
        while self._idle:
            self._idle.pop().close()

    def _request(self, step: JourneyStep, path: str) -> RequestOutcome:
        message = f"{step.method} {path} HTTP/1.1\r\n".encode() + self._rest(step)
        reused = self._reusable()
        connection = reused or self._connect()
        try:
            answer = _ask(connection, message)
            if not answer.begun and reused is not None and step.method == "GET":
                # A kept connection may end in the very moment that it is used again; what has no
                # effect may be asked anew (RFC 9112, section 9.3.1).
                connection.close()
                connection = self._connect()
                answer = _ask(connection, message)
            if not answer.whole:
                raise Broken("connection closed before the answer was whole")
        except BaseException:
            connection.close()
            raise
        if answer.should_keep_alive():
            self._idle.append(connection)
        else:
            connection.close()
        return _judged(answer.get_code(), answer.body_bytes)

    def _rest(self, step: JourneyStep) -> bytes:
        """Everything after the first line."""
        rest = self._bodies.get(step)
        if rest is None:
            kind, body = "", b""
            if step.photo:
                body, kind = self._form
            elif step.body:
                body, kind = step.body.encode(), "application/json"
            head = self._common
            if body:
                head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode()
            rest = self._bodies[step] = head + b"\r\n" + body
        return rest

    def _reusable(self) -> Any | None:
        """A kept connection that the other side has not closed meanwhile."""
        while self._idle:
            connection = self._idle.pop()
            if not _readable(connection):
                return connection
            connection.close()
        return None

    def _connect(self) -> Any:
        connection = gevent.socket.create_connection((self.host, self.port))
        try:
            connection.setsockopt(gevent.socket.IPPROTO_TCP, gevent.socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_hostname=self.host)
        except BaseException:
            connection.close()
            raise
        return connection

    def _follow(self, path: str, said: str) -> RequestOutcome:
        """Open a WebSocket, say something, take the first update, leave."""
        for _ in range(RECONNECTS):
            connection = self._connect()
            left = False
            try:
                websocket = WebSocket(connection, path, self._common)
                websocket.say(said)
                update = websocket.hear()
                # The request is answered: what the close takes is no part of it.
                self._leaving.add(gevent.spawn(self._leave, connection, websocket))
                left = True
                if update.startswith(b'{"error"'):
                    return RequestOutcome(
                        "failed", update[:80].decode(errors="replace"), len(update)
                    )
                return RequestOutcome("ok", body_bytes=len(update))
            except Refused as refusal:
                judged = _judged(refusal.status, 0)
                return (
                    judged
                    if judged.ending != "ok"
                    else RequestOutcome("failed", "no WebSocket there")
                )
            except Closed as closed:
                if closed.code not in SENT_ELSEWHERE:
                    return RequestOutcome("failed", str(closed))
            finally:
                if not left:
                    connection.close()
        return RequestOutcome("failed", f"sent elsewhere {RECONNECTS} times")

    def _leave(self, connection: Any, websocket: WebSocket) -> None:
        with contextlib.suppress(OSError, gevent.Timeout), gevent.Timeout(LEAVE_S):
            websocket.leave()
        connection.close()
        self._leaving.discard(gevent.getcurrent())


def is_loopback(address: str) -> bool:
    """Whether load sent there stays on this machine."""
    name = urlsplit(address).hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


# The system's own poll: gevent's would go through the event loop to look at one socket.
_poll = gevent.monkey.get_original("select", "poll")


def _readable(connection: Any) -> bool:
    """Whether there is something to read where nothing was asked for: an end, or a late answer."""
    poll = _poll()
    poll.register(connection.fileno(), select.POLLIN)
    return bool(poll.poll(0))


def _ask(connection: Any, message: bytes) -> _Answer:
    """Send and read one answer; it is not whole if the connection ended first."""
    answer = _Answer()
    try:
        connection.sendall(message)
        while not answer.whole:
            got = connection.recv(READ_BYTES)
            if not got:
                answer.feed(b"")
                break
            answer.feed(got)
    except (ConnectionResetError, BrokenPipeError):
        if answer.begun:
            raise
    return answer


def _why(error: Exception) -> str:
    return str(error) if isinstance(error, Broken) else f"{type(error).__name__}: {error}"


def _judged(status: int, body_bytes: int) -> RequestOutcome:
    if 200 <= status < 400:
        return RequestOutcome("ok", body_bytes=body_bytes)
    if status in SHED:
        return RequestOutcome("shed", f"HTTP {status}", body_bytes)
    if status == GATEWAY_TIMED_OUT:
        return RequestOutcome("timed_out", f"HTTP {status}", body_bytes)
    return RequestOutcome("failed", f"HTTP {status}", body_bytes)
