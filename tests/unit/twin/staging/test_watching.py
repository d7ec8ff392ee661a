"""Guests who watch, through the server that workers run: every frame as it goes over the wire."""

from __future__ import annotations

import asyncio
import base64
import os
import socket
import struct
import threading
from collections.abc import AsyncIterator, Iterator
from typing import NamedTuple

import pytest
import uvicorn

from twin.staging.watching import WATCHER_LIMIT, Watcher, Watching

CONTINUED, TEXT, CLOSE, PING, PONG = 0x0, 0x1, 0x8, 0x9, 0xA
PATIENCE_S = 120.0


def run(work: object) -> None:
    asyncio.run(asyncio.wait_for(work, PATIENCE_S))  # type: ignore[arg-type]


@pytest.mark.parametrize("waiting", [0, 1, WATCHER_LIMIT - 1, WATCHER_LIMIT, WATCHER_LIMIT + 5])
def test_the_end_is_told_however_much_waits(waiting: int) -> None:
    async def watch() -> None:
        watcher = Watcher()
        for number in range(waiting):
            watcher.tell(b"%d" % number)
        watcher.end()
        watcher.tell(b"too late")
        sent = []
        while (update := await watcher.next()) is not None:
            sent.append(update)
        assert sent == [b"%d" % number for number in range(min(waiting, WATCHER_LIMIT))]
        assert await watcher.next() is None

    run(watch())


def test_the_end_wakes_a_watcher_who_waits() -> None:
    async def watch() -> None:
        watcher = Watcher()
        waiting = asyncio.create_task(watcher.next())
        await asyncio.sleep(0)
        watcher.end()
        assert await waiting is None

    run(watch())


def test_a_watcher_who_reads_again_is_told_again() -> None:
    async def watch() -> None:
        watcher = Watcher()
        for _ in range(WATCHER_LIMIT + 1):
            watcher.tell(b"early")
        for _ in range(WATCHER_LIMIT):
            assert await watcher.next() == b"early"
        watcher.tell(b"late")
        assert await watcher.next() == b"late"

    run(watch())


class Room:
    """The updates of one process: what Redis does between many."""

    def __init__(self) -> None:
        self._updates: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        self.followed: set[int] = set()

    async def follow(self, wedding: int) -> None:
        self.followed.add(wedding)

    async def unfollow(self, wedding: int) -> None:
        self.followed.discard(wedding)

    def publish(self, wedding: int, update: bytes) -> None:
        self._updates.put_nowait((wedding, update))

    async def heard(self) -> AsyncIterator[tuple[int, bytes]]:
        while True:
            yield await self._updates.get()


class Served:
    """`Watching` behind uvicorn as `twin.staging.worker` configures it, in a thread of its own."""

    def __init__(self) -> None:
        self.said: list[tuple[int, bytes]] = []
        self._begun = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listening.getsockname()[1])
        self._thread.start()
        assert self._begun.wait(PATIENCE_S)

    def drain(self) -> None:
        self._loop.call_soon_threadsafe(self.watching.drain)

    def publish(self, wedding: int, update: bytes) -> None:
        self._loop.call_soon_threadsafe(self.room.publish, wedding, update)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def _serve(self) -> None:
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.room = Room()

        async def say(wedding: int, said: bytes) -> tuple[int, bytes]:
            self.said.append((wedding, said))
            self.room.publish(wedding, said)
            return 200, b"{}"

        self.watching = Watching(self.room, say)  # type: ignore[arg-type]

        async def application(scope, receive, send) -> None:  # type: ignore[no-untyped-def]
            await self.watching.serve(scope, receive, send)

        self._server = uvicorn.Server(
            uvicorn.Config(
                application, ws="wsproto", lifespan="off", log_level="critical",
                timeout_graceful_shutdown=5,
            )
        )  # fmt: skip
        self._begun.set()
        await self._server.serve(sockets=[self._listening])
        await self.watching.finish()


@pytest.fixture
def served() -> Iterator[Served]:
    server = Served()
    yield server
    server.close()


class Frame(NamedTuple):
    """One that the server sent."""

    opcode: int
    payload: bytes
    last: bool
    masked: bool


