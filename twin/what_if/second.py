"""A second process, so that two branches are played at once where there are two cores.

It begins with the first thing that is wanted of it, stays for the next ones, as it has the kernels
by then, and ends with this one, however that ends (`twin.runs.lifetimes`).  It has the priority of
this one, so whoever gave way to the engine goes on doing so.
"""

from __future__ import annotations

import os
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import ExitStack
from typing import Any

from twin.runs.lifetimes import worker_pool


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class SecondProcess:
    """Plays one branch after the other, beside this process; `warm_up` is what it does first."""

    def __init__(self, warm_up: Callable[[], object]) -> None:
        self._warm_up = warm_up
        self._stack = ExitStack()
        weakref.finalize(self, self._stack.close)  # also when this process ends by itself
        self._submit: Callable[..., Future[Any]] | None = None

    def begin(self) -> None:
        """Let it get ready, without waiting for that."""
        self.play(_nothing)

    def play(self, work: Callable[..., Any], *given: Any) -> Future[Any]:
        """`work`, a function of a module, of `given`; raises BrokenProcessPool once it has died."""
        if self._submit is None:
            pool = self._stack.enter_context(worker_pool(1, self._warm_up))
            self._submit = pool.submit
        return self._submit(work, *given)

    def close(self) -> None:
        """End it, once it has done what it was given; what is wanted later begins another."""
        self._submit = None
        self._stack.close()


def _nothing() -> None:
    """What is wanted of a process that is to get ready."""
