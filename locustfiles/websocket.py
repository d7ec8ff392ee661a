"""A WebSocket from handshake to close (RFC 6455) over a gevent socket.

The frames are wsproto's.  The handshake is not: the HTTP library under it would add a fifth to what
such a request costs.
"""

from __future__ import annotations

import base64
import hashlib
import os
from collections.abc import Iterator
from typing import Any

from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Message, Ping, TextMessage
from wsproto.frame_protocol import CloseReason

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # RFC 6455, section 1.3
SWITCHING = 101
READ_BYTES = 65_536
LARGEST_MESSAGE = 2**20
"""Bytes of a message that is taken whole."""


class Refused(Exception):
    """The answer to the handshake is another one than 101."""

    def __init__(self, status: int) -> None:
        super().__init__(f"HTTP {status}")
        self.status = status


class Closed(Exception):
    """The other side has closed the WebSocket, with this code (RFC 6455, section 7.4)."""

    def __init__(self, code: int) -> None:
        super().__init__(f"the WebSocket was closed with code {code}")
        self.code = code


class Broken(OSError):
    """The connection ended, or the other side broke the protocol."""


class WebSocket:
    """One connection, from the client's side; `connection` is an open socket."""

    def __init__(self, connection: Any, target: str, headers: bytes) -> None:
        """Shake hands, with `headers` of one's own (a line each); raises Refused, Broken."""
        self._connection = connection
        key = base64.b64encode(os.urandom(16))
        connection.sendall(
            b"GET " + target.encode() + b" HTTP/1.1\r\n" + headers
            + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            + b"Sec-WebSocket-Key: " + key + b"\r\n\r\n"
        )  # fmt: skip
        rest = self._shake_hands(key)
        self._protocol = Connection(ConnectionType.CLIENT, trailing_data=rest)
        self._events = self._read()

    def say(self, text: str) -> None:
        """Send a message."""
        self._send(TextMessage(data=text))

    def hear(self) -> bytes:
        """The next message, its fragments joined; pings are answered meanwhile.

        Raises Closed, Broken.
        """
        parts: list[bytes] = []
        for event in self._events:
            if isinstance(event, TextMessage | BytesMessage):
                parts.append(_bytes(event))
                if sum(map(len, parts)) > LARGEST_MESSAGE:
                    self._send(CloseConnection(code=CloseReason.MESSAGE_TOO_BIG))
                    raise Broken(f"a WebSocket message of more than {LARGEST_MESSAGE:,} bytes")
                if event.message_finished:
                    return b"".join(parts)
            elif isinstance(event, Ping):
                self._send(event.response())
            elif isinstance(event, CloseConnection):
                self._closed(event)
        raise Broken("the WebSocket ended without a message")

    def leave(self) -> None:
        """Close: say so, and wait until the other side has said so, too."""
        self._send(CloseConnection(code=CloseReason.NORMAL_CLOSURE))
        for event in self._events:
            if isinstance(event, CloseConnection):
                return

    def _shake_hands(self, key: bytes) -> bytes:
        """Judge the answer to the handshake (section 4.1); returns what came after it."""
        held = b""
        while b"\r\n\r\n" not in held:
            received = self._connection.recv(READ_BYTES)
            if not received or len(held) > READ_BYTES:
                raise Broken("connection closed during the WebSocket's handshake")
            held += received
        head, _, rest = held.partition(b"\r\n\r\n")
        status, *lines = head.split(b"\r\n")
        words = status.split(b" ", 2)
        if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
            raise Broken("the answer is not HTTP")
        if int(words[1]) != SWITCHING:
            raise Refused(int(words[1]))
        fields = {}
        for line in lines:
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip()
        proof = base64.b64encode(hashlib.sha1(key + GUID).digest())
        if (
            fields.get(b"upgrade", b"").lower() != b"websocket"
            or b"upgrade" not in fields.get(b"connection", b"").lower()
            or fields.get(b"sec-websocket-accept") != proof
            or b"sec-websocket-extensions" in fields  # none was asked for
        ):
            raise Broken("the WebSocket's handshake is not right")
        return rest

    def _closed(self, event: CloseConnection) -> None:
        if self._protocol.state is ConnectionState.REMOTE_CLOSING:
            self._send(event.response())
            raise Closed(event.code)
        # It was us who closed, in the protocol's name: the other side has sent what it may not.
        self._send(CloseConnection(code=event.code))
        raise Broken(f"the WebSocket's protocol was broken: {event.reason}")

    def _read(self) -> Iterator[Event]:
        """What comes in, until the connection ends."""
        while True:
            yield from self._protocol.events()
            received = self._connection.recv(READ_BYTES)
            if not received:
                raise Broken("the WebSocket ended without a close")
            self._protocol.receive_data(received)

    def _send(self, event: Event) -> None:
        self._connection.sendall(self._protocol.send(event))


def _bytes(message: Message) -> bytes:
    part = message.data
    return part.encode() if isinstance(part, str) else bytes(part)
