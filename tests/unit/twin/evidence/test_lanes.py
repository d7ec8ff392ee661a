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

def played(*, folder, seed, broken=False, name="x", until=None):
    if broken:
        raise RuntimeError("no stack")
    place = folder.parent.parent.parent
    with (place / "plays").open("a") as plays:
        print(name, file=plays)
    while until is not None and until not in (place / "plays").read_text().split():
        time.sleep(0.01)
    folder.mkdir(parents=True)
    (folder / "niceness").write_text(str(os.nice(0)))

def of_play(*, rows, seed, record, worse=False):
    return [{"ms": 100.0 * worse, "niceness": int((record / "niceness").read_text())}] * rows

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


def claim_of(
    own_text: str, number: int, source: str, control: dict[str, Any] | None = None, **measure: Any
) -> Claim:
    raw = yaml.safe_load(own_text) | {
        "id": f"6.{number}", "source": source, "measure": measure,
        "control": {"says": "x", "options": {"worse": True, **(control or {})}, "rows": 1},
    }  # fmt: skip
    return parse(yaml.safe_dump(raw).encode(), "own.yaml")


def all_of(folder: Path, claims: list[Claim]) -> None:
    """As the command measures them."""
    lanes.measure_all(folder, claims, level="quick", seed=1, advance=lambda _: None)


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
    lanes.measure_all(folder, [computing, waiting], level="quick", seed=1, advance=seen.append)
    assert niceness(folder, "6.1") == {lanes.LOWEST}
    assert niceness(folder, "6.2") == {os.nice(0)}
    assert seen[-1] == pytest.approx(
        sum(one.level("quick").minutes for one in (computing, waiting))
    )
    again: list[float] = []
    lanes.measure(folder, [computing, waiting], level="quick", seed=1, advance=again.append)
    assert len(again) == 4  # all of it is there


def test_a_claim_of_two_worlds_is_simulated_in_one_lane_and_played_in_the_other(
    own_text: str, folder: Path
) -> None:
    claim = claim_of(own_text, 1, "staging", **TWO_WORLDS)
    all_of(folder, [claim])
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
    all_of(folder, [claim_of(own_text, 1, "staging", **broken)])
    measured = bundle.measured(folder, "6.1", "measured")
    assert measured.rows == ()
    assert measured.failure == "RuntimeError: no stack"


def test_the_record_of_a_control_is_played_beside_that_of_the_measurement(
    own_text: str, folder: Path
) -> None:
    """Each play waits for the other to have begun: one after the other they would wait for ever."""
    claim = claim_of(
        own_text, 1, "staging", {"record": {"name": "broken", "until": "whole"}},
        all=f"{MODULE}:of_play", record=f"{MODULE}:played",
        options={"record": {"name": "whole", "until": "broken"}},
    )  # fmt: skip
    all_of(folder, [claim])
    assert sorted((folder.parent / "plays").read_text().split()) == ["broken", "whole"]
    assert niceness(folder, "6.1") == {os.nice(0)}


def test_what_is_asked_for_in_the_same_words_is_played_once(own_text: str, folder: Path) -> None:
    """Also where the control of one claim goes by the record of another's measurement."""
    play = {"all": f"{MODULE}:of_play", "record": f"{MODULE}:played"}
    first = claim_of(
        own_text, 1, "staging", {"record": {"name": "b"}}, **play, options={"record": {"name": "a"}}
    )
    second = claim_of(own_text, 2, "staging", **play, options={"record": {"name": "a"}})
    third = claim_of(
        own_text, 3, "staging", {"record": {"name": "a"}}, **play, options={"record": {"name": "c"}}
    )
    all_of(folder, [first, second, third])
    assert sorted((folder.parent / "plays").read_text().split()) == ["a", "b", "c"]
    for name in ("6.1", "6.2", "6.3"):
        assert niceness(folder, name)


def test_what_says_how_fast_something_is_has_the_machine_to_itself(
    own_text: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fast = claim_of(own_text, 1, "staging", all=f"{MODULE}:rows", alone=True)
    computing = claim_of(own_text, 2, "twin", each=f"{MODULE}:row")
    waiting = claim_of(own_text, 3, "staging", all=f"{MODULE}:rows")
    beside: dict[str, bool] = {}
    measure = measuring.measure

    def noting(folder: Path, claim: Claim, *args: Any, **named: Any) -> None:
        beside.setdefault(claim.id, bool(multiprocessing.active_children()))
        measure(folder, claim, *args, **named)

    monkeypatch.setattr(measuring, "measure", noting)
    all_of(folder, [waiting, computing, fast])
    assert beside["6.1"] is False
    assert beside["6.3"] is True


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
