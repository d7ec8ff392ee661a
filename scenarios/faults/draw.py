"""Draws of plain values, short enough to be read in a scenario file."""

from __future__ import annotations

from typing import Any

import numpy as np


class Draw:
    """Draws as plain Python values, short enough to be read."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def chance(self, probability: float) -> bool:
        """True with this probability."""
        return bool(self._rng.random() < probability)

    def whole(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return int(self._rng.integers(low, high, endpoint=True))

    def real(self, low: float, high: float) -> float:
        """A number between, rounded to three digits."""
        return float(f"{self._rng.uniform(low, high):.3g}")

    def log(self, low: float, high: float) -> float:
        """A number between, even in the logarithm."""
        return float(f"{np.exp(self._rng.uniform(np.log(low), np.log(high))):.3g}")

    def one_of(self, values: list[Any]) -> Any:
        """One of the values."""
        return values[int(self._rng.integers(len(values)))]

    def some_of(self, values: list[Any], least: int, most: int) -> list[Any]:
        """Between `least` and `most` of the values, in their order."""
        count = min(self.whole(least, most), len(values))
        rows = sorted(self._rng.choice(len(values), count, replace=False).tolist())
        return [values[row] for row in rows]
