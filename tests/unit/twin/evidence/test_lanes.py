"""Two lanes: what only computes is measured beside what waits for real parts."""

from __future__ import annotations

import multiprocessing
import os
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from twin.evidence import bundle, lanes, measuring
from twin.evidence.claims import Claim, parse

PATIENCE_S = 120.0


ROWS = """
import os, time

def row(*, seed, slow_s=0.0, worse=False):
    time.sleep(slow_s)
    return {"ms": seed % 100, "niceness": os.nice(0)}

def rows(*, rows, seed, worse=False):
    return [{"ms": seed, "niceness": os.nice(0)}] * rows
"""
MODULE = "rows_of_lanes"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a bundle, with what makes its rows on the path of all processes."""
    (tmp_path / f"{MODULE}.py").write_text(ROWS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "bundle"


def claim_of(own_text: str, number: int, source: str, **measure: Any) -> Claim:
    raw = yaml.safe_load(own_text) | {
        "id": f"6.{number}", "source": source, "measure": measure,
        "control": {"says": "x", "options": {"worse": True}, "rows": 1},
    }  # fmt: skip
    return parse(yaml.safe_dump(raw).encode(), "own.yaml")


@pytest.mark.parametrize(
    ("source", "measure", "computes"),
    [
        ("twin", {"each": "a:b"}, True),
        ("twin", {"all": "a:b"}, True),
        ("production record", {"all": "a:b"}, True),
        ("staging", {"each": "a:b"}, False),
        ("twin", {"all": "a:b", "record": "a:c"}, False),
        ("twin", {"command": ["probe"]}, False),
    ],
)
def test_what_needs_live_parts_is_not_computed_beside_others(
    own_text: str, source: str, measure: dict[str, Any], computes: bool
) -> None:
    if "command" in measure:
        raw = yaml.safe_load(own_text) | {"source": source}
        claim = parse(yaml.safe_dump(raw).encode(), "own.yaml")
    else:
        claim = claim_of(own_text, 1, source, **measure)
    assert lanes.only_computes(claim) is computes


def niceness(folder: Path, claim: str) -> set[int]:
    measured = bundle.measured(folder, claim, "measured")
    assert measured.rows, measured
    return {row["niceness"] for row in measured.rows}


def test_the_second_lane_gets_what_the_first_leaves(own_text: str, folder: Path) -> None:
    computing = claim_of(own_text, 1, "twin", each=f"{MODULE}:row")
    waiting = claim_of(own_text, 2, "staging", all=f"{MODULE}:rows")
    seen: list[float] = []
    with lanes.beside(folder, [computing], level="quick", seed=1) as other:
        lanes.measure(folder, [waiting], level="quick", seed=1, advance=seen.append)
        other.wait(seen.append)
    assert niceness(folder, "6.1") == {lanes.LOWEST}
    assert niceness(folder, "6.2") == {os.nice(0)}
    minutes = computing.level("quick").minutes
    assert seen[-1] == other.minutes == pytest.approx(minutes)
    again: list[float] = []
    lanes.measure(folder, [computing, waiting], level="quick", seed=1, advance=again.append)
    assert len(again) == 4  # all of it is there


def test_who_is_interrupted_ends_the_second_lane_and_keeps_its_rows(
    own_text: str, folder: Path
) -> None:
    computing = claim_of(own_text, 1, "twin", each=f"{MODULE}:row", options={"slow_s": 0.2})
    part = (folder / bundle.raw_file("6.1", "measured")).with_suffix(".part")
    until_s = time.monotonic() + PATIENCE_S

    def interrupted() -> None:
        with lanes.beside(folder, [computing], level="quick", seed=1):
            while not (part.exists() and part.read_text()):
                assert time.monotonic() < until_s
                time.sleep(0.01)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert multiprocessing.active_children() == []
    kept = measuring._kept(part)
    lanes.measure(folder, [computing], level="quick", seed=1, advance=lambda _: None)
    whole = bundle.measured(folder, "6.1", "measured").rows
    assert [whole[number] for number in kept] == list(kept.values())
    assert len(whole) == computing.level("quick").rows


def test_a_second_lane_that_dies_leaves_its_work_to_the_first(own_text: str, folder: Path) -> None:
    computing = claim_of(own_text, 1, "twin", each=f"{MODULE}:row")
    with lanes.beside(folder, [computing], level="quick", seed=1) as other:
        other._process.kill()
        other.wait(lambda _: None)
    lanes.measure(folder, [computing], level="quick", seed=1, advance=lambda _: None)
    assert niceness(folder, "6.1") == {os.nice(0)}
