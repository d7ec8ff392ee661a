"""Twice unusual: a value far from the last ones, and far from this time of other days.

Either alone alarms on what is only the course of a day, or only a new level.  The distance from the
last values is in standard deviations of the logarithm (with a least spread, so that no hundredth of
a calm series is far); the distance from other days in robust spreads of what was left beside the
median of the same slot of the last days.  Their geometric mean is the answer.  Before a slot was
seen on `LEAST_DAYS` days the first alone counts, for less.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.monitoring.picture import Arrays

LEAST = 24
LEAST_SPREAD = 0.1
"""Of the logarithm: a tenth is nothing to hear of."""
DAYS, LEAST_DAYS = 7, 3
DAY_S = 86_400.0
ALONE = 0.7
"""The weight of the last values where other days say nothing yet."""
MAD = 1.4826
"""sigma / median |x - median| of a normal distribution."""
MOST = 1e3
"""No distance says more than this."""


class SeriesDepartures:
    """How far values of `rows` series are from the last ones and from other days.

    A value is compared with the `last` ones, its slot of `slots` a day with the last days, and what
    is left then with what was `left` of so many values.
    """

    def __init__(self, rows: int, last: int = 288, left: int = 576, slots: int = 96) -> None:
        self._rows, self._last, self._left, self._slots = rows, last, left, slots

    def begin(self) -> Arrays:
        """No value was seen."""
        rows = self._rows
        return {
            "last": np.full((rows, self._last), np.nan),
            "left": np.full((rows, self._left), np.nan),
            "slots": np.full((rows, self._slots, DAYS), np.nan),
            "slot": np.full(rows, -1.0),
            "sum": np.zeros(rows),
            "count": np.zeros(rows),
        }

    def look(
        self, memory: Arrays, values: FloatArray, time_s: float | FloatArray
    ) -> tuple[Arrays, FloatArray]:
        """The memory with `values` (rows,) of `time_s`, and the distance of each; 0 for none."""
        there = ~np.isnan(values)
        slot = np.floor(np.asarray(time_s) % DAY_S / (DAY_S / self._slots)) + np.zeros(len(values))
        memory = _turned(memory, slot, there)
        own = memory["slots"][np.arange(len(values)), slot.astype(np.intp)]
        days = (~np.isnan(own)).sum(axis=1)
        often = there & (days >= LEAST_DAYS)
        left = np.where(often, values - _median(own), np.nan)
        of_last = _standard(memory["last"], logarithm(values))
        of_days = _robust(memory["left"], left)
        both = np.where(
            np.isnan(of_days), ALONE * of_last, np.sqrt(of_last * np.where(often, of_days, 0.0))
        )
        after = {
            **memory,
            "last": _pushed(memory["last"], logarithm(values), there),
            "left": _pushed(memory["left"], left, ~np.isnan(left)),
            "sum": memory["sum"] + np.where(there, values, 0.0),
            "count": memory["count"] + there,
        }
        return after, np.where(there & ~np.isnan(both), both, 0.0)


def logarithm(values: FloatArray) -> FloatArray:
    """log(1 + |x|) with the sign of x: ratios of what is large, differences of what is small."""
    scaled: FloatArray = np.sign(values) * np.log1p(np.abs(values))
    return scaled


def _turned(memory: Arrays, slot: FloatArray, there: NDArray[np.bool_]) -> Arrays:
    """The memory with the slots that ended before `slot` began: their mean is of one more day."""
    ended = there & (memory["slot"] != slot) & (memory["count"] > 0.0)
    slots = memory["slots"]
    if ended.any():
        slots = slots.copy()
        for i in np.flatnonzero(ended).tolist():
            past = slots[i, int(memory["slot"][i])]
            past[:-1] = past[1:]
            past[-1] = memory["sum"][i] / memory["count"][i]
    return {
        **memory,
        "slots": slots,
        "slot": np.where(there, slot, memory["slot"]),
        "sum": np.where(ended, 0.0, memory["sum"]),
        "count": np.where(ended, 0.0, memory["count"]),
    }


def _standard(past: FloatArray, values: FloatArray) -> FloatArray:
    """Standard deviations from the mean of the past; NaN where that is too short."""
    inside = ~np.isnan(past)
    count = inside.sum(axis=1)
    whole = np.maximum(count, 1)
    mean = np.where(inside, past, 0.0).sum(axis=1) / whole
    spread = np.sqrt((np.where(inside, past - mean[:, None], 0.0) ** 2).sum(axis=1) / whole)
    distance = np.minimum(np.abs(values - mean) / (spread + LEAST_SPREAD), MOST)
    far: FloatArray = np.where(count >= LEAST, distance, np.nan)
    return far


def _robust(past: FloatArray, values: FloatArray) -> FloatArray:
    """Robust spreads from the median of the past; NaN where that is too short."""
    enough = (~np.isnan(past)).sum(axis=1) >= LEAST
    distance = np.full(len(values), np.nan)
    if enough.any():
        own = past[enough]
        centre = _median(own)
        spread = MAD * _median(np.abs(own - centre[:, None]))
        departure = np.abs(values[enough] - centre)
        flat = np.where(departure > 0.0, MOST, 0.0)
        far = np.where(spread > 0.0, departure / np.where(spread > 0.0, spread, 1.0), flat)
        distance[enough] = np.minimum(far, MOST)
    return distance


def _median(past: FloatArray) -> FloatArray:
    """The median of each row, leaving out NaN; NaN where there is nothing."""
    ordered = np.sort(past, axis=1)  # NaN come last
    count = (~np.isnan(past)).sum(axis=1)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    rows = np.arange(len(past))
    middle: FloatArray = 0.5 * (
        ordered[rows, low] + ordered[rows, np.minimum(high, past.shape[1] - 1)]
    )
    return np.where(count > 0, middle, np.nan)


def _pushed(ring: FloatArray, values: FloatArray, there: NDArray[np.bool_]) -> FloatArray:
    pushed: FloatArray = np.where(
        there[:, None], np.concatenate((ring[:, 1:], values[:, None]), axis=1), ring
    )
    return pushed
