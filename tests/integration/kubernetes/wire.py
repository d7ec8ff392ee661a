"""A wire between the engine and the API server that can go dead without a word, as real ones do."""

from __future__ import annotations

import asyncio
import contextlib


class Wire:
    """Forwards connections to a port; those that are there can be frozen or made mute."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.accepted = 0
        self._to = port
        self._open: list[dict[str, asyncio.Event]] = []
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Wire:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def freeze(self) -> None:
        """Nothing goes either way any more on what is open; new connections are as always."""
        for ways in self._open:
            for way in ways.values():
                way.clear()

    def mute(self) -> None:
        """What is open carries requests and no answers."""
        for ways in self._open:
            ways["back"].clear()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        ways = {"to": asyncio.Event(), "back": asyncio.Event()}
        for way in ways.values():
            way.set()
        self._open.append(ways)
        for source, sink, way in ((reader, back, ways["to"]), (there, writer, ways["back"])):
            task = asyncio.create_task(_carry(source, sink, way))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _carry(
    source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: asyncio.Event
) -> None:
    with contextlib.suppress(OSError):
        while piece := await source.read(65536):
            await way.wait()
            sink.write(piece)
            await sink.drain()
    with contextlib.suppress(OSError):
        sink.close()
