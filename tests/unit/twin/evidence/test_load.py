"""What a stretch of a load counts, of a record made by hand."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from twin.evidence.measures.load import stretches

NAN = float("nan")


@pytest.fixture
def record(tmp_path: Path) -> Path:
    load = [
        # time_s, sent, dropped, failed, shed, timed_out, slow
        (1000.0, 50, 1, 1, 2, 3, 4),
        (1009.0, 50, 0, 0, 0, 0, 0),
        (1010.0, 20, 0, 0, 5, 0, 0),
        (1020.0, 99, 9, 9, 9, 9, 9),
    ]
    columns = ["time_s", "sent", "dropped", "failed", "shed", "timed_out", "slow"]
    pd.DataFrame(load, columns=columns).to_parquet(tmp_path / "load.parquet")
    decisions = [
        ("action", 970.0, 990.0),
        ("action", 1009.9, NAN),
        ("recommendation", 1011.0, NAN),
        ("action", 1010.0, 1030.0),
        ("action", 1020.0, 1040.0),
    ]
    columns = ["kind", "time_s", "completed_s"]
    pd.DataFrame(decisions, columns=columns).to_parquet(tmp_path / "decisions.parquet")
    return tmp_path


def test_attempts_and_actions_count_in_the_stretch_in_which_they_were_due(record: Path) -> None:
    assert stretches(rows=2, seed=1, record=record) == [
        # The first also has what was decided before the load began.
        {"requests": 101, "missed": 11, "asked": 2, "done": 1},
        {"requests": 20, "missed": 5, "asked": 1, "done": 1},
    ]


def test_a_load_that_ended_early_has_empty_stretches(record: Path) -> None:
    assert stretches(rows=4, seed=1, record=record)[3] == {
        "requests": 0,
        "missed": 0,
        "asked": 0,
        "done": 0,
    }
