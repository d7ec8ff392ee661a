"""Shared by all tests: the same environment for everybody, whatever the machine has set."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings

# Plots are drawn to files; a machine with a display must not open windows.
os.environ["MPLBACKEND"] = "Agg"

# A shell that starts the tests in the background lets them ignore Ctrl-C, and what they start too;
# some of the tests interrupt what they started.
signal.signal(signal.SIGINT, signal.default_int_handler)

# A slow or shared machine is no counterexample, and a failure must come back on the next run.
settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
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


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests belong to."""
    return Path(__file__).resolve().parent.parent


REAL_PARTS = ("tests/integration/staging/", "tests/integration/test_load.py")
"""Tests of a whole stack, or of load: they wait more than they work, and must not wait longer."""

SERVERS = (*REAL_PARTS, "tests/integration/metrics/")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """One more than there are processors, as one of them mostly waits for the real parts."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Give all of `REAL_PARTS` to one process: two stacks at once would take each other's time."""
    from xdist.scheduler import LoadScopeScheduling  # only here: it is not there without xdist

    if config.getvalue("dist") != "loadscope":
        return None
    # In the order of the folders: the long modules come first, and the short ones fill up the end.
    config.option.loadscopereorder = False

    class RealPartsTogether(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            if nodeid.startswith(REAL_PARTS):
                return "real parts"
            return super()._split_scope(nodeid)

    return RealPartsTogether(config, log)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let the real parts have the processors first: what only computes steps back behind them."""
    parallel = "PYTEST_XDIST_WORKER" in os.environ
    if parallel and not item.nodeid.startswith(SERVERS) and os.nice(0) == 0:
        os.nice(10)
