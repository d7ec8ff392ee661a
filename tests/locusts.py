"""Locust in processes that need not begin from nothing.

Each Locust spends three seconds on imports and on the kernels that draw its load.  One process has
all of that and forks for whoever asks: `python -m locust ARGUMENTS` as a process of its own, with
its own pid, streams, environment and exit code.  (The processes of `tests.warm` cannot be used:
Locust replaces what waits, before anything else is imported.)

As a script this file is that process.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LIMIT_S = 600.0
"""For hangs."""


@dataclass
class Locust:
    """One that runs: what is asked of `subprocess.Popen` here."""

    pid: int
    folder: Path
    returncode: int | None = None

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        if self.returncode is None:
            with contextlib.suppress(FileNotFoundError):
                self.returncode = int((self.folder / "code").read_text())
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def ended(self) -> subprocess.CompletedProcess[str]:
        """Wait for its end; raises TimeoutError for what hangs."""
        until_s = time.monotonic() + LIMIT_S
        while self.poll() is None:
            if time.monotonic() > until_s:
                raise TimeoutError(f"Locust {self.pid} does not end: {self.said()}")
            time.sleep(0.02)
        assert self.returncode is not None
        out = (self.folder / "out").read_text()
        return subprocess.CompletedProcess(["locust"], self.returncode, out, self.said())

    def said(self) -> str:
        """What it wrote to its standard error so far."""
        return (self.folder / "err").read_text()


class Locusts:
    """Starts them, each as a fork of a process that is ready to load."""

    def __init__(self, folder: Path) -> None:
        """Begin; `folder` holds what they write to their streams."""
        self.folder, self.count = folder, 0
        self._forks = subprocess.Popen(
            [sys.executable, str(Path(__file__))], cwd=ROOT, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip

    def start(self, *arguments: str, environment: Mapping[str, str] = os.environ) -> Locust:
        """`python -m locust arguments` from the checkout."""
        assert self._forks.stdin is not None
        assert self._forks.stdout is not None
        self.count += 1
        folder = self.folder / str(self.count)
        folder.mkdir()
        asked = [arguments, dict(environment), str(folder), os.getpriority(os.PRIO_PROCESS, 0)]
        print(json.dumps(asked), file=self._forks.stdin)
        return Locust(int(self._forks.stdout.readline()), folder)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The same, to its end."""
        return self.start(*arguments).ended()

    def close(self) -> None:
        """End the process that forks."""
        assert self._forks.stdin is not None
        self._forks.stdin.close()
        self._forks.wait()


@contextlib.contextmanager
def locusts(folder: Path) -> Iterator[Locusts]:
    """As long as one is needed."""
    forks = Locusts(folder)
    try:
        yield forks
    finally:
        forks.close()


def _main() -> None:
    sys.path[0] = str(ROOT)
    import locust.main
    from gevent.monkey import get_original
    from gevent.os import fork_gevent

    # What its locustfile needs: the file itself is read by each Locust, and hooks itself in.
    from locustfiles import conductor, options, plan  # noqa: F401

    part = plan.WantedExcerpt(window="15min")
    plan.make(
        "june_peak", scale=0.1, speed=300.0, part=part, overrides=("population.simultaneous=200",)
    )
    fork, wait = get_original("os", ("fork", "waitpid"))
    set_handler = get_original("signal", "signal")
    set_handler(signal.SIGCHLD, signal.SIG_IGN)  # nobody here waits for who attends
    asked = b""
    while chunk := os.read(0, 65536):
        asked += chunk
        while b"\n" in asked:
            line, _, asked = asked.partition(b"\n")
            arguments, environment, place, niceness = json.loads(line)
            if fork():
                continue
            set_handler(signal.SIGCHLD, signal.SIG_DFL)
            folder = Path(place)
            streams = (
                os.open(os.devnull, os.O_RDONLY),
                *(os.open(folder / name, os.O_CREAT | os.O_WRONLY) for name in ("out", "err")),
            )
            if child := fork_gevent():
                print(child, flush=True)
                code = os.waitstatus_to_exitcode(wait(child, 0)[1])
                (folder / "code.new").write_text(str(code))
                (folder / "code.new").rename(folder / "code")
                os._exit(0)
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
            for number, stream in enumerate(streams):
                os.dup2(stream, number)
                os.close(stream)
            os.environ.clear()
            os.environ.update(environment)
            sys.argv = ["locust", *arguments]
            sys.exit(locust.main.main())


if __name__ == "__main__":
    _main()
