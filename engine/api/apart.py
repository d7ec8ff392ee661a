"""Work in a process of its own, for what would hold the engine up: one question after the other.

What works it out is found by configuration, as it lies outside the engine.  It may take seconds and
a whole core, so neither the shell nor the API's loop shares a process with it.  The process is
begun with the first question, stays for the next ones, and ends with the engine, however that goes.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any

from engine.config.load import build

PARENT_S = 2.0
"""Between two looks whether the engine is still there."""
BEGINS_S = 180.0
"""Longest that a process takes until it can answer, on a machine where all else comes first."""
LEAVES_S = 5.0
"""Longest that a process which does nothing takes to end."""
NICE = 10
"""The engine comes first."""


@dataclass(frozen=True, slots=True)
class WorkerPlace:
    """What answers: the callable `factory`, what it is given, and the methods that its result has.

    `key` is where the configuration names it.
    """

    factory: str
    options: Mapping[str, Any]
    key: str
    methods: tuple[str, ...]


class ProcessBeside:
    """Asks what is in another process; nothing is begun before it is asked."""

    def __init__(self, place: WorkerPlace) -> None:
        self._place = place
        self._pool: ProcessPoolExecutor | None = None
        self._asked: Future[Mapping[str, Any]] | None = None
        """What was asked last."""
        self._begun: Future[None] | None = None
        self._began_s = 0.0

    def submit(self, method: str, given: Sequence[Any]) -> Future[Mapping[str, Any]]:
        """Ask; raises BrokenProcessPool when the process has ended by itself."""
        if self._pool is None:
            self._pool = ProcessPoolExecutor(
                1,
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_begin,
                initargs=(self._place, os.getpid()),
            )
            self._began_s = time.monotonic()
            self._begun = self._pool.submit(_get_ready)
        self._asked = self._pool.submit(_ask, method, list(given))
        return self._asked

    @property
    def is_beginning(self) -> bool:
        """Whether it cannot answer yet, and has not taken longer for that than it may."""
        begun = self._begun
        return (
            begun is not None and not begun.done() and time.monotonic() - self._began_s < BEGINS_S
        )

    def close(self) -> None:
        """End the other process, whatever it is doing; the next question begins another.

        One that does nothing may put away what it has, such as processes of its own.
        """
        pool, self._pool = self._pool, None
        if pool is not None:
            processes = list((pool._processes or {}).values())
            idle = self._asked is not None and self._asked.done()
            pool.shutdown(wait=False, cancel_futures=True)
            for process in processes:
                if idle:
                    process.join(LEAVES_S)
                process.terminate()


_connected: list[Callable[[], Any]] = []


def _begin(place: WorkerPlace, parent: int) -> None:
    """In the other process, before it is asked anything."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's
    with contextlib.suppress(OSError):
        os.nice(NICE)
    threading.Thread(target=_end_with, args=(parent,), name="parent", daemon=True).start()
    made: list[Any] = []

    def connected() -> Any:
        if not made:
            try:
                made.append(
                    build(
                        place.factory, key=f"{place.key}.factory", options=dict(place.options),
                        options_key=f"{place.key}.options", methods=place.methods,
                    )
                )  # fmt: skip
            except ValueError as error:  # whoever asked cannot put that right
                raise RuntimeError(str(error)) from None
        return made[0]

    _connected.append(connected)


def _end_with(parent: int) -> None:
    """End when the engine is gone, however it went."""
    while os.getppid() == parent:
        time.sleep(PARENT_S)
    os._exit(0)


def _get_ready() -> None:
    """Import what answers; what it says against its options, whoever asks is told."""
    with contextlib.suppress(Exception):
        _connected[0]()


def _ask(method: str, given: list[Any]) -> Mapping[str, Any]:
    answer: Mapping[str, Any] = getattr(_connected[0](), method)(*given)
    return answer
