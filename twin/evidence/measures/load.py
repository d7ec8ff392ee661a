"""Rows that are stretches of a real load on the staging stack, with the engine in the loop."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

STRETCH_S = 10.0
"""A row is so long, wall time: as long as a step of the engine needs to show."""
SENT = ["sent", "dropped"]
MISSED = ["failed", "shed", "timed_out", "dropped", "slow"]
"""As `slo.violation_ratio` of a load counts them."""


def stretches(*, rows: int, seed: int, record: Path) -> list[dict[str, Any]]:
    """The first `rows` stretches of a record that holds a load's results beside the engine's.

    Columns: `requests`, attempts that were due, retries included, and `missed` of them (failed, not
    answered, or slower than the limit of their service); `asked` and `done`, the actions that the
    engine decided in the stretch and those of them that the stack carried out.  What was decided
    before the first request counts in the first row.
    """
    del seed  # the record was played with it
    load = pd.read_parquet(record / "load.parquet")
    decisions = pd.read_parquet(record / "decisions.parquet")
    actions = decisions[decisions["kind"] == "action"]
    begun_s = float(load["time_s"].min())
    made = []
    for row in range(rows):
        from_s, until_s = begun_s + row * STRETCH_S, begun_s + (row + 1) * STRETCH_S
        due = load[(load["time_s"] >= from_s) & (load["time_s"] < until_s)]
        decided = actions[actions["time_s"] < until_s]
        if row:
            decided = decided[decided["time_s"] >= from_s]
        made.append(
            {
                "requests": int(due[SENT].to_numpy().sum()),
                "missed": int(due[MISSED].to_numpy().sum()),
                "asked": len(decided),
                "done": int(decided["completed_s"].notna().sum()),
            }
        )
    return made
