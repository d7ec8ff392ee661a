"""A look that takes a moment, for many who wait: each is answered by one that began after he asked.

So a thousand who ask at the same time cost two looks, and nobody goes by what was seen before he
asked.  The looks are made one after the other in a thread of their own, so that nothing else waits
for them.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable, Sequence

Waiting = tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]


class SharedLook:
    """Makes `look`, which raises nothing, for whoever waits for it."""

    def __init__(self, look: Callable[[], None], patience_s: float) -> None:
        """Nobody waits for longer than `patience_s`."""
        self._look = look
        self._patience_s = patience_s
        self._lock = threading.Lock()
        self._turns: queue.SimpleQueue[list[Waiting] | None] = queue.SimpleQueue()
        self._next: list[Waiting] | None = None
        """Who waits for the look that has not begun yet."""
        self._began_s: float | None = None
        """When the one began that is being made (monotonic)."""
        self._worker: threading.Thread | None = None

    async def wait(self) -> None:
        """Until a look is over that began after this was asked for; raises TimeoutError.

        While one hangs nobody waits for the next one.
        """
        loop = asyncio.get_running_loop()
        over: asyncio.Future[None] = loop.create_future()
        self._queue((loop, over))
        patience = loop.call_later(self._patience_s, _give_up, over)
        try:
            await over
        finally:
            patience.cancel()

    def close(self) -> None:
        """Look no more, once the look that is being made is over."""
        with self._lock:
            worker, self._worker = self._worker, None
            if worker is not None:
                self._turns.put(None)

    def _queue(self, waiting: Waiting) -> None:
        with self._lock:
            if self._began_s is not None and time.monotonic() - self._began_s > self._patience_s:
                raise TimeoutError
            if self._next is None:
                self._next = []
                self._turns.put(self._next)
            self._next.append(waiting)
            if self._worker is None:
                # A daemon: a database that never answers must not keep the process from ending.
                self._worker = threading.Thread(target=self._work, name="look", daemon=True)
                self._worker.start()

    def _work(self) -> None:
        while (turn := self._turns.get()) is not None:
            with self._lock:
                self._next, self._began_s = None, time.monotonic()
            try:
                self._look()
            finally:
                with self._lock:
                    self._began_s = None
                _wake(turn)


def _wake(turn: Sequence[Waiting]) -> None:
    """All who wait in one loop at once."""
    for loop in {loop for loop, _ in turn}:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, [over for where, over in turn if where is loop])


def _settle(waiting: Sequence[asyncio.Future[None]]) -> None:
    for over in waiting:
        if not over.done():
            over.set_result(None)


def _give_up(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_exception(TimeoutError())
