"""Which emergencies of a play count, and from when on, of a record made by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from twin.evidence.measures.emergencies import accepted

NAN = float("nan")
USUAL = [(1000.0 + second, 100) for second in range(6)]
SURGE = [*USUAL, (1006.0, 149), (1007.0, 150), (1008.0, 600), (1040.0, 600)]
"""It begins at 1007 s: half more than what was usual before."""
DECISIONS = [
    # kind, category, time_s, trigger_s, accepted_s
    ("action", "emergency", 1003.0, 1001.0, 1003.1),  # before the surge
    ("action", "automatic", 1009.0, 1009.0, 1009.1),
    ("recommendation", "", 1012.0, 1010.0, NAN),
    ("action", "emergency", 1012.0, 1010.0, NAN),  # never accepted
    ("action", "emergency", 1013.0, 1008.0, 1014.0),
    ("action", "emergency", 1020.0, 1018.5, 1021.0),
]


def record(
    folder: Path, load: list[tuple[float, int]], decisions: list[tuple[object, ...]]
) -> Path:
    # Each second has two rows, one a service; half is sent by each.
    rows = [(time_s, sent / 2) for time_s, sent in load for _ in range(2)]
    pd.DataFrame(rows, columns=["time_s", "sent"]).to_parquet(folder / "load.parquet")
    columns = ["kind", "category", "time_s", "trigger_s", "accepted_s"]
    pd.DataFrame(decisions, columns=columns).to_parquet(folder / "decisions.parquet")
    return folder


def test_each_emergency_that_was_accepted_in_the_surge_is_a_row(tmp_path: Path) -> None:
    assert accepted(record=record(tmp_path, SURGE, [*DECISIONS]), seed=1) == [
        {"staged_emergency_s": 6.0, "staged_surge_s": 7.0},
        {"staged_emergency_s": 2.5, "staged_surge_s": 14.0},
    ]


def test_without_an_emergency_all_that_was_left_of_the_load_counts(tmp_path: Path) -> None:
    assert accepted(record=record(tmp_path, SURGE, DECISIONS[:4]), seed=1) == [
        {"staged_emergency_s": 33.0, "staged_surge_s": 33.0}
    ]


def test_a_load_without_a_surge_cannot_be_judged(tmp_path: Path) -> None:
    folder = record(tmp_path, [*USUAL, (1006.0, 149)], [*DECISIONS])
    with pytest.raises(ValueError, match="no surge in the load"):
        accepted(record=folder, seed=1)
