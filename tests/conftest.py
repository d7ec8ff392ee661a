"""Shared by all tests: the same environment for everybody, whatever the machine has set."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Plots are drawn to files; a machine with a display must not open windows.
os.environ["MPLBACKEND"] = "Agg"

# A slow or shared machine is no counterexample, and a failure must come back on the next run.
settings.register_profile("house", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("house")


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout that the tests belong to."""
    return Path(__file__).resolve().parent.parent