class Guest:
    """A raw connection, after its handshake."""

    def __init__(self, port: int, path: str = "/weddings/7/live", buffer: int | None = None):
        self._socket = socket.socket()
        self._socket.settimeout(PATIENCE_S)
        if buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self._socket.connect(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n".encode()
        )
        self._held = b""
        while b"\r\n\r\n" not in self._held:
            self._more()
        self.head, _, self._held = self._held.partition(b"\r\n\r\n")

    def __enter__(self) -> Guest:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(
        self, opcode: int, payload: bytes = b"", *, last: bool = True, masked: bool = True
    ) -> None:
        size, mask = len(payload), os.urandom(4)
        if size < 126:
            length = bytes([0x80 * masked | size])
        elif size < 2**16:
            length = bytes([0x80 * masked | 126]) + struct.pack("!H", size)
        else:
            length = bytes([0x80 * masked | 127]) + struct.pack("!Q", size)
        body = bytes(b ^ mask[i % 4] for i, b in enumerate(payload)) if masked else payload
        self._socket.sendall(bytes([0x80 * last | opcode]) + length + mask * masked + body)

    def frame(self) -> Frame:
        first, second = self._take(2)
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return Frame(first & 0x0F, self._take(size), bool(first & 0x80), bool(second & 0x80))

    def ended(self) -> bool:
        try:
            return self._held == b"" and self._socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def _take(self, count: int) -> bytes:
        while len(self._held) < count:
            self._more()
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _more(self) -> None:
        received = self._socket.recv(65536)
        if not received:
            raise EOFError
        self._held += received


def closed(code: int) -> Frame:
    return Frame(CLOSE, code.to_bytes(2, "big"), True, False)


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
def test_what_is_said_comes_back_as_an_update_whatever_its_length(
    served: Served, size: int
) -> None:
    with Guest(served.port) as guest:
        guest.send(TEXT, b"x" * size)
        assert guest.frame() == Frame(TEXT, b"x" * size, last=True, masked=False)


def test_control_frames_between_fragments_lose_nothing(served: Served) -> None:
    with Guest(served.port) as guest:
        guest.send(TEXT, b"foo", last=False)
        guest.send(PING, b"are you there")
        guest.send(CONTINUED, "é".encode()[:1], last=False)
        guest.send(PONG)
        guest.send(CONTINUED, "é".encode()[1:])
        assert guest.frame() == Frame(PONG, b"are you there", last=True, masked=False)
        assert guest.frame().payload == "fooé".encode()
    assert served.said == [(7, "fooé".encode())]


def test_a_close_is_answered_by_a_close_and_then_the_connection_ends(served: Served) -> None:
    with Guest(served.port) as guest:
        guest.send(CLOSE, (1000).to_bytes(2, "big"))
        assert guest.frame() == closed(1000)
        assert guest.ended()


@pytest.mark.parametrize(
    "broken", ["no mask", "no UTF-8", "a continuation of nothing", "no such opcode"]
)
def test_a_guest_who_breaks_the_protocol_is_let_go_and_has_said_nothing(
    served: Served, broken: str
) -> None:
    with Guest(served.port) as guest:
        match broken:
            case "no mask":
                guest.send(TEXT, b"hi", masked=False)
            case "no UTF-8":
                guest.send(TEXT, b"\xff")
            case "a continuation of nothing":
                guest.send(CONTINUED, b"hi")
            case _:
                guest.send(0x3, b"hi")
        assert guest.ended() or guest.frame().opcode == CLOSE
    assert served.said == []


def test_who_does_not_watch_a_wedding_is_refused(served: Served) -> None:
    with Guest(served.port, "/weddings/x/live") as guest:
        assert guest.head.startswith(b"HTTP/1.1 403")


def test_a_guest_is_asked_to_connect_elsewhere_when_the_instance_leaves(served: Served) -> None:
    with Guest(served.port) as before:
        before.send(TEXT, b"hi")
        assert before.frame().payload == b"hi"
        served.drain()
        assert before.frame() == closed(1012)
    with Guest(served.port) as after:
        assert after.frame() == closed(1012)


def test_a_guest_who_reads_slowly_is_told_to_move_too(served: Served) -> None:
    with Guest(served.port, buffer=4096) as slow:
        slow.send(TEXT, b"hi")
        assert slow.frame().payload == b"hi"
        update = b"x" * 20_000  # more than the kernel keeps for who does not read
        for _ in range(2 * WATCHER_LIMIT):
            served.publish(7, update)
        served.drain()
        updates = 0
        while (frame := slow.frame()).opcode == TEXT:
            assert frame.payload == update
            updates += 1
        assert frame == closed(1012)
    assert WATCHER_LIMIT <= updates < 2 * WATCHER_LIMIT  # what did not fit is not told
