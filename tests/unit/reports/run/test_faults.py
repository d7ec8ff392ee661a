"""The faults of a run, as its report marks them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from reports.run import reading
from reports.run.faults import faults as faults_of

Make = Callable[..., Any]


def test_faults_are_paired_and_one_without_an_end_lasts(made: Make, tmp_path: Path) -> None:
    whole = made(60)
    start_s = float(whole.timeline["time_s"].min())
    whole.events = [
        {"time_s": start_s + 10, "kind": "fault_started", "name": "a"},
        {"time_s": start_s + 20, "kind": "fault_started", "name": "b"},
        {"time_s": start_s + 30, "kind": "fault_ended", "name": "a", "detail": "fired 7 times"},
        {"time_s": start_s + 40, "kind": "fault_ended", "name": "never_started"},
        {"time_s": start_s + 50, "kind": "fault_fired", "name": "c"},
    ]
    run = reading.load(whole.write(tmp_path / "r"))
    faults = faults_of(run)
    assert [(f.letter, f.name, f.ended) for f in faults] == [
        ("A", "a", True), ("B", "b", False), ("C", "c", True),
    ]  # fmt: skip
    assert (faults[0].end_s, faults[0].detail) == (start_s + 30, "fired 7 times")
    assert faults[1].end_s == run.span_s[1]
    assert faults[2].end_s == faults[2].start_s
