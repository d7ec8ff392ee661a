"""Send one request and say how it ended: HTTP/1.1 over kept connections, and WebSockets.

Leaner than Locust's clients, because the generator must not become what is measured: bytes that
never change are built once, the answer is parsed in C (llhttp), and nothing of it is kept.  A
person's request has a deadline as a whole, not one for each read.
"""

from __future__ import annotations

import base64
import hashlib
import ipaddress
import os
import select
import ssl
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

import gevent
import gevent.monkey
import gevent.socket
from geventhttpclient._parser import HTTPParseError, HTTPResponseParser

from locustfiles.journeys import Step, form

Ending = Literal["ok", "failed", "shed", "timed_out"]

READ_BYTES = 65_536
SHED = (429, 503)
GATEWAY_TIMED_OUT = 504
SWITCHING = 101
WEBSOCKET_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
TEXT_FRAME, CLOSE_FRAME, PING_FRAME, PONG_FRAME = 0x1, 0x8, 0x9, 0xA
MOST_FRAMES = 100
RECONNECTS = 3
SENT_ELSEWHERE = (1001, 1012)
"""WebSocket closes that mean: this instance goes, connect again (RFC 6455; IANA's registry)."""


@dataclass(frozen=True, slots=True)
class Outcome:
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


class _Broken(OSError):
    """The other side closed or broke the protocol."""


class Target:
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
        common = f"Host: {name}:{self.port}\r\nUser-Agent: wedtwin-load\r\n"
        self._common = common.encode()
        self._form = form(photo_bytes)
        self._bodies: dict[Step, bytes] = {}

    def send(self, step: Step, wedding: int, timeout_s: float) -> Outcome:
        """Make the request of `step`, wait at most `timeout_s` for the whole of its answer."""
        path = self._prefix + step.path.replace("{id}", str(wedding))
        deadline = gevent.Timeout(timeout_s)
        deadline.start()
        try:
            if step.method == "WS":
                return self._follow(path, step.body.encode())
            return self._request(step, path)
        except gevent.Timeout as timeout:
            if timeout is not deadline:
                raise
            return Outcome("timed_out", f"no whole answer within {timeout_s:g} s")
        except (OSError, HTTPParseError) as error:
            return Outcome("failed", f"{type(error).__name__}: {error}".replace("_Broken: ", ""))
        finally:
            deadline.close()

    def close(self) -> None:
        """Give up the kept connections."""
        while self._idle:
            self._idle.pop().close()

    def _request(self, step: Step, path: str) -> Outcome:
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
                raise _Broken("connection closed before the answer was whole")
        except BaseException:
            connection.close()
            raise
        if answer.should_keep_alive():
            self._idle.append(connection)
        else:
            connection.close()
        return _judged(answer.get_code(), answer.body_bytes)

    def _rest(self, step: Step) -> bytes:
        """Everything after the first line."""
        found = self._bodies.get(step)
        if found is None:
            kind, body = "", b""
            if step.photo:
                body, kind = self._form
            elif step.body:
                body, kind = step.body.encode(), "application/json"
            head = self._common
            if body:
                head += f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode()
            found = self._bodies[step] = head + b"\r\n" + body
        return found

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

    def _follow(self, path: str, said: bytes) -> Outcome:
        """Open a WebSocket, say something, take the first update, leave (RFC 6455)."""
        for _ in range(RECONNECTS):
            connection = self._connect()
            try:
                outcome = self._upgrade(connection, path, said)
            finally:
                connection.close()
            if outcome is not None:
                return outcome
        return Outcome("failed", f"sent elsewhere {RECONNECTS} times")

    def _upgrade(self, connection: Any, path: str, said: bytes) -> Outcome | None:
        """The same on one connection; None where its instance is going and says so."""
        key = base64.b64encode(os.urandom(16))
        connection.sendall(
            b"GET " + path.encode() + b" HTTP/1.1\r\n" + self._common
            + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: " + key + b"\r\n\r\n"
        )  # fmt: skip
        head, rest = _head(connection)
        status = _status(head)
        if status != SWITCHING:
            judged = _judged(status, 0)
            return judged if judged.ending != "ok" else Outcome("failed", "no WebSocket there")
        proof = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())
        if proof not in head:
            return Outcome("failed", "the WebSocket's handshake is not right")
        connection.sendall(_frame(TEXT_FRAME, said))
        frames = _Frames(connection, rest)
        for _ in range(MOST_FRAMES):
            opcode, payload = frames.next()
            if opcode == PING_FRAME:
                connection.sendall(_frame(PONG_FRAME, payload))
            elif opcode == CLOSE_FRAME:
                code = int.from_bytes(payload[:2], "big")
                if code in SENT_ELSEWHERE:
                    return None
                return Outcome("failed", f"the WebSocket was closed with code {code}")
            elif opcode != PONG_FRAME:
                connection.sendall(_frame(CLOSE_FRAME, (1000).to_bytes(2, "big")))
                if payload.startswith(b'{"error"'):
                    return Outcome("failed", payload[:80].decode(errors="replace"), len(payload))
                return Outcome("ok", body_bytes=len(payload))
        return Outcome("failed", f"no message among {MOST_FRAMES} WebSocket frames")


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


def _judged(status: int, body_bytes: int) -> Outcome:
    if 200 <= status < 400:
        return Outcome("ok", body_bytes=body_bytes)
    if status in SHED:
        return Outcome("shed", f"HTTP {status}", body_bytes)
    if status == GATEWAY_TIMED_OUT:
        return Outcome("timed_out", f"HTTP {status}", body_bytes)
    return Outcome("failed", f"HTTP {status}", body_bytes)


def _head(connection: Any) -> tuple[bytes, bytes]:
    """The answer's head, and what came after it."""
    held = b""
    while b"\r\n\r\n" not in held:
        got = connection.recv(READ_BYTES)
        if not got or len(held) > READ_BYTES:
            raise _Broken("connection closed during the WebSocket's handshake")
        held += got
    head, _, rest = held.partition(b"\r\n\r\n")
    return head, rest


def _status(head: bytes) -> int:
    words = head.split(b" ", 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1][:3].isdigit():
        raise _Broken("the answer is not HTTP")
    return int(words[1][:3])


def _frame(opcode: int, payload: bytes) -> bytes:
    """One frame with a payload of at most 125 bytes, masked, as clients have to."""
    assert len(payload) <= 125
    mask = os.urandom(4)
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    return bytes((0x80 | opcode, 0x80 | len(payload))) + mask + masked


class _Frames:
    """The frames that come in on a WebSocket."""

    def __init__(self, connection: Any, held: bytes) -> None:
        self._connection = connection
        self._held = held

    def next(self) -> tuple[int, bytes]:
        """Opcode and payload of the next message; parts of one are joined."""
        message, first = b"", None
        while True:
            head = self._take(2)
            opcode, size = head[0] & 0x0F, head[1] & 0x7F
            if size >= 126:
                size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
            payload = self._take(size)
            if opcode >= CLOSE_FRAME:
                return opcode, payload
            first = opcode if first is None else first
            message += payload
            if head[0] & 0x80:
                return first, message

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            got = self._connection.recv(READ_BYTES)
            if not got:
                raise _Broken("the WebSocket ended without a message")
            self._held += got
        taken, self._held = self._held[:count], self._held[count:]
        return taken
