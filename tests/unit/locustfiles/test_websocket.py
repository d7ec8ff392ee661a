"""The client's WebSocket, frame by frame, against a server that says exactly what the test says."""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from locustfiles.client import PlatformUnderTest, RequestOutcome
from locustfiles.journeys import JourneyStep

GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CONTINUED, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
PATIENCE_S = 120.0


def frame(opcode: int, payload: bytes = b"", *, last: bool = True, masked: bool = False) -> bytes:
    """One frame, made by hand from section 5.2."""
    size = len(payload)
    if size < 126:
        length = bytes([size])
    elif size < 2**16:
        length = b"\x7e" + struct.pack("!H", size)
    else:
        length = b"\x7f" + struct.pack("!Q", size)
    head = bytes([0x80 * last | opcode])
    if not masked:
        return head + length + payload
    return head + bytes([length[0] | 0x80]) + length[1:] + b"\0\0\0\0" + payload


class Frame(NamedTuple):
    """What the client sent, its mask taken off."""

    opcode: int
    payload: bytes
    masked: bool


class Stream:
    """Reads what the client sends."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._held = b""

    def head(self) -> bytes:
        while b"\r\n\r\n" not in self._held:
            self._more()
        head, _, self._held = self._held.partition(b"\r\n\r\n")
        return head

    def frame(self) -> Frame:
        first, second = self._take(2)
        assert first & 0x80, "no fragment was asked for"
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._take(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._take(8))
        mask = self._take(4) if second & 0x80 else b"\0\0\0\0"
        masked = self._take(size)
        payload = bytes(byte ^ mask[i % 4] for i, byte in enumerate(masked))
        return Frame(first & 0x0F, payload, bool(second & 0x80))

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _more(self) -> None:
        received = self._connection.recv(65536)
        if not received:
            raise EOFError
        self._held += received


def accepting(head: bytes) -> bytes:
    key = next(line[19:] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
    proof = base64.b64encode(hashlib.sha1(key + GUID).digest())
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + proof + b"\r\n\r\n"
    )


class Server:
    """Answers each connection with the next of `scripts`, then notes every frame that comes."""

    def __init__(self, scripts: Sequence[Callable[[bytes], list[bytes]]]) -> None:
        self.frames: list[list[Frame]] = []
        self.heads: list[bytes] = []
        self._scripts = scripts
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{self._listening.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def join(self) -> None:
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive(), "the client does not end its connection"
        self._listening.close()

    def _serve(self) -> None:
        for script in self._scripts:
            connection, _ = self._listening.accept()
            connection.settimeout(PATIENCE_S)
            with connection:
                stream, frames = Stream(connection), []
                self.frames.append(frames)
                head = stream.head()
                self.heads.append(head)
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    for part in script(head):
                        connection.sendall(part)
                    while True:
                        frames.append(stream.frame())
                        if frames[-1].opcode == CLOSE:
                            connection.sendall(frame(CLOSE, frames[-1].payload[:2]))
                except (EOFError, OSError):
                    pass


@contextmanager
def serving(*scripts: Callable[[bytes], list[bytes]]) -> Iterator[Server]:
    server = Server(scripts)
    yield server
    server.join()


def after_the_handshake(*parts: bytes) -> Callable[[bytes], list[bytes]]:
    return lambda head: [accepting(head), *parts]


def follow(
    server: Server, said: str = '{"text":"hi"}', timeout_s: float = PATIENCE_S
) -> RequestOutcome:
    target = PlatformUnderTest(server.address, 1024)
    outcome = target.send(JourneyStep("WS", "/weddings/{id}/live", body=said), 7, timeout_s)
    target.close()
    return outcome


UPDATE = b"foobar"


@pytest.mark.parametrize(
    ("parts", "size"),
    [
        ([frame(TEXT, UPDATE)], 6),
        ([frame(BINARY, UPDATE)], 6),
        ([frame(TEXT, b"foo", last=False), frame(CONTINUED, b"bar")], 6),
        # Section 5.4: control frames may stand between the fragments of a message.
        ([frame(TEXT, b"foo", last=False), frame(PING), frame(CONTINUED, b"bar")], 6),
        ([frame(TEXT, b"f", last=False), frame(PING, b"1"), frame(CONTINUED, b"oo", last=False),
          frame(PONG, b"?"), frame(PING, b"2"), frame(CONTINUED, b"bar")], 6),
        ([frame(TEXT, b"", last=False), frame(CONTINUED, b"", last=False), frame(CONTINUED)], 0),
        ([frame(PING, b"x" * 125), frame(PONG), frame(TEXT, UPDATE)], 6),
        ([frame(TEXT, b"x" * 125)], 125),
        ([frame(TEXT, b"x" * 126)], 126),
        ([frame(TEXT, b"x" * 65_535)], 65_535),
        ([frame(TEXT, b"x" * 65_536)], 65_536),
        # A character may be cut in two by a fragment; and TCP cuts where it likes.
        ([frame(TEXT, "é".encode()[:1], last=False), frame(CONTINUED, "é".encode()[1:])], 2),
        ([frame(PING, b"p"), frame(TEXT, b"x" * 300)], 300),
    ],
)  # fmt: skip
@pytest.mark.parametrize("piece", [1, 3, 10**6])
def test_a_message_is_whole_however_it_comes(parts: list[bytes], size: int, piece: int) -> None:
    sent = b"".join(parts)
    if len(sent) > 10_000 * piece:
        pytest.skip("so many packets would only take time")
    pieces = [sent[at : at + piece] for at in range(0, len(sent), piece)]
    with serving(after_the_handshake(*pieces)) as server:
        assert follow(server) == RequestOutcome("ok", body_bytes=size)
    (frames,) = server.frames
    assert all(sent.masked for sent in frames)  # section 5.1
    assert frames[0] == Frame(TEXT, b'{"text":"hi"}', True)
    asked = [sent for sent in frames if sent.opcode == PONG]
    pings = [p[2:] for p in parts if p[:1] == frame(PING)[:1]]
    assert [pong.payload for pong in asked] == pings  # section 5.5.3
    assert frames[-1] == Frame(CLOSE, (1000).to_bytes(2, "big"), True)


def test_a_message_in_the_same_packet_as_the_handshake_is_not_lost() -> None:
    with serving(lambda head: [accepting(head) + frame(TEXT, UPDATE)]) as server:
        assert follow(server).ending == "ok"


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536, 200_000])
def test_what_is_said_is_masked_and_has_the_right_length(size: int) -> None:
    said = "ü" * (size // 2) + "x" * (size % 2)
    with serving(after_the_handshake(frame(TEXT, UPDATE))) as server:
        assert follow(server, said).ending == "ok"
    assert server.frames[0][0] == Frame(TEXT, said.encode(), True)


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (frame(TEXT, b"\xff\xfe"), 1007),
        (frame(TEXT, b"\xc3", last=True), 1007),
        (frame(TEXT, b"x", masked=True), 1002),
        (frame(CONTINUED, b"x"), 1002),
        (frame(TEXT, b"a", last=False) + frame(TEXT, b"b"), 1002),
        (frame(PING, b"x", last=False), 1002),
        (frame(PING, b"x" * 126), 1002),
        (frame(0x3, b"x"), 1002),
        (bytes([0xC1, 1]) + b"x", 1002),
    ],
    ids=["no UTF-8", "half a character", "masked by a server", "a continuation of nothing",
         "a message within a message", "a ping in fragments", "a long ping", "no such opcode",
         "a reserved bit"],
)  # fmt: skip
def test_who_breaks_the_protocol_is_told_so_and_has_failed(bad: bytes, code: int) -> None:
    with serving(after_the_handshake(bad)) as server:
        outcome = follow(server)
    assert outcome.ending == "failed"
    assert "protocol was broken" in outcome.detail
    closed = [sent for sent in server.frames[0] if sent.opcode == CLOSE]
    assert [int.from_bytes(sent.payload[:2], "big") for sent in closed] == [code]


def test_a_close_is_answered_by_a_close() -> None:
    with serving(after_the_handshake(frame(CLOSE, (4001).to_bytes(2, "big")))) as server:
        assert follow(server) == RequestOutcome("failed", "the WebSocket was closed with code 4001")
    assert server.frames[0][-1] == Frame(CLOSE, (4001).to_bytes(2, "big"), True)


@pytest.mark.parametrize("code", [1001, 1012])
def test_who_is_sent_elsewhere_goes_there(code: int) -> None:
    elsewhere = after_the_handshake(frame(CLOSE, code.to_bytes(2, "big")))
    with serving(elsewhere, after_the_handshake(frame(TEXT, UPDATE))) as server:
        assert follow(server).ending == "ok"
    assert server.frames[0][-1].opcode == CLOSE
    assert [frames[0].payload for frames in server.frames] == [b'{"text":"hi"}'] * 2


def test_who_is_sent_elsewhere_again_and_again_has_failed() -> None:
    elsewhere = after_the_handshake(frame(CLOSE, (1012).to_bytes(2, "big")))
    with serving(elsewhere, elsewhere, elsewhere) as server:
        assert follow(server) == RequestOutcome("failed", "sent elsewhere 3 times")


@pytest.mark.parametrize(
    ("answer", "ending"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", "failed"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "shed"),
        (b"HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n", "timed_out"),
        (b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", "failed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         b"Sec-WebSocket-Accept: d3Jvbmc=\r\n\r\n", "failed"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "failed"),
        (b"SSH-2.0-OpenSSH_9\r\n\r\n", "failed"),
    ],
)  # fmt: skip
def test_another_answer_than_a_websocket_is_judged_by_its_status(
    answer: bytes, ending: str
) -> None:
    with serving(lambda _: [answer]) as server:
        assert follow(server).ending == ending


def test_the_handshake_is_that_of_the_standard() -> None:
    with serving(after_the_handshake(frame(TEXT, UPDATE))) as server:
        follow(server)
    line, *headers = server.heads[0].decode().split("\r\n")
    named = {name.lower(): value for name, _, value in (h.partition(": ") for h in headers)}
    assert line == "GET /weddings/7/live HTTP/1.1"
    assert named["host"] == server.address.removeprefix("http://")
    assert named["upgrade"].lower() == "websocket"
    assert named["connection"].lower() == "upgrade"
    assert named["sec-websocket-version"] == "13"
    assert len(base64.b64decode(named["sec-websocket-key"])) == 16


def test_an_error_that_is_told_is_a_failure_and_a_silent_server_times_out() -> None:
    with serving(after_the_handshake(frame(TEXT, b'{"error":"too busy"}'))) as server:
        outcome = follow(server)
        assert (outcome.ending, outcome.detail) == ("failed", '{"error":"too busy"}')
    with serving(after_the_handshake(frame(PING))) as server:
        assert follow(server, timeout_s=0.3).ending == "timed_out"


def test_a_message_without_end_is_not_taken() -> None:
    endless = [frame(TEXT, b"", last=False), *[frame(CONTINUED, b"x" * 65_536, last=False)] * 17]
    with serving(after_the_handshake(*endless)) as server:
        outcome = follow(server)
    assert outcome.ending == "failed"
    assert "more than" in outcome.detail
