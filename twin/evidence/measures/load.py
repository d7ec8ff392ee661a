"""Rows that are stretches of a real load on the staging stack, with the engine in the loop."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from engine.config.composition import composed
from engine.config.strict import validated
from twin.staging.demo import Play, play
from twin.staging.settings import StagingConfig

STRETCH_S = 10.0
"""A row is so long, wall time: as long as a step of the engine needs to show."""
LEAD_S = 35.0
SPEED = 60.0
SENT = ["sent", "dropped"]
MISSED = ["failed", "shed", "timed_out", "dropped", "slow"]
"""As `slo.violation_ratio` of a load counts them."""


def scaled(
    *,
    rows: int,
    seed: int,
    scenario: str = "june_peak",
    start: str = "peak-5400",
    scale: float = 0.001,
    engine: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """A stretch of a scenario's day, played by Locust on a stack that is brought up for it.

    `rows` stretches of `STRETCH_S` from `start` on, 60 times as fast as the day and `scale` of its
    load; the engine starts at the stack's minimum, `LEAD_S` before the first request.  Columns:
    `requests`, attempts that were due, retries included, and `missed` of them (failed, not
    answered, or slower than the limit of their service); `asked` and `done`, the actions that the
    engine decided in the stretch and those of them that the stack carried out.  What was decided
    before the first request counts in the first row.  `engine` are overrides of its settings.

    Raises StackError where the stack or Locust cannot be started.
    """
    with tempfile.TemporaryDirectory(prefix="wt-", dir="/tmp") as folder:
        place = Path(folder)
        place.chmod(0o755)  # PostgreSQL's own user has to enter it
        config = validated(
            StagingConfig, composed([f"folder={place / 'stack'}", f"seed={seed}"], root="staging")
        )
        played = play(
            config.wish(),
            Play(
                scenario=scenario,
                scale=scale,
                speed=SPEED,
                start=start,
                duration_s=rows * STRETCH_S * SPEED,
                lead_s=LEAD_S,
                limits=(),
                engine_limits={},
                seed=seed,
                output=place / "runs",
                platform=(),
                engine=engine,
            ),
            lambda _: None,
        )
        return stretches(played.record, rows)


def stretches(record: Path, rows: int) -> list[dict[str, Any]]:
    """The first `rows` stretches of a record that holds a load's results beside the engine's."""
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
