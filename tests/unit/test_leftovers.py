from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import leftovers

DETACHED = """
import os, signal, sys, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
if len(sys.argv) > 2:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
with open(sys.argv[1] + ".part", "w") as file:
    file.write(str(os.getpid()))
os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(600.0)
"""
RUN = """
import os, sys, time
sys.path.insert(0, {root!r})
from tests import leftovers
leftovers.Watch(by_itself_s=0.1)
os.system(" ".join(sys.argv[1:]) + " &")
time.sleep(600.0)
"""


def pid_in(path: Path) -> int:
    """The number in a file, once it is there."""
    while not path.exists():
        time.sleep(0.01)
    return int(path.read_text())


def is_there(pid: int) -> bool:
    """Whether a process runs; one that has ended and whom nobody asked how does not."""
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


@pytest.fixture
def own_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mark of the run around this test comes back."""
    monkeypatch.setenv(leftovers.MARK, os.environ.get(leftovers.MARK, ""))


@pytest.mark.parametrize("is_deaf", [False, True])
@pytest.mark.usefixtures("own_mark")
def test_what_detached_itself_is_ended_and_nothing_else(
    tmp_path: Path,
    is_deaf: bool,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(leftovers, "AT_ONCE_S", 0.2)
    stranger = subprocess.Popen(["sleep", "600"])
    try:
        mark = f"the run of {tmp_path}"
        monkeypatch.setenv(leftovers.MARK, mark)
        command = [sys.executable, "-IS", "-c", DETACHED, str(tmp_path / "pid")]
        subprocess.run([*command, "deaf"] if is_deaf else command, check=True)
        pid = pid_in(tmp_path / "pid")
        while list(leftovers.marked(mark)) != [pid]:  # those between end at once
            time.sleep(0.01)
        leftovers._end(mark, by_itself_s=0.1)
        while is_there(pid):  # what is killed takes its time
            time.sleep(0.01)
        assert f"left running by the tests, ended: {pid} " in capfd.readouterr().err
        assert is_there(stranger.pid)
    finally:
        stranger.kill()
        stranger.wait()


def test_a_run_that_is_killed_leaves_nothing(tmp_path: Path, repository: Path) -> None:
    script = tmp_path / "detached.py"
    script.write_text(DETACHED)
    began = [sys.executable, "-IS", "-c", RUN.format(root=str(repository))]
    run = subprocess.Popen([*began, sys.executable, "-IS", str(script), str(tmp_path / "pid")])
    try:
        pid = pid_in(tmp_path / "pid")
    finally:
        run.kill()
        run.wait()
    while is_there(pid):
        time.sleep(0.05)


@pytest.mark.usefixtures("own_mark")
def test_a_run_that_has_left_nothing_ends_at_once_and_says_nothing(
    capfd: pytest.CaptureFixture[str],
) -> None:
    watch = leftovers.Watch()
    subprocess.run(["true"], check=True)
    watch.close()
    assert watch.process.returncode == 0
    assert capfd.readouterr().err == ""
