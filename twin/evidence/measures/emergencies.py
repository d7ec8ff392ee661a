"""Rows that are emergencies of the engine on the staging stack, out of the record of a play."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from engine.model import Category

HALF_MORE = 1.5
"""A surge begins with the first second in which so many times as much is sent as usual before."""
USUAL_S = 5
"""Seconds of load that have to be there before it."""


def accepted(*, record: Path, seed: int) -> list[dict[str, Any]]:
    """A row for each emergency action that the stack accepted after the surge began.

    Columns, in seconds of wall time: `staged_emergency_s`, from the sample that it goes by to its
    acceptance, and `staged_surge_s`, from the beginning of the surge to that.  Without any such
    action a row has the time that was left of the load.

    Raises ValueError where the record's load has no surge.
    """
    del seed  # the record was played with it
    load = pd.read_parquet(record / "load.parquet")
    sent = load.groupby("time_s")["sent"].sum()
    begun_s, end_s = _surge_s(sent.index.to_numpy(), sent.to_numpy()), float(sent.index[-1])
    decisions = pd.read_parquet(record / "decisions.parquet")
    emergencies = decisions[
        (decisions["kind"] == "action")
        & (decisions["category"] == Category.EMERGENCY)
        & (decisions["time_s"] >= begun_s)
        & decisions["accepted_s"].notna()
    ]
    if emergencies.empty:
        return [{"staged_emergency_s": end_s - begun_s, "staged_surge_s": end_s - begun_s}]
    return [
        {
            "staged_emergency_s": float(accepted_s - trigger_s),
            "staged_surge_s": float(accepted_s - begun_s),
        }
        for accepted_s, trigger_s in emergencies[["accepted_s", "trigger_s"]].to_numpy()
    ]


def _surge_s(times_s: np.ndarray, sent: np.ndarray) -> float:
    """When what is `sent` (seconds,) grows by half; raises ValueError if it never does."""
    for at in range(USUAL_S, len(sent)):
        if sent[at] >= HALF_MORE * np.median(sent[:at]):
            return float(times_s[at])
    raise ValueError(f"there is no surge in the load: never {HALF_MORE:g} times the usual")
