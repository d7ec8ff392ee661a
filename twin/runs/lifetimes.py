"""No process outlives the command that started it, be that done, interrupted or killed."""

from __future__ import annotations

import ctypes
import functools
import gc
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import Connection, wait
from types import FrameType
from typing import Final

LOOK_S = 0.25
"""Between two looks whether the process that started this one is still there."""

KILLED = 128 + signal.SIGKILL

START_METHOD: Final = "spawn"
"""How the processes of a pool begin: each from nothing, on every platform."""

COLLECT_AFTER = 100_000
"""So many more objects than were freed, and the collector of cyclic garbage looks for some."""

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PRCTL = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


@contextmanager
def worker_pool(
    workers: int, warm_up: Callable[[], object] | None = None
) -> Iterator[ProcessPoolExecutor]:
    """A pool of `workers` fresh processes, each of which does `warm_up` first.

    Each holds one end of a pipe whose other end only this process has.  It closes when the block
    ends, or with this process, be it by SIGKILL; then the workers end, whatever they are doing.
    Nobody else's processes are touched.  A worker leaves Ctrl-C to this process.
    """
    leash, held = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context(START_METHOD)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_begin, initargs=(leash, warm_up)
    )
    try:
        yield pool
    except BaseException:
        # The first worker that ends breaks the pool, and a broken pool ends its others: also one
        # that is in compiled code and does not look at its leash.
        held.close()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
        held.close()
        leash.close()


@functools.cache
def end_with_parent() -> None:
    """Let this process, if it is one of multiprocessing's, end with the one that started it.

    For workers that a library has started, which look at no leash of ours.
    """
    parent = multiprocessing.parent_process()
    if parent is not None and parent.pid is not None:
        threading.Thread(target=_end_without, args=(parent.pid,), daemon=True).start()


def kill_with_parent() -> None:
    """The same as `preexec_fn` of a subprocess that the main thread starts, where Linux allows."""
    if _PRCTL is not None:
        _PRCTL(_PR_SET_PDEATHSIG, signal.SIGKILL)


def interrupt_on_sigterm() -> None:
    """Let SIGTERM end this process as Ctrl-C does: with all that it cleans up and keeps."""
    signal.signal(signal.SIGTERM, _interrupt)


def collect_seldom() -> None:
    """Look for cyclic garbage less often than Python does by itself.

    What a command imports stays, a run keeps what it notes, and next to nothing in it is cyclic:
    looking for it took a twentieth of a run and a seventh of the imports.
    """
    gc.set_threshold(COLLECT_AFTER)


def _interrupt(_: int, __: FrameType | None) -> None:
    raise KeyboardInterrupt


def _begin(leash: Connection, warm_up: Callable[[], object] | None) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    collect_seldom()
    threading.Thread(target=_end_at, args=(leash,), daemon=True).start()
    if warm_up is not None:
        warm_up()


def _end_at(leash: Connection) -> None:
    wait([leash])  # nothing is ever written: what makes it readable is its end
    os._exit(KILLED)


def _end_without(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_S)
    os._exit(KILLED)
