"""The clocks of a soak: they go as the machine's do, and leave out the time in which nobody works.

Sockets, threads and files are real, so the time that they take is real as well.  Only when the loop
would merely wait, no thread works for it and no byte is on its way, the clocks are set to the end
of the wait: a day of the engine takes as long as its work does.  `time.time` and `time.monotonic`
are replaced in the whole process, as the C library's are by libfaketime; what other threads wait
for (the API's own loop) they wait for in real time.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections.abc import Callable
from typing import Any

from engine.adapters import blocking
from engine.adapters.store.database import Database

real_time_s, real_monotonic_s = time.time, time.monotonic

LONGEST_S = 0.02
"""For which it is waited for a thread, before it is looked again whether one still works."""


class SkippingClock:
    """How much time was left out, and whether some may be."""

    def __init__(self) -> None:
        self.skipped_s = 0.0
        self._working = 0
        self._lock = threading.Lock()

    def time_s(self) -> float:
        """Epoch seconds."""
        return real_time_s() + self.skipped_s

    def monotonic_s(self) -> float:
        """Seconds of a clock that nobody sets."""
        return real_monotonic_s() + self.skipped_s

    def work(self, more: int) -> None:
        """A thread begins to work for the loop (1), or is done (-1)."""
        with self._lock:
            self._working += more

    @property
    def is_idle(self) -> bool:
        """Whether no thread works."""
        return self._working == 0

    def install(self) -> None:
        """From now on these are the process's clocks, and the main thread's loops leave out."""
        time.time, time.monotonic = self.time_s, self.monotonic_s
        asyncio.set_event_loop_policy(_Policy(self))
        work: Any = blocking._work

        def counted(*arguments: Any) -> None:
            # It began when the thread was made: between the two the loop must not leave out.
            try:
                work(*arguments)
            finally:
                self.work(-1)

        class CountedThread(threading.Thread):
            def start(thread) -> None:
                self.work(1)
                super().start()

        write: Any = Database.write

        def counted_write(database: Database, make: Any) -> Any:
            self.work(1)
            done = write(database, make)
            done.add_done_callback(lambda _: self.work(-1))
            return done

        Database.write = counted_write  # type: ignore[method-assign]
        blocking._work = counted
        blocking.threading = _Threads(CountedThread)  # type: ignore[assignment]


class _Threads:
    """The module `threading` with another `Thread`, for the module that makes one a call."""

    def __init__(self, thread: type[threading.Thread]) -> None:
        self.Thread = thread


class _Skipping(selectors.DefaultSelector):
    def __init__(self, clock: SkippingClock) -> None:
        super().__init__()
        self._clock = clock

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """What is ready; when nothing is and nobody works, the time is over at once."""
        ready = super().select(0)
        if ready or (timeout is not None and timeout <= 0.0):
            return ready
        if timeout is None or not self._clock.is_idle:
            return super().select(LONGEST_S if timeout is None else min(timeout, LONGEST_S))
        self._clock.skipped_s += timeout
        return []


class SkippingLoop(asyncio.SelectorEventLoop):
    """The loop of the engine's shell, and of what is played around it."""

    def __init__(self, clock: SkippingClock) -> None:
        self._clock = clock
        super().__init__(_Skipping(clock))

    def run_in_executor(
        self, executor: Any, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """The same, and no time is left out meanwhile."""
        self._clock.work(1)
        called = super().run_in_executor(executor, func, *args)
        called.add_done_callback(lambda _: self._clock.work(-1))
        return called


class _Policy(asyncio.DefaultEventLoopPolicy):
    def __init__(self, clock: SkippingClock) -> None:
        super().__init__()
        self._clock = clock

    def new_event_loop(self) -> asyncio.AbstractEventLoop:
        """One that leaves out for the main thread; the API's has its own, as everywhere."""
        if threading.current_thread() is threading.main_thread():
            return SkippingLoop(self._clock)
        return super().new_event_loop()
