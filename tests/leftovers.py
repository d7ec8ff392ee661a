"""Ends what a run of the tests has left running, however that ended.

Tests start real servers and leave them to fixtures to stop.  A run that is interrupted or killed
never comes to its fixtures, so clusters, browsers and databases would stay.  One process watches
the run: it has the reading end of a pipe whose other end is gone once the run is.  Whatever was
started within the run has its mark in the environment and is ended then, also what detached itself.

As a script this file is that process; it does nothing before the run has ended.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from pathlib import Path

MARK = "WEDTWIN_TESTS_RUN"
"""The variable that everything within a run inherits."""
BY_ITSELF_S = 5.0
"""So long may it take what ends by itself, as the processes of xdist do."""
WITH_ITS_PARENT = "multiprocessing.resource_tracker"
"""What multiprocessing starts beside a process and what ends right after it, however that ends."""
AT_ONCE_S = 5.0
"""So long may it take what was asked to end."""


class Watch:
    """Watches this process and marks what it starts from now on."""

    def __init__(self, by_itself_s: float = BY_ITSELF_S) -> None:
        self.mark = str(uuid.uuid4())
        reading, self._held = os.pipe()
        # In a session of its own, and not marked by a run around this one: an interrupt at the
        # terminal, or the end of both, is not the end of this process.
        self.process = subprocess.Popen(
            [sys.executable, "-IS", __file__, self.mark, str(by_itself_s)],
            stdin=reading, start_new_session=True,
            env={name: value for name, value in os.environ.items() if name != MARK},
        )  # fmt: skip
        os.close(reading)
        os.environ[MARK] = self.mark

    def close(self) -> None:
        """The run is over; returns when nothing of it is left."""
        os.close(self._held)
        self.process.wait()


def marked(mark: str) -> dict[int, str]:
    """The processes with this mark: their commands by pid."""
    line = f"{MARK}={mark}".encode()
    commands: dict[int, str] = {}
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            if line in (folder / "environ").read_bytes().split(b"\0"):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                command = b" ".join(words).decode(errors="replace").strip()
                # Without words it has ended, and nobody has asked how.
                if command and WITH_ITS_PARENT not in command:
                    commands[int(folder.name)] = command
        except OSError:  # it has ended meanwhile, or is somebody else's
            continue
    return commands


def _end(mark: str, by_itself_s: float) -> None:
    """Wait for those with the mark, ask them to end, and kill those that do not."""
    rest = _rest_after(mark, by_itself_s)
    for number, patience_s in ((signal.SIGTERM, AT_ONCE_S), (signal.SIGKILL, AT_ONCE_S)):
        for pid, command in rest.items():
            if number == signal.SIGTERM:
                print(f"left running by the tests, ended: {pid} {command[:100]}", file=sys.stderr)
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        rest = _rest_after(mark, patience_s)


def _rest_after(mark: str, patience_s: float) -> dict[int, str]:
    """Those with the mark that are still there after so long; none as soon as all are gone."""
    until_s = time.monotonic() + patience_s
    while (rest := marked(mark)) and time.monotonic() < until_s:
        time.sleep(0.1)
    return rest


if __name__ == "__main__":
    sys.stdin.buffer.read()
    _end(sys.argv[1], float(sys.argv[2]))
