"""Processes that run tests, each forked from one that has gathered them.

A process of xdist begins from nothing: it imports every library and every test module before its
first test, ten to fifteen seconds of a processor in each of five.  One process does so once, while
the kernels are compiled elsewhere, and forks for each of them; a fork gathers again what is there
already, which takes a second or two.

xdist starts a process as `python -u -c CODE`, where the `python` may be named.  The one named here
is a program that asks for a fork and lends it its own streams.

As a script this file is the process that has gathered the tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import NoReturn

if __name__ == "__main__":
    import warm  # it stands beside this file, and there are other packages called `tests`
else:
    from tests import warm

PYTHON = """#!{program} -IS
import sys

sys.path.insert(0, {root!r})
from tests import workers

workers.become_fork({address!r}, sys.argv[1:])
"""


class Gathered:
    """The process that gathers the tests, and a `python` that becomes a fork of it."""

    def __init__(self, arguments: Sequence[str]) -> None:
        """Let it gather what `pytest *arguments` runs here; the forks wait until it has."""
        self._process = warm.WarmProcess(json.dumps([*arguments]), script=Path(__file__))
        self._folder = tempfile.TemporaryDirectory()
        program = Path(self._folder.name) / "python"
        address = self._process.address
        program.write_text(
            PYTHON.format(program=sys.executable, root=str(warm.ROOT), address=address)
        )
        program.chmod(0o755)
        self.python = str(program)

    def close(self) -> None:
        """End it, when its forks have ended."""
        self._process.close()
        self._folder.cleanup()


def become_fork(address: str, arguments: list[str]) -> NoReturn:
    """Do what `python *arguments` does, in a fork of who has this address if there is one."""
    try:
        client = warm.Client(address)
        client.start("", (arguments[-1],), Path.cwd(), os.environ, files=(1, 2, 0))
    except (OSError, RuntimeError):
        print("there is no process that has gathered the tests: each does", file=sys.stderr)
        os.execv(sys.executable, [sys.executable, *arguments])
    # Who reads what the fork writes, or writes what it reads, must see when it has ended.
    os.close(0)
    os.close(1)
    os._exit(client.code(timeout_s=None))


def _gather(arguments: list[str]) -> None:
    """Import what pytest imports to run this; what is amiss there the forks will say."""
    import pytest

    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stdout(nowhere):
        pytest.main([*arguments, "-n0", "--collect-only", "-qqq"])
    warm.connect()  # by then the kernels are compiled
    warm.load_kernels()
    warm.close()


def _main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it ends with those who ask it
    sys.path[0] = str(Path.cwd())  # as `python -m pytest` has it
    listener, alive = map(int, sys.argv[1:3])
    _gather(json.loads(sys.argv[3]))
    asked = warm.serve(socket.socket(fileno=listener), alive)
    if asked is not None:
        _, (code,) = asked
        # What is `__main__`, processes that it spawns would import as well: there is none after -c.
        main = sys.modules["__main__"] = ModuleType("__main__")
        sys.argv = ["-c"]
        warm.end_after(lambda: exec(code, main.__dict__))


if __name__ == "__main__":
    _main()
