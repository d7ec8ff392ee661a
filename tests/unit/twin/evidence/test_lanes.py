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

def rows(*, rows, seed, worse=False, ms=None):
    return [{"ms": seed if ms is None else float(ms), "niceness": os.nice(0)}] * rows

def played(*, folder, seed, broken=False):
    if broken:
        raise RuntimeError("no stack")
    folder.mkdir(parents=True)
    (folder / "niceness").write_text(str(os.nice(0)))

def of_record(*, record, seed):
    return [{"live_niceness": int((record / "niceness").read_text())}]
"""
MODULE = "rows_of_lanes"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Of a bundle, with what makes its rows on the path of all processes."""
    (tmp_path / f"{MODULE}.py").write_text(ROWS)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "bundle"


TWO_WORLDS = {
    "each": f"{MODULE}:row", "record": f"{MODULE}:played", "of_record": f"{MODULE}:of_record",
}  # fmt: skip


def claim_of(own_text: str, number: int, source: str, **measure: Any) -> Claim:
    raw = yaml.safe_load(own_text) | {
        "id": f"6.{number}", "source": source, "measure": measure,
        "control": {"says": "x", "options": {"worse": True}, "rows": 1},
    }  # fmt: skip
    return parse(yaml.safe_dump(raw).encode(), "own.yaml")


def both_lanes(folder: Path, claims: list[Claim]) -> None:
    """As the command measures them: all but what one lane has left is not made again."""
    live = [claim for claim in claims if not lanes.may_go_beside(claim)]
    beside = [claim for claim in claims if claim not in live or lanes.of_two_worlds(claim)]
    with lanes.beside(folder, beside, level="quick", seed=1) as other:
        lanes.measure(
            folder, live, level="quick", seed=1, advance=lambda _: None, of_two=measuring.play
        )
        other.wait(lambda _: None)
    lanes.measure(folder, claims, level="quick", seed=1, advance=lambda _: None)


@pytest.mark.parametrize(
    ("source", "measure", "computes"),
    [
        ("twin", {"each": "a:b"}, True),
        ("twin", {"all": "a:b"}, True),
        ("production record", {"all": "a:b"}, True),
        ("staging", {"each": "a:b"}, False),
        ("staging", {"all": "a:b", "beside": True}, True),
        ("twin", {"all": "a:b", "record": "a:c"}, False),
        ("twin", {"command": ["probe"]}, False),
        ("twin", TWO_WORLDS, False),
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
    assert lanes.may_go_beside(claim) is computes


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


def test_a_claim_of_two_worlds_is_simulated_in_one_lane_and_played_in_the_other(
    own_text: str, folder: Path
) -> None:
    claim = claim_of(own_text, 1, "staging", **TWO_WORLDS)
    both_lanes(folder, [claim])
    *simulated, live = bundle.measured(folder, "6.1", "measured").rows
    assert len(simulated) == claim.level("quick").rows
    assert {row["niceness"] for row in simulated} == {lanes.LOWEST}
    assert {row["live_niceness"] for row in simulated} == {None}
    assert live == {"ms": None, "niceness": None, "live_niceness": os.nice(0)}
    assert not list(folder.rglob("*.part"))


def test_a_claim_of_two_worlds_takes_the_simulated_rows_that_another_asked_for_before(
    own_text: str, folder: Path
) -> None:
    first = claim_of(own_text, 1, "twin", each=f"{MODULE}:row")
    claim = claim_of(own_text, 2, "staging", **TWO_WORLDS)
    lanes.measure(folder, [first], level="quick", seed=1, advance=lambda _: None)
    # Nobody can make them now.
    (folder.parent / f"{MODULE}.py").write_text(ROWS.replace("def row(", "def gone("))
    lanes.measure(folder, [first, claim], level="quick", seed=1, advance=lambda _: None)
    rows = bundle.measured(folder, "6.2", "measured").rows
    before = bundle.measured(folder, "6.1", "measured").rows
    assert [{key: row[key] for key in ("ms", "niceness")} for row in rows[:-1]] == list(before)


def test_a_claim_of_two_worlds_whose_other_world_fails_says_why_and_has_no_rows(
    own_text: str, folder: Path
) -> None:
    broken = {**TWO_WORLDS, "options": {"record": {"broken": True}}}
    both_lanes(folder, [claim_of(own_text, 1, "staging", **broken)])
    measured = bundle.measured(folder, "6.1", "measured")
    assert measured.rows == ()
    assert measured.failure == "RuntimeError: no stack"


def test_rows_that_no_file_can_hold_are_a_measurement_that_failed(
    own_text: str, folder: Path
) -> None:
    claim = claim_of(own_text, 1, "staging", all=f"{MODULE}:rows", options={"ms": "nan"})
    lanes.measure(folder, [claim], level="quick", seed=1, advance=lambda _: None)
    measured = bundle.measured(folder, "6.1", "measured")
    assert measured.rows == ()
    assert measured.failure.startswith("ValueError: Out of range float values")


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
