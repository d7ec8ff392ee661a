"""Processes by identity: a pid alone may be somebody else's by the time that it is signalled.

A process is known by its pid together with the moment at which the kernel started it.  What belongs
to one staging stack also carries that stack's token in its environment, so it can be found when
whoever started it was killed before it could write the pid down.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TOKEN = "WEDTWIN_STAGING"
"""Name of the environment variable by which a stack's processes are found."""

INSTANCE = "WEDTWIN_INSTANCE"
"""Name of the environment variable that holds a worker's instance id."""


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
        return _started(self.pid) == self.started

    def send(self, number: signal.Signals) -> None:
        """Send it a signal, if it is still the same process."""
        if self.alive:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


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
    _children[child.pid] = child
    started = _started(child.pid, dead_too=True)
    return Process(child.pid, started if started is not None else -1)


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
    wanted = [f"{TOKEN}={token}".encode()]
    if instance:
        wanted.append(f"{INSTANCE}={instance}".encode())
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdecimal() or int(folder.name) == os.getpid():
            continue
        try:
            variables = (folder / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended meanwhile, or is somebody else's
        started = _started(int(folder.name))
        if started is not None and all(variable in variables for variable in wanted):
            found.append(Process(int(folder.name), started))
    return found


def _fields(pid: int) -> list[str]:
    """What the kernel says of a process from its state on: proc(5), stat, field 3 and later."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return []
    # The name before it is in brackets and may itself hold brackets and spaces.
    return text.rpartition(")")[2].split()


def _started(pid: int, *, dead_too: bool = False) -> int | None:
    fields = _fields(pid)
    if not fields or (fields[0] in "ZX" and not dead_too):
        return None
    return int(fields[19])
