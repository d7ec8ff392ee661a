"""Faults, events and findings, as a report tells them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from reports.run import happenings, reading

Make = Callable[..., Any]
FINDING = {
    "service": "api", "kind": "queue_growth", "cause": "slow_callee", "cause_service": "database",
    "figure": "queue_depth", "value": 40.0, "limit": float("nan"), "low": float("nan"),
    "high": 12.5, "recommendation": "Add instances.",
}  # fmt: skip


def test_the_worst_findings_are_shown_in_the_order_in_which_they_were_noticed(
    made: Make, tmp_path: Path
) -> None:
    record = reading.load(made(60).write(tmp_path / "r"))
    rows = [
        {**FINDING, "time_s": 300.0 + k, "ended_s": float("nan"), "severity": "warning"}
        for k in range(happenings.EVENTS_SHOWN)
    ]
    rows.append(
        {**FINDING, "time_s": 900.0, "ended_s": 960.0, "severity": "critical", "limit": 9.0}
    )
    shown = happenings.findings_table(replace(record, findings=pd.DataFrame(rows)))
    assert shown is not None
    assert len(shown.rows) == happenings.EVENTS_SHOWN
    assert shown.rows[0] == (
        "00:05:00", "lasts", "api", "queue growth", "warning", "slow callee at database",
        "queue depth 40, band … – 12.5", "Add instances.",
    )  # fmt: skip
    assert shown.rows[-1][1:6:3] == ("00:16:00", "critical")
    assert shown.rows[-1][6] == "queue depth 40, threshold 9"
    assert happenings.findings_table(replace(record, findings=record.findings.iloc[:0])) is None
