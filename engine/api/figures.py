"""Figures and samples as answers show them."""

from __future__ import annotations

import math
from typing import Any

from engine.model import SAMPLE_FIELDS, FloatArray


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
