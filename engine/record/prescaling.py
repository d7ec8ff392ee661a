"""The rows of `prescaling.parquet`: one for each group of major events and service."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pandas as pd

from engine.record.readiness import Readiness

COLUMNS = {
    "at_s": "float64",
    "events": "int64",
    "service": "object",
    "waited_for": "bool",
    "need": "float64",
    "ready": "int64",
    "lead_ready": "float64",
    "lead_floor": "float64",
    "price_per_hour": "float64",
}


def table(rows: Sequence[Readiness]) -> pd.DataFrame:
    """All rows."""
    frame = pd.DataFrame([dataclasses.asdict(row) for row in rows], columns=list(COLUMNS))
    return frame.astype(COLUMNS)
