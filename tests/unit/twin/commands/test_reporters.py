"""Reports that another process makes, which is a fork here: it takes what is put in its place."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from twin.commands import reporters
from twin.commands.reporters import Meanwhile
from twin.runs import lifetimes

Report = Callable[[Path], None]


def note(folder: Path) -> None:
    (folder / "report").write_text(str(os.getpid()))


def by(folder: Path) -> int:
    """The process that made the report."""
    return int((folder / "report").read_text())


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> Callable[[Report], None]:
    """Lets a function make the reports, and one that does nothing get ready for them."""
    monkeypatch.setattr(lifetimes, "START_METHOD", "fork")

    def give(report: Report) -> None:
        made = {"run": report, "run_ahead": lambda: None}
        monkeypatch.setattr(reporters, "reporter", lambda kind: made[kind])

    return give


def test_another_process_makes_the_reports_and_is_gone_with_the_block(
    given: Callable[[Report], None], tmp_path: Path
) -> None:
    given(note)
    with Meanwhile("run") as report:
        report(tmp_path)
        other = by(tmp_path)
        assert other != os.getpid()
        report(tmp_path)
        assert by(tmp_path) == other
    with pytest.raises(ProcessLookupError):
        os.kill(other, 0)


def test_an_interrupt_at_the_terminal_is_not_its_business(
    given: Callable[[Report], None], tmp_path: Path
) -> None:
    given(note)
    with Meanwhile("run") as report:
        assert report._process.pid is not None
        os.kill(report._process.pid, signal.SIGINT)
        report(tmp_path)
        assert by(tmp_path) == report._process.pid


def test_without_the_other_process_this_one_makes_them(
    given: Callable[[Report], None], tmp_path: Path
) -> None:
    given(note)
    with Meanwhile("run") as report:
        report._process.kill()
        report._process.join()
        report(tmp_path)
    assert by(tmp_path) == os.getpid()


def refuse(_: Path) -> None:
    raise ValueError("no room")


def refuse_with_what_cannot_be_sent(_: Path) -> None:
    class Odd(Exception):
        pass

    raise Odd("no room")


@pytest.mark.parametrize(
    ("refusing", "kind", "said"),
    [
        (refuse, ValueError, "^no room$"),
        (refuse_with_what_cannot_be_sent, RuntimeError, "^Odd: no room$"),
    ],
)
def test_what_fails_there_fails_here(
    given: Callable[[Report], None],
    tmp_path: Path,
    refusing: Report,
    kind: type[Exception],
    *,
    said: str,
) -> None:
    given(refusing)
    with Meanwhile("run") as report, pytest.raises(kind, match=said):
        report(tmp_path)


def test_nothing_is_written_any_more_once_the_wait_is_interrupted(
    given: Callable[[Report], None], tmp_path: Path
) -> None:
    here = os.getpid()

    def interrupt(folder: Path) -> None:
        os.kill(here, signal.SIGINT)
        time.sleep(600.0)
        note(folder)

    given(interrupt)
    with Meanwhile("run") as report:
        with pytest.raises(KeyboardInterrupt):
            report(tmp_path)
        assert report._process.exitcode == -signal.SIGKILL
