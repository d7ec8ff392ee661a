"""Figures and samples as answers show them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from engine.model import SAMPLE_FIELDS, FloatArray

TREND_FIELDS = ("cpu", "memory", "request_rate", "p95_s", "error_rate", "queue_depth")
POINTS = 60
"""Values of a series: each is the mean of as long a part of the range."""
F = {name: i for i, name in enumerate(SAMPLE_FIELDS)}


def figure(value: float, digits: int = 6) -> float | None:
    """A figure as JSON has it: so many significant digits, None where it is not known."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None


def sample(row: FloatArray | None) -> dict[str, Any] | None:
    """A sample by the names of its fields; the time in milliseconds, as it was taken."""
    if row is None:
        return None
    return {
        name: round(value, 3) if name == "time_s" else figure(value)
        for name, value in zip(SAMPLE_FIELDS, row.tolist(), strict=True)
    }


def series_of(rows: FloatArray, now_s: float, range_s: float) -> dict[str, list[float | None]]:
    """The figures in `POINTS` equal parts of the range, None where there is no sample."""
    part_s = range_s / POINTS
    ends = [round(now_s - range_s + (i + 1) * part_s, 3) for i in range(POINTS)]
    series: dict[str, list[float | None]] = {"time_s": [float(end) for end in ends]}
    at = ((rows[:, F["time_s"]] - (now_s - range_s)) / part_s - 1e-9).astype(np.int64)
    at = np.clip(at, 0, POINTS - 1)
    for name in TREND_FIELDS:
        values = rows[:, F[name]]
        there = np.isfinite(values)
        sums = np.bincount(at[there], weights=values[there], minlength=POINTS)
        counts = np.bincount(at[there], minlength=POINTS)
        means = sums / np.maximum(counts, 1)
        series[name] = [
            figure(mean) if count else None
            for mean, count in zip(means.tolist(), counts.tolist(), strict=True)
        ]
    return series
