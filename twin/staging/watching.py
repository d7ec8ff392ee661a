"""Guests who watch a wedding over a WebSocket: told what happens there, they may say something.

What is said is a request like any other.  When the instance leaves, guests are asked to connect
elsewhere, but not before what they have said is served and told.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from twin.staging.stores import StoreError, Updates

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

Say = Callable[[int, bytes], Awaitable[tuple[int, bytes]]]
"""Serves what a guest says of a wedding: the status and the answer."""

WATCHER_LIMIT = 1000
"""Updates that may wait for a guest who reads slowly."""

SETTLE_S = 0.3
"""So long an update may be under way from Redis when a guest is asked to connect elsewhere."""

RESTART, TROUBLE, NO_SUCH_PAGE = 1012, 1011, 1008
"""Codes with which a WebSocket is closed (RFC 6455 and the IANA's registry)."""


class Watcher:
    """One guest, what is still to be told, and the end of it.

    `saying` is how many of the guest's own messages are being served.
    """

    def __init__(self) -> None:
        self.saying = 0
        self._updates: deque[bytes] = deque()
        self._over = False
        self._news = asyncio.Event()

    def tell(self, update: bytes) -> None:
        """Tell an update; who does not read is not waited for, and misses it."""
        if len(self._updates) < WATCHER_LIMIT and not self._over:
            self._updates.append(update)
            self._news.set()

    def end(self) -> None:
        """There is nothing more to tell, however much waits: that is told after it."""
        self._over = True
        self._news.set()

    async def next(self) -> bytes | None:
        """What is to be told next; None at the end."""
        while not self._updates:
            if self._over:
                return None
            self._news.clear()
            await self._news.wait()
        return self._updates.popleft()


class Watching:
    """All guests who watch through this instance."""

    def __init__(self, updates: Updates, say: Say) -> None:
        self._updates = updates
        self._say = say
        self._draining = False
        self._watchers: dict[int, set[Watcher]] = {}
        self._leaving: set[asyncio.Task[None]] = set()
        self._saying: set[asyncio.Task[None]] = set()
        self._telling = asyncio.get_running_loop().create_task(self._tell())

    @property
    def guests(self) -> int:
        """How many watch now."""
        return sum(map(len, self._watchers.values()))

    def drain(self) -> None:
        """Ask everybody, and whoever still comes, to connect elsewhere."""
        self._draining = True
        for watchers in self._watchers.values():
            for watcher in watchers:
                self._move_on(watcher)

    async def finish(self) -> None:
        """Wait until everybody was asked and all that was said is served."""
        while self._leaving or self._saying:
            await asyncio.sleep(0.02)
        self._telling.cancel()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One guest's connection (ASGI)."""
        wedding = _wedding(scope["path"])
        if wedding is None:
            await refuse(receive, send)
            return
        await receive()
        await send({"type": "websocket.accept"})
        watcher = Watcher()
        watchers = self._watchers.setdefault(wedding, set())
        watchers.add(watcher)
        listening = asyncio.create_task(self._listen(wedding, receive, watcher))
        if self._draining:
            self._move_on(watcher)
        try:
            if len(watchers) == 1:
                await self._updates.follow(wedding)
            while (update := await watcher.next()) is not None:
                await send({"type": "websocket.send", "text": update.decode()})
            if not listening.done():
                await send({"type": "websocket.close", "code": RESTART})
        except StoreError:
            await send({"type": "websocket.close", "code": TROUBLE})
        except OSError:
            pass  # the guest left while something was being told
        finally:
            listening.cancel()
            watchers.discard(watcher)
            if not watchers and self._watchers.pop(wedding, None) is watchers:
                await self._unfollow(wedding)

    async def _listen(self, wedding: int, receive: Receive, watcher: Watcher) -> None:
        while (message := await receive())["type"] == "websocket.receive":
            said = message.get("text") or message.get("bytes") or b""
            serving = asyncio.create_task(
                self._serve_said(wedding, said.encode() if isinstance(said, str) else said, watcher)
            )
            self._saying.add(serving)
            serving.add_done_callback(self._saying.discard)
            # A guest who leaves has said it all the same: it is served to its end, and counted.
            await asyncio.shield(serving)
        watcher.end()

    async def _serve_said(self, wedding: int, said: bytes, watcher: Watcher) -> None:
        watcher.saying += 1
        try:
            status, answer = await self._say(wedding, said)
        finally:
            watcher.saying -= 1
        if status >= 400:
            watcher.tell(answer)

    def _move_on(self, watcher: Watcher) -> None:
        async def ask() -> None:
            await asyncio.sleep(SETTLE_S)
            while watcher.saying:
                await asyncio.sleep(SETTLE_S)
            watcher.end()

        task = asyncio.create_task(ask())
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)

    async def _tell(self) -> None:
        async for wedding, update in self._updates.heard():
            for watcher in self._watchers.get(wedding, ()):
                watcher.tell(update)

    async def _unfollow(self, wedding: int) -> None:
        try:
            await self._updates.unfollow(wedding)
        except StoreError:
            return


async def refuse(receive: Receive, send: Send) -> None:
    """There is nothing to watch here."""
    await receive()
    await send({"type": "websocket.close", "code": NO_SUCH_PAGE})


def _wedding(path: str) -> int | None:
    parts = path.split("/")
    if len(parts) == 4 and (parts[1], parts[3]) == ("weddings", "live") and parts[2].isdecimal():
        return int(parts[2])
    return None
