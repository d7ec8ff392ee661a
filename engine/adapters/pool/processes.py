"""Processes by identity: a pid alone may be somebody else's by the time that it is signalled.

A process is known by its pid together with the moment at which the kernel started it.  What belongs
to one staging stack also carries that stack's token in its environment, so it can be found when
whoever started it was killed before it could write the pid down.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

TOKEN = "WEDTWIN_STAGING"
"""Name of the environment variable by which a stack's processes are found."""

INSTANCE = "WEDTWIN_INSTANCE"
"""Name of the environment variable that holds a worker's instance id."""

DEAD = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
"""States of what has ended and was not waited for."""

_TICKS_PER_S = os.sysconf("SC_CLK_TCK")

_children: dict[int, subprocess.Popen[bytes]] = {}
"""Children of this process that have not been waited for."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process: `pid`, and `started` in clock ticks since the machine's start."""

    pid: int
    started: int

    @property
    def alive(self) -> bool:
        """Whether it still runs; what is dead but not yet waited for does not."""
        try:
            running = _handle(self.pid, self.started)
            return running.is_running() and running.status() not in DEAD
        except psutil.NoSuchProcess:
            return False

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still the same process."""
        if self.alive:
            with contextlib.suppress(psutil.NoSuchProcess):
                _handle(self.pid, self.started).send_signal(number)


def launch(
    command: Sequence[str | Path],
    log: Path,
    *,
    token: str,
    environment: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    folder: Path | None = None,
) -> Process:
    """Start `command` in a session of its own, so that it outlives us, writing to `log`.

    `keep_open` are file descriptors that it inherits.  Raises OSError when it cannot be started.
    """
    with log.open("ab") as file:
        child = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**os.environ, **(environment or {}), TOKEN: token},
            start_new_session=True,
            pass_fds=tuple(keep_open),
        )
    process = Process(child.pid, _started(psutil.Process(child.pid)))
    _children[child.pid] = child
    return process


def reap() -> None:
    """Take note of the end of our own children, which stay in the process table until then."""
    for pid, child in list(_children.items()):
        if child.poll() is not None:
            _children.pop(pid, None)


def stop(processes: Iterable[Process], *, first: signal.Signals, patience_s: float) -> list[int]:
    """Ask all of them to end, and make those end that have not after `patience_s`.

    Returns the pids of those that had to be killed.
    """
    waiting = [process for process in processes if process.alive]
    for process in waiting:
        process.send(first)
    end = time.monotonic() + patience_s
    while waiting and time.monotonic() < end:
        time.sleep(0.02)
        reap()
        waiting = [process for process in waiting if process.alive]
    for process in waiting:
        process.send(signal.SIGKILL)
    killed = [process.pid for process in waiting]
    while waiting:
        time.sleep(0.01)
        reap()
        waiting = [process for process in waiting if process.alive]
    return killed


def last_words(log: Path) -> str:
    """The last line that a process wrote to its log."""
    try:
        lines = log.read_text(encoding="utf-8", errors="replace").split("\n")
    except OSError:
        return "it left no word"
    said = [line.strip() for line in lines if line.strip()]
    return said[-1][:300] if said else "it left no word"


def marked(token: str, instance: str = "") -> list[Process]:
    """All processes that carry `token` in their environment, or only those of one instance."""
    wanted = {TOKEN: token, **({INSTANCE: instance} if instance else {})}
    carrying = []
    for process in psutil.process_iter():
        if process.pid == os.getpid():
            continue
        try:
            if process.status() not in DEAD and wanted.items() <= process.environ().items():
                carrying.append(Process(process.pid, _started(process)))
        except psutil.Error:
            continue  # it has ended meanwhile, or is somebody else's
    return carrying


@functools.lru_cache(maxsize=1024)
def _handle(pid: int, started: int) -> psutil.Process:
    """psutil's, which notices itself when its pid becomes somebody else's.

    Raises psutil.NoSuchProcess when it is that already.
    """
    process = psutil.Process(pid)
    if _started(process) != started:
        raise psutil.NoSuchProcess(pid)
    return process


def _started(process: psutil.Process) -> int:
    """Clock ticks from the machine's start to the process's; raises psutil.NoSuchProcess.

    Not the time of day: that of all that runs is another one after the clock was set.
    """
    return round((process.create_time() - psutil.boot_time()) * _TICKS_PER_S)
