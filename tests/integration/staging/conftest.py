"""The real stack on free ports of the loopback interface, one for each test module.

Where a program is missing the tests are skipped, with the command that installs it; `.ci/run`
installs them all.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from engine.adapters.pool import processes
from engine.adapters.pool.haproxy import HaproxyPool
from engine.model import Action, Category, Reason, Rollback, WeddingContext
from engine.ports.infrastructure import Counts
from tests import warm
from twin.staging import layout, parts
from twin.staging.layout import Layout, Stack, StackError

FAST_BOOT = [
    f"platform.services.{name}.{key}"
    for name in ("api", "database", "file-storage", "real-time", "ai-services")
    for key in ("boot.median_s=1.2", "boot.p95_s=1.6", "warmup_s=0.2")
]
"""Workers that boot in little more than the time that their process takes to start."""


def staged(*arguments: str, **changed: str) -> subprocess.CompletedProcess[str]:
    """One command of staging."""
    return warm.run("twin", "staging", *arguments, environment={**os.environ, **changed})


@dataclass(frozen=True)
class Staging:
    """A stack that is up."""

    folder: Path

    @property
    def place(self) -> Layout:
        return Layout(self.folder)

    @property
    def stack(self) -> Stack:
        return layout.load(self.place)

    @property
    def front(self) -> str:
        return f"http://127.0.0.1:{self.stack.ports['front']}"

    @property
    def prometheus(self) -> str:
        return f"http://127.0.0.1:{self.stack.ports['prometheus']}"


@pytest.fixture(scope="session")
def programs() -> parts.Programs:
    try:
        return parts.find_programs()
    except StackError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def wrk() -> str:
    """wrk's path."""
    path = shutil.which("wrk")
    if path is None:
        pytest.skip(
            "missing on this machine: wrk; install: "
            "sudo apt-get install --yes --no-install-recommends wrk"
        )
    return path


@pytest.fixture
def folder(programs: parts.Programs) -> Iterator[Path]:
    """A short, new name for a folder; whatever is started in it is stopped in the end."""
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def staging(programs: parts.Programs) -> Iterator[Staging]:
    """A stack of fast workers; what it leaves behind fails the module's last test."""
    with short_folder() as path:
        started = staged("up", f"folder={path}", "weddings=50", *FAST_BOOT)
        assert started.returncode == 0, started.stderr
        assert started.stdout.splitlines()[-1] == str(path)
        token = layout.load(Layout(path)).token
        yield Staging(path)
        stopped = staged("down", f"folder={path}")
        assert stopped.returncode == 0, stopped.stderr
        assert processes.marked(token) == []
        assert not path.exists()


@contextmanager
def short_folder() -> Iterator[Path]:
    """Sockets need short paths, and PostgreSQL's user has to be able to enter the folder."""
    path = Path(tempfile.mkdtemp(prefix="wt-", dir="/tmp"))
    path.rmdir()
    try:
        yield path
    finally:
        if (path / "stack.json").exists():
            token = json.loads((path / "stack.json").read_text())["token"]
            staged("down", f"folder={path}")
            assert processes.marked(token) == []
        shutil.rmtree(path, ignore_errors=True)


def action(decision_id: str, service: str, before: int, after: int) -> Action:
    """What an engine would send."""
    return Action(
        decision_id, service, before, after, Reason.CPU, Category.AUTOMATIC, 1.0, 0.0,
        Rollback(before), WeddingContext(), {}, 0.0, 0.0, "",
    )  # fmt: skip


def until(
    pool: HaproxyPool, service: str, there: Callable[[Counts], bool], patience_s: float = 300.0
) -> Counts:
    """Wait until the counts are as they should be; fails when they never are."""
    end = time.monotonic() + patience_s
    while True:
        counts = pool.observe().services[service]
        if there(counts):
            return counts
        assert time.monotonic() < end, counts
        time.sleep(0.1)
