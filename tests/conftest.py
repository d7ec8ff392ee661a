"""Shared by all tests: the same environment for everybody, whatever the machine has set."""

from __future__ import annotations

import gc
import importlib
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, Phase, settings

from engine.config import secrets
from tests import leftovers, warm, workers
from twin.runs import lifetimes

# What is read again and again, by each process that tests start, is compiled once.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# The processors are shared out among processes; threads that wait for each other would turn in
# circles on them, which takes four times as long for the small matrices here.
os.environ.update(OPENBLAS_NUM_THREADS="1", OMP_NUM_THREADS="1")

# Plots are drawn to files; a machine with a display must not open windows.
os.environ["MPLBACKEND"] = "Agg"

# Unless told not to, structlog draws each local variable of a traceback: a second for each error.
structlog.configure(
    processors=[
        structlog.processors.add_log_level,
        structlog.dev.ConsoleRenderer(
            colors=False, exception_formatter=structlog.dev.plain_traceback
        ),
    ]
)

# A shell that starts the tests in the background lets them ignore Ctrl-C, and what they start too;
# some of the tests interrupt what they started.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow or shared machine is no counterexample, and a failure must come back on the next run.
# The same examples in each run: more of them find what is new once, `make test-random` each night.
# As many as the mutants get, of which nine in ten are noticed.
settings.register_profile(
    "house", deadline=None, derandomize=True, print_blob=True, max_examples=40
)
settings.register_profile("random", deadline=None, max_examples=400, print_blob=True)
# Whether it fails is all that is asked of a test that looks for a spoiled line.
settings.register_profile(
    "mutants",
    deadline=None,
    derandomize=True,
    max_examples=40,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=tuple(HealthCheck),
)
settings.load_profile("house")


PATIENT = {
    "engine.adapters.alert_webhook": "TIMEOUT_S",
    "engine.adapters.bookings.feed": "PROMPT_S",
    "engine.adapters.pool.haproxy": "PROBE_TIMEOUT_S",
    "engine.adapters.pool.runtime_api": "TIMEOUT_S",
    "engine.adapters.store.sqlite": "BUSY_S",
    "engine.api.shared_cache": "WAIT_S",
    "engine.security.gate": "PATIENCE_S",
    "engine.security.oidc": "PATIENCE_S",
}
"""How long the product waits for what somebody else waits for as well: seconds, in which a busy
machine may not get to it.  A test of such a limit sets one of its own."""
PATIENCE_S = 120.0


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests belong to."""
    return Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _secrets_stay_in_their_test() -> Iterator[None]:
    """Forget the secrets of a test: a short one would be a mark in the words of those that follow.

    What a stack that stays up has taught this process before stays.
    """
    before = dict(secrets._learned)
    yield
    secrets._learned.clear()
    secrets._learned.update(before)


REAL_PARTS = (
    (
        "tests/integration/staging/test_live.py", "tests/integration/staging/test_pool.py",
        "tests/integration/test_load.py",
    ),
    (
        "tests/integration/staging/", "tests/integration/metrics/",
        "tests/integration/test_haproxy_by_hand.py",
    ),
    (
        "tests/integration/aws/", "tests/integration/page/", "tests/integration/store/",
        "tests/integration/bookings/", "tests/integration/test_alertmanager.py",
    ),
    ("tests/integration/kubernetes/",),
)  # fmt: skip
"""Tests of real servers: they wait more than they work, and must not wait longer.

Each group is for one process, and the first that fits counts.
"""


def group_of(nodeid: str) -> int | None:
    """Which group of `REAL_PARTS` a test belongs to."""
    fitting = (n for n, paths in enumerate(REAL_PARTS) if nodeid.startswith(paths))
    return next(fitting, None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """More than there are processors, as those with the real parts mostly wait for them.

    One for each group of these, and on each processor but one another one that computes: with one
    more, what is played in wall time is late.
    """
    return max(os.cpu_count() or 1, 2) - 1 + len(REAL_PARTS)


def pytest_collection(session: pytest.Session) -> None:
    """Import early what looks through all modules that are there when it is imported."""
    gc.disable()  # until all is there that stays
    if hasattr(session.config, "workerinput") or session.config.option.collectonly:
        importlib.import_module("skops.io")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give each group of `REAL_PARTS` to one process: more stacks would take each other's time."""
    from xdist.scheduler import LoadScopeScheduling  # only here: it is not there without xdist

    if config.getvalue("dist") != "loadscope":
        return None
    # In the order of the items, see below.
    config.option.loadscopereorder = False

    class RealPartsTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            group = group_of(nodeid)
            return super()._split_scope(nodeid) if group is None else f"real parts {group}"

    return RealPartsTogether(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest by the clock; the short modules fill up the end."""

    def place(item: pytest.Item) -> tuple[bool, bool]:
        return group_of(item.nodeid) is None, not item.nodeid.startswith("tests/integration/")

    items.sort(key=place)


def pytest_sessionstart(session: pytest.Session) -> None:
    """Warm up and compile the kernels once, and gather the tests once, side by side."""
    config = session.config
    if hasattr(config, "workerinput") or config.option.collectonly:
        return
    config.stash[WATCH] = leftovers.Watch()
    if config.getoption("numprocesses", None):
        config.stash[WARM] = warm.share()
        config.stash[GATHERED] = workers.Gathered(config.invocation_params.args)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Fork the processes that test from the one that gathers."""
    if GATHERED in config.stash:
        for spec in specs:
            if spec.popen and not spec.python:
                spec.python = shlex.quote(config.stash[GATHERED].python)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Wait for the kernels: each process would compile them for itself."""
    for module, limit in PATIENT.items():
        if module in sys.modules:
            setattr(sys.modules[module], limit, PATIENCE_S)
    # Thousands of tests and all modules stay to the end: half a second for each look through them,
    # also for a last one now.
    gc.freeze()
    gc.set_threshold(lifetimes.COLLECT_AFTER)
    gc.enable()
    if hasattr(session.config, "workerinput") and not session.config.option.collectonly:
        warm.connect()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Leave no process behind."""
    for key in (GATHERED, WARM):
        process = session.config.stash.get(key, None)
        if process is not None:
            process.close()


def pytest_unconfigure(config: pytest.Config) -> None:
    """See to it that nothing is left running: fixtures have ended by now."""
    warm.end()
    watch = config.stash.get(WATCH, None)
    if watch is not None:
        watch.close()


WARM = pytest.StashKey[warm.WarmProcess]()
GATHERED = pytest.StashKey[workers.Gathered]()
WATCH = pytest.StashKey[leftovers.Watch]()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the real parts have the processors first: what only computes steps back behind them."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    if parallel and group_of(item.nodeid) is None and os.nice(0) == 0:
        os.nice(10)
