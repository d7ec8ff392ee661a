"""Worlds in which the engine once failed: every invariant holds in them now."""

from __future__ import annotations

from pathlib import Path

import pytest

from twin.hunt.examine import examine
from twin.hunt.worlds import read

KEPT = sorted((Path(__file__).parent / "worlds" / "scenario").glob("*.yaml"))


def test_there_are_worlds_to_examine() -> None:
    assert KEPT


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.stem)
def test_a_world_that_once_failed_holds(path: Path) -> None:
    assert examine(read(path)).violations == ()
