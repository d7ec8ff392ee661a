"""Processes are known by more than their pid."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from engine.adapters.pool import processes
from engine.adapters.pool.processes import Process, launch, marked, stop

STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("on", flush=True)
time.sleep(60)
"""


@pytest.fixture
def token() -> Iterator[str]:
    name = f"test-{os.getpid()}-{time.time_ns()}"
    yield name
    stop(marked(name), first=signal.SIGKILL, patience_s=5.0)


def start(token: str, tmp_path: Path, code: str = "import time; time.sleep(60)") -> Process:
    return launch([sys.executable, "-c", code], tmp_path / "log", token=token)


def test_a_pid_that_belongs_to_somebody_else_by_now_is_let_alone(
    token: str, tmp_path: Path
) -> None:
    running = start(token, tmp_path)
    mistaken = replace(running, started=running.started - 1)
    assert not mistaken.alive
    assert stop([mistaken], first=signal.SIGKILL, patience_s=0.1) == []
    mistaken.send(signal.SIGKILL)
    time.sleep(0.1)
    assert running.alive


def test_what_has_ended_is_not_alive_though_nobody_waited_for_it(
    token: str, tmp_path: Path
) -> None:
    ended = start(token, tmp_path, "")
    end = time.monotonic() + 300
    while ended.alive:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert Path(f"/proc/{ended.pid}").exists()  # a zombie, until somebody looks after it
    processes.reap()
    assert not Path(f"/proc/{ended.pid}").exists()


def test_what_does_not_end_when_it_is_asked_to_is_killed_and_named(
    token: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stubborn, willing = start(token, tmp_path, STUBBORN), start(token, tmp_path)
    end = time.monotonic() + 300
    while "on" not in (tmp_path / "log").read_text():
        assert time.monotonic() < end
        time.sleep(0.01)
    # However long a busy machine takes for the one that is willing, and for two looks at it.
    looks = iter((0.0, 0.0))
    monkeypatch.setattr(time, "monotonic", lambda: 0.0 if willing.alive else next(looks, 1e9))
    killed = stop([stubborn, willing], first=signal.SIGTERM, patience_s=0.5)
    monkeypatch.undo()
    assert killed == [stubborn.pid]
    assert not stubborn.alive
    assert not willing.alive


def test_processes_are_found_by_their_token_and_their_instance(token: str, tmp_path: Path) -> None:
    first = launch(
        [sys.executable, "-c", "import time; time.sleep(60)"], tmp_path / "log", token=token,
        environment={processes.INSTANCE: "api-1"},
    )  # fmt: skip
    second = start(token, tmp_path)
    end_s = time.monotonic() + 300
    while len(running := set(marked(token))) < 2:  # the kernel shows an environment a moment later
        assert time.monotonic() < end_s
    assert running == {first, second}
    assert marked(token, "api-1") == [first]
    assert marked(token + "x") == []


def test_a_process_outlives_whoever_started_it(token: str, tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from engine.adapters.pool.processes import launch;"
        f"launch([sys.executable, '-c', 'import time; time.sleep(60)'],"
        f" Path({str(tmp_path / 'log')!r}), token={token!r})"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
    end_s = time.monotonic() + 300
    while not (running := marked(token)):  # as above
        assert time.monotonic() < end_s
    (left,) = running
    assert left.alive


def test_the_last_words_are_the_last_line_that_says_something(tmp_path: Path) -> None:
    log = tmp_path / "log"
    assert processes.last_words(log) == "it left no word"
    log.write_text("one\ntwo \n\n")
    assert processes.last_words(log) == "two"
