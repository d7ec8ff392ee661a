"""Rows of the monitor's accuracy: what is felt and found, and that broken monitors are seen."""

from __future__ import annotations

import math
from typing import Any

from twin.detect import worlds
from twin.detect.score import Quiet, Saturday, Scored
from twin.evidence.claims import read
from twin.evidence.judgement import MeasuredRows, judge
from twin.evidence.measures import detection

CLAIM = read()["3.2"][0]
SOON: dict[str, Any] = {"shown_after_s": 5.0, "after_s": 10.0, "after_shown_s": 5.0}
NEVER: dict[str, Any] = {"due": 0, "after_s": math.nan, "after_shown_s": math.nan, "blamed": False}


def scored(**changes: Any) -> Scored:
    figures: dict[str, Any] = {
        "index": 0, "kind": "slow_service", "seed": 1, "fired": 5, "began_s": 2500.0,
        "shows": True, "alarms": 2, "due": 2, "blamed": True, **SOON,
    }  # fmt: skip
    return Scored(**(figures | changes))


def judged(rows: list[dict[str, Any]], control: list[dict[str, Any]]) -> dict[str, Any]:
    return judge(CLAIM, MeasuredRows(tuple(rows)), MeasuredRows(tuple(control)))


def as_wished() -> list[dict[str, Any]]:
    """So many worlds and Saturdays that all intervals keep their limits."""
    rows = [detection._fault_row("real", scored()) for _ in range(100)]
    rows += [detection._quiet_row("real", Quiet(k, (), 0.05)) for k in range(100)]
    rows += [
        detection._saturday_row(Saturday(k, (), ("9 s: api change",) * (2 + k % 2), 0.7))
        for k in range(100)
    ]
    return rows


def broken() -> list[dict[str, Any]]:
    deaf = [detection._fault_row("deaf", scored(**NEVER)) for _ in range(3)]
    return [*deaf, detection._quiet_row("alarmist", Quiet(1, ("1 s: api cpu",) * 40, 0.05))]


def test_a_fault_that_nobody_found_counts_with_all_that_was_left_of_its_world() -> None:
    row = detection._fault_row("real", scored(**NEVER))
    assert (row["found"], row["noticed"], row["blamed"]) == (0, 0, None)
    assert row["after_s"] == worlds.WINDOW_S - 2500.0


def test_a_fault_that_nobody_felt_or_that_did_nothing_says_nothing_of_the_recall() -> None:
    unfelt = detection._fault_row("real", scored(shows=False))
    assert (unfelt["found"], unfelt["after_s"], unfelt["noticed"]) == (None, None, 1)
    idle = detection._fault_row("real", scored(fired=0, began_s=math.nan))
    assert {idle[name] for name in ("shows", "found", "noticed", "blamed", "after_s")} == {None}


def test_the_claim_is_shown_by_enough_of_them_and_by_broken_monitors() -> None:
    assert judged(as_wished(), broken())["outcome"] == "shown in simulation only"


def test_it_is_not_shown_once_anything_is_amiss() -> None:
    worse = {
        "recall": [detection._fault_row("real", scored(**NEVER))] * 3,
        "after": [detection._fault_row("real", scored(after_s=40.0))] * 120,
        "cause": [detection._fault_row("real", scored(blamed=False))] * 9,
        "false_alarms": [detection._quiet_row("real", Quiet(1, ("1 s: api cpu",) * 4, 0.05))],
        "saturday": [detection._saturday_row(Saturday(1, ("1 s: api cpu",), (), 0.7))],
        "without_calendar": [detection._saturday_row(Saturday(1, (), (), 0.7))] * 250,
    }
    assert set(worse) == {figure.name for figure in CLAIM.figures}
    for name, rows in worse.items():
        result = judged([*as_wished(), *rows], broken())
        assert result["reason"].startswith(f"{name}: "), result["reason"]


def test_a_control_of_which_only_one_monitor_is_seen_is_none() -> None:
    for part in (broken()[:3], broken()[3:]):
        assert "negative control did not fail" in judged(as_wished(), part)["reason"]


def test_broken_monitors_see_the_same_worlds_and_are_seen_to_be_broken() -> None:
    deaf, alarmist = (
        [row for row in made if row["monitor"] == name]
        for made in [detection._group(((3, 0, 1, ()), ("deaf", "alarmist")))]
        for name in ("deaf", "alarmist")
    )
    assert [row["fault"] for row in deaf] == [None, "flash_crowd"]
    assert [row["world"] for row in deaf] == [row["world"] for row in alarmist]
    assert deaf[0]["alarms"] == 0 and alarmist[0]["alarms"] >= 40
    # What alarms as much without the fault has found nothing.
    assert {row["noticed"] for row in deaf[1:] + alarmist[1:]} == {0}
