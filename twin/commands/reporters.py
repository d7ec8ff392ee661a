"""Who makes the reports: the twin ends at the record; `conf/reporters.yaml` names who goes on.

What draws takes most of a second to import.  A run leaves that to a process of its own, which has
everything at hand by the time the run is over (`Meanwhile`).
"""

from __future__ import annotations

import contextlib
import multiprocessing
import pickle
import signal
from collections.abc import Callable
from importlib import resources
from multiprocessing.connection import Connection
from pathlib import Path
from types import TracebackType

import yaml

from engine.config.load import load
from twin.runs import lifetimes

NAMED = "reporters.yaml"


def reporter(kind: str) -> Callable[..., None]:
    """The callable that makes the reports in a folder of this kind; raises ConfigError."""
    references = yaml.safe_load(resources.files("conf").joinpath(NAMED).read_text("utf-8"))
    return load(references[kind], f"{NAMED}: {kind}")


class Meanwhile:
    """A reporter in a process of its own, which imports what it needs while this one works.

    The process lives as long as the block.  It leaves Ctrl-C to this one and ends with it, however
    that ends.  If it is gone when it is needed, this process makes the reports.
    """

    def __init__(self, kind: str) -> None:
        """Of this kind of folder."""
        self._kind = kind
        context = multiprocessing.get_context(lifetimes.START_METHOD)
        self._channel, its = multiprocessing.Pipe()
        self._process = context.Process(target=_report, args=(kind, its), daemon=True)
        # What a process is not to hear it must not hear from the beginning.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            self._process.start()
        finally:
            its.close()
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def __enter__(self) -> Meanwhile:
        return self

    def __call__(self, folder: Path) -> None:
        """Make the reports in `folder`; raises what the reporter raises."""
        try:
            self._channel.send(folder)
            error = self._channel.recv()
        except (EOFError, OSError):
            reporter(self._kind)(folder)
            return
        except BaseException:
            self._end()  # nobody writes into a folder that is given up
            raise
        if error is not None:
            raise error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:  # fmt: skip
        self._end()

    def _end(self) -> None:
        self._channel.close()
        self._process.kill()
        self._process.join()


def _report(kind: str, channel: Connection) -> None:
    """In the other process: get ready, then make reports until nobody can ask any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lifetimes.collect_seldom()
    with contextlib.suppress(EOFError, OSError):
        report = reporter(kind)
        reporter(f"{kind}_ahead")()
        while True:
            channel.send(_error_of(report, channel.recv()))


def _error_of(report: Callable[[Path], None], folder: Path) -> Exception | None:
    """What the reporter raises, as something that can be sent."""
    try:
        report(folder)
    except Exception as error:
        try:
            pickle.dumps(error)
        except Exception:
            return RuntimeError(f"{type(error).__name__}: {error}")
        return error
    return None
