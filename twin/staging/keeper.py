"""Takes a stack down when its owner is gone: `python -m twin.staging.keeper FOLDER TOKEN`.

A command that is killed cannot clean up after itself.  So a process beside it holds the reading end
of a pipe, and what comes out of it says how it went: a word, and there is nothing to do; or only
its end, and the stack is nobody's.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

from twin.staging.layout import Layout, Stack, StackError, load

LET_GO = b"let go"


class Keeper:
    """The process beside us, for one stack."""

    def __init__(self, place: Layout, stack: Stack) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "twin.staging.keeper", str(place.folder), stack.token],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # what ends us and our group is not to end it
        )

    def let_go(self) -> None:
        """The stack is down again, or is to stay."""
        with contextlib.suppress(BrokenPipeError):
            self._process.communicate(LET_GO)


def main() -> None:
    """Wait for the word, or for the end of whoever could say it."""
    folder, token = sys.argv[1:]
    if sys.stdin.buffer.read() == LET_GO:
        return
    from twin.staging.stack import take_down

    place = Layout(Path(folder))
    with contextlib.suppress(StackError):
        if load(place).token == token:
            take_down(place, keep_logs=False)


if __name__ == "__main__":
    main()
