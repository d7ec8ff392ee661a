"""No process outlives its command, and nobody ends what is not theirs."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path

import psutil
import pytest

from twin.runs.lifetimes import worker_pool
from twin.runs.workers import spread

PATIENCE_S = 300.0
"""For what takes a moment; a machine with other work on it may need many."""

PARENT = """
import sys, time
from pathlib import Path
from twin.runs import lifetimes
from {module} import {work}
from twin.runs.workers import spread
if __name__ == "__main__":
    {before}
    for _ in spread({work}, [sys.argv[1]] * 2, 2):
        pass
"""

SWEEP = """
import sys, joblib
from {module} import of_a_library
if __name__ == "__main__":
    joblib.Parallel(2)(joblib.delayed(of_a_library)(sys.argv[1]) for _ in range(2))
"""

MODULE = """
import os, time
from pathlib import Path
from twin.runs.lifetimes import end_with_parent

def sleep_long(folder):
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)

def never_look_up(folder):
    (Path(folder) / str(os.getpid())).touch()
    sum(10**1000 for _ in iter(int, 1))  # for ever, and all of it in the interpreter

def of_a_library(folder):
    end_with_parent()
    sleep_long(folder)
"""

SUBPROCESS = """
import subprocess, sys
from twin.runs import lifetimes
if __name__ == "__main__":
    lifetimes.interrupt_on_sigterm()
    code = f"import working; working.sleep_long({sys.argv[1]!r})"
    for _ in range(2):
        subprocess.Popen([sys.executable, "-c", code], preexec_fn=lifetimes.kill_with_parent)
    subprocess.run(["sleep", "600"], preexec_fn=lifetimes.kill_with_parent)
"""


@pytest.fixture
def bystander() -> Iterator[multiprocessing.process.BaseProcess]:
    process = multiprocessing.get_context("spawn").Process(target=time.sleep, args=(600.0,))
    process.start()
    yield process
    process.kill()
    process.join()


class Started:
    """A command with two workers, each of which leaves a file named by its pid."""

    def __init__(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "working.py").write_text(MODULE)
        script = tmp_path / "command.py"
        script.write_text(text)
        self.folder = tmp_path / "pids"
        self.folder.mkdir()
        self.process = subprocess.Popen(
            [sys.executable, str(script), str(self.folder)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])},
            stderr=subprocess.PIPE,
            text=True,
        )
        end_s = time.monotonic() + PATIENCE_S
        while len(list(self.folder.iterdir())) < 2:
            assert time.monotonic() < end_s
            time.sleep(0.02)
        self.family = psutil.Process(self.process.pid).children(recursive=True)
        assert {int(path.name) for path in self.folder.iterdir()} <= {p.pid for p in self.family}

    def all_gone(self) -> bool:
        _, alive = psutil.wait_procs(self.family, timeout=PATIENCE_S)
        return not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


@pytest.fixture
def started(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Started]:
    command = Started(tmp_path, request.param)
    yield command
    for process in command.family:
        if process.is_running():
            process.kill()
    command.process.kill()
    command.process.communicate()


def text(work: str = "sleep_long", before: str = "pass") -> str:
    return PARENT.format(module="working", work=work, before=before)


@pytest.mark.parametrize(
    ("started", "number"),
    [
        (text(), signal.SIGKILL),
        (text(), signal.SIGTERM),
        (text(), signal.SIGINT),
        (text(before="lifetimes.interrupt_on_sigterm()"), signal.SIGTERM),
        (text("never_look_up"), signal.SIGKILL),
        (text("never_look_up"), signal.SIGINT),
        (SWEEP.format(module="working"), signal.SIGKILL),
        (SUBPROCESS, signal.SIGKILL),
        (SUBPROCESS, signal.SIGTERM),
    ],
    indirect=["started"],
    ids=["killed", "ended", "interrupted", "ended as if interrupted", "killed while they compute",
         "interrupted while they compute", "killed in a sweep", "killed beside a command",
         "ended beside a command"],
)  # fmt: skip
def test_workers_end_with_the_command_that_started_them(started: Started, number: int) -> None:
    started.process.send_signal(number)
    started.process.wait(PATIENCE_S)
    assert started.all_gone()


@pytest.mark.parametrize("started", [text()], indirect=True)
def test_ctrl_c_on_a_terminal_is_the_commands_alone(started: Started) -> None:
    for process in started.family:
        process.send_signal(signal.SIGINT)
    time.sleep(0.3)
    working = {int(path.name) for path in started.folder.iterdir()}
    assert {process.pid for process in started.family if process.is_running()} >= working
    started.process.send_signal(signal.SIGINT)
    _, said = started.process.communicate(timeout=PATIENCE_S)
    assert said.count("KeyboardInterrupt") == 1  # the command's own, none of a worker
    assert started.all_gone()


@pytest.mark.parametrize("how", ["an exception in a worker", "an exception here", "no more wanted"])
def test_what_is_broken_off_ends_its_own_workers_and_nobody_elses(
    how: str, bystander: multiprocessing.process.BaseProcess
) -> None:
    others = set(multiprocessing.active_children())
    naps_s = [0.0, -1.0, 600.0] if how == "an exception in a worker" else [0.0, 600.0, 600.0]
    results = spread(time.sleep, naps_s, 2)
    assert next(results) == (0, None)
    if how == "an exception in a worker":
        with pytest.raises(ValueError, match="non-negative"):
            list(results)
    elif how == "an exception here":
        with pytest.raises(RuntimeError, match="here"):
            results.throw(RuntimeError("here"))  # type: ignore[attr-defined]
    else:
        results.close()  # type: ignore[attr-defined]
    assert set(multiprocessing.active_children()) == others
    assert bystander.is_alive()


def test_a_worker_that_dies_is_no_result() -> None:
    with pytest.raises(BrokenProcessPool):
        list(spread(os._exit, [3], 1))


def test_a_pool_warms_its_workers_up_and_leaves_none_behind(tmp_path: Path) -> None:
    before = set(multiprocessing.active_children())
    with worker_pool(1, functools.partial(os.chdir, tmp_path)) as pool:
        assert pool.submit(os.getcwd).result() == str(tmp_path)
    assert set(multiprocessing.active_children()) == before
