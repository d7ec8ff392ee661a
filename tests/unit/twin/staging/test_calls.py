"""The client of the calls between services, against servers that behave well and badly."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from twin.staging.calls import Caller, CallError

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


async def request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
    return head + await reader.readexactly(length)


def against(handler: Handler, tmp_path: Path, test: Callable[[Caller], Awaitable[None]]) -> None:
    async def body() -> None:
        path = tmp_path / "s"
        server = await asyncio.start_unix_server(handler, path)
        async with server:
            await test(Caller(path))

    asyncio.run(body())


def test_connections_are_used_again(tmp_path: Path) -> None:
    connections = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        for _ in range(3):
            assert (await request(reader)).startswith(b"POST /a/b/1 HTTP/1.1\r\n")
            writer.write(ANSWER)

    async def test(caller: Caller) -> None:
        for _ in range(3):
            answer = await caller.request("POST", "/a/b/1", b"x", 300.0)
            assert (answer.status, answer.body) == (200, b"ok")

    against(handler, tmp_path, test)
    assert connections == 1


def test_a_connection_that_was_closed_while_idle_costs_no_request(tmp_path: Path) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(ANSWER)
        await request(reader)  # taken, but not answered: closed under the second request
        writer.close()

    async def test(caller: Caller) -> None:
        for _ in range(4):
            assert (await caller.request("POST", "/", b"", 300.0)).status == 200

    against(handler, tmp_path, test)


@pytest.mark.parametrize(
    ("sent", "said"),
    [
        (b"", "the connection was closed before the answer"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhal", "the answer ended early"),
        (b"no such protocol\r\n\r\n", "the answer is no HTTP"),
    ],
)
def test_what_is_no_answer_is_an_error(tmp_path: Path, sent: bytes, said: str) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(sent)
        writer.close()

    async def test(caller: Caller) -> None:
        with pytest.raises(CallError, match=said):
            await caller.request("POST", "/", b"", 300.0)

    against(handler, tmp_path, test)


def test_an_answer_that_does_not_come_is_waited_for_no_longer_than_said(tmp_path: Path) -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def test(caller: Caller) -> None:
        with pytest.raises(CallError, match=r"no answer in 0\.05 s"):
            await caller.request("POST", "/", b"", 0.05)

    against(handler, tmp_path, test)


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    async def body() -> None:
        with pytest.raises(CallError, match="No such file or directory"):
            await Caller(tmp_path / "nobody").request("POST", "/", b"", 1.0)

    asyncio.run(body())
