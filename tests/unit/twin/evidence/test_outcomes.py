"""What came of each action, of records made by hand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from twin.evidence.measures.outcomes import after_actions

T = 1000.0
SECONDS = 120
RATE, SERVICE_S, SLOTS = 60, 0.08, 8
"""60 requests/s of 0.08 s each keep 4.8 slots busy: 0.3 of two instances, 0.6 of one."""

NAN = float("nan")
Actions = Sequence[tuple[float, int, float, float]]


def record(folder: Path, ready: Sequence[tuple[float, int]], actions: Actions) -> Path:
    """A load of `real-time` alone; `ready` (time, count), `actions` (time, to, served, done)."""
    load = pd.DataFrame({"time_s": [T + s for s in range(SECONDS)]})
    load["service"], load["sent"] = "real-time", RATE
    load.to_parquet(folder / "load.parquet")
    timeline: list[dict[str, Any]] = []
    for at in range(-5, SECONDS + 5, 5):
        count = [n for since, n in ready if since <= at][-1]
        busy = RATE * SERVICE_S / (SLOTS * count) if count else NAN
        timeline.append({"service": "real-time", "ready": count, "cpu": busy})
        timeline += [{"service": "api", "ready": 2, "cpu": NAN}]
        timeline += [{"service": s, "ready": 1, "cpu": NAN} for s in OTHERS]
        for row in timeline[-2 - len(OTHERS) :]:
            row["time_s"] = T + at
    pd.DataFrame(timeline).to_parquet(folder / "timeline.parquet")
    made = [
        ("action", "real-time", T + at, to, T + served, T + done, "forecast")
        for at, to, served, done in actions
    ]
    columns = ["kind", "service", "time_s", "to_instances", "served_s", "completed_s", "reason"]
    declined = ("recommendation", "real-time", T + 1, 99, NAN, NAN, "forecast")
    pd.DataFrame([*made, declined], columns=columns).to_parquet(folder / "decisions.parquet")
    return folder


OTHERS = ("database", "file-storage", "ai-services")


def test_an_action_is_compared_with_need_and_with_the_twin(tmp_path: Path) -> None:
    made = record(tmp_path, [(-9, 1), (25, 2)], [(10, 2, 25, 25)])
    (row,) = after_actions(rows=1, seed=1, record=made)
    # From 5 s after it served to the load's end.
    assert (row["ordered"], row["seconds"], row["short"]) == (2, SECONDS - 30, 0)
    # One instance has 0.6 of its slots busy, within its SLO of 0.5 s: one is needed.
    assert row["needed"] == 1
    assert row["live_busy"] == pytest.approx(0.3)
    # Four and a half thousand requests: the mean of their times is known to about 1 %.
    assert row["twin_busy"] == pytest.approx(0.3, abs=0.02)
    assert row["apart"] == abs(row["live_busy"] - row["twin_busy"])


def test_a_twin_with_a_wrong_service_time_is_far_away(tmp_path: Path) -> None:
    made = record(tmp_path, [(-9, 1), (25, 2)], [(10, 2, 25, 25)])
    (row,) = after_actions(rows=1, seed=1, record=made, service_time=1.5)
    assert row["apart"] == pytest.approx(0.15, abs=0.03)


def test_each_action_has_the_time_until_the_next_one(tmp_path: Path) -> None:
    made = record(
        tmp_path,
        [(-9, 1), (20, 2), (70, 1)],
        # The second gives way to the third before it has an outcome; who leaves never serves.
        [(5, 2, 20, 20), (50, 3, 55, 55), (60, 1, NAN, 70)],
    )
    first, last = after_actions(rows=9, seed=1, record=made)
    assert after_actions(rows=1, seed=1, record=made) == [first]
    assert (first["ordered"], first["seconds"]) == (2, 25)
    assert (last["ordered"], last["seconds"]) == (1, SECONDS - 75)


def test_seconds_with_too_few_instances_are_short(tmp_path: Path) -> None:
    # 60 requests/s keep 4.8 slots busy; none is ready from the hundredth second on.
    made = record(tmp_path, [(-9, 1), (25, 2), (100, 0)], [(10, 2, 25, 25)])
    (row,) = after_actions(rows=1, seed=1, record=made)
    assert row["short"] == SECONDS - 100


def test_a_record_of_another_platform_is_refused(tmp_path: Path) -> None:
    made = record(tmp_path, [(-9, 1)], [])
    load = pd.read_parquet(made / "load.parquet").assign(service="checkout")
    load.to_parquet(made / "load.parquet")
    with pytest.raises(ValueError, match="staging has no service checkout"):
        after_actions(rows=1, seed=1, record=made)


def test_a_record_without_a_request_is_refused(tmp_path: Path) -> None:
    made = record(tmp_path, [(-9, 1)], [])
    pd.read_parquet(made / "load.parquet").iloc[:0].to_parquet(made / "load.parquet")
    with pytest.raises(ValueError, match="no request was sent"):
        after_actions(rows=1, seed=1, record=made)
