"""A WebSocket from handshake to close (RFC 6455): wsproto's protocol over a gevent socket."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.connection import ConnectionState
from wsproto.events import (
    AcceptConnection,
    BytesMessage,
    CloseConnection,
    Event,
    Message,
    Ping,
    RejectConnection,
    Request,
    TextMessage,
)
from wsproto.frame_protocol import CloseReason
from wsproto.utilities import ProtocolError

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

    def __init__(self, connection: Any, host: str, target: str, agent: str) -> None:
        """Shake hands; raises Refused, Broken."""
        self._connection = connection
        self._protocol = WSConnection(ConnectionType.CLIENT)
        self._events = self._read()
        headers = [(b"user-agent", agent.encode())]
        self._send(Request(host=host, target=target, extra_headers=headers))
        event = next(self._events)
        if isinstance(event, RejectConnection):
            raise Refused(event.status_code)
        if not isinstance(event, AcceptConnection):
            raise Broken("the WebSocket's handshake is not right")

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
            received = self._connection.recv(READ_BYTES)
            if not received:
                raise Broken("the WebSocket ended without a close")
            try:
                self._protocol.receive_data(received)
                yield from self._protocol.events()
            except ProtocolError as error:
                raise Broken(f"the WebSocket's handshake is not right: {error}") from None

    def _send(self, event: Event) -> None:
        self._connection.sendall(self._protocol.send(event))


def _bytes(message: Message) -> bytes:
    part = message.data
    return part.encode() if isinstance(part, str) else bytes(part)
