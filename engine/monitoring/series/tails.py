"""Several features of a series in their tails at once: a sum of tail ranks.

Each value gives seven features, of itself and of what came before: a new extreme, the distance from
the last 288 values, the error of Holt's smoothing, the spread of the last 50, the shift of the last
30, a new extreme of the mean of six, and how far the last twelve are from those 288 values earlier
(a day, at five minutes).  The tail rank of a feature is the share of the past in which it was as
large, and minus its decimal logarithm counts: features without a tail of their own say nothing, and
none needs a scale.  Only the largest of each feature are kept, which is all that a tail needs; they
fade.  After an alarm a series rests: a sum speaks only if it is above all of the last `rest` ones.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray
from engine.monitoring.picture import Arrays

FEATURES = (
    "new extreme", "distance", "forecast error", "spread", "shift", "new extreme of the mean",
    "beside the day before",
)  # fmt: skip
LONG, SPREAD, SHIFT, SHORT, DAY = 288, 50, 30, 6, 12
"""Values of which each feature is made."""
RING = LONG + DAY
KEPT = 32
"""So many of the largest of each feature are kept."""
FADE = 1.0 - 1.0 / 5000.0
LEAST = 30
"""Before so many values no feature has a rank."""
LEVEL_GAIN, TREND_GAIN = 0.3, 0.05
_NUMBERS = np.arange(LONG)
MOST_FAR = 1e6
"""How far a value is from others that were all the same."""


class SeriesTails:
    """Sums of tail ranks of `rows` series; one speaks if none of the last `rest` was as large."""

    def __init__(self, rows: int, rest: int = 96) -> None:
        self._rows, self._rest = rows, rest

    def begin(self) -> Arrays:
        """No value was seen."""
        rows, kept = self._rows, (self._rows, len(FEATURES), KEPT)
        return {
            "ring": np.zeros((rows, RING)),
            "seen": np.zeros(rows),
            "low": np.full((rows, 2), np.nan),
            "high": np.full((rows, 2), np.nan),
            "level": np.zeros(rows),
            "trend": np.zeros(rows),
            "largest": np.full(kept, -1.0),
            "weight": np.zeros(kept),
            "all": np.zeros(rows),
            "recent": np.zeros((rows, self._rest)),
        }

    def look(self, memory: Arrays, values: FloatArray) -> tuple[Arrays, FloatArray]:
        """The memory with `values` (rows,), and the sum of each row; 0 where it is not to speak."""
        there = ~np.isnan(values)
        now = np.where(there, values, memory["ring"][:, -1])
        features, after = _features(memory, now)
        largest, weight = memory["largest"], memory["weight"]
        above = (weight * (largest >= features[:, :, None])).sum(axis=2)
        rows, columns = np.ogrid[: largest.shape[0], : largest.shape[1]]
        least_at = rows, columns, largest.argmin(axis=2)
        least = largest[least_at]
        in_tail = (features > least) & (memory["seen"] >= LEAST)[:, None]
        ranks = np.where(in_tail, np.log10((memory["all"][:, None] + 1.0) / (above + 1.0)), 0.0)
        sums = np.where(there, np.maximum(ranks, 0.0).sum(axis=1), 0.0)
        larger = features > least
        largest, weight = largest.copy(), weight * FADE
        largest[least_at] = np.where(larger, features, least)
        weight[least_at] = np.where(larger, 1.0, weight[least_at])
        recent = memory["recent"]
        speaks = sums > recent.max(axis=1, initial=0.0)
        after |= {
            "largest": largest,
            "weight": weight,
            "all": memory["all"] * FADE + 1.0,
            "recent": np.concatenate((recent[:, 1:], sums[:, None]), axis=1),
        }
        if not there.all():
            after = {name: _where(there, after[name], memory[name]) for name in memory}
        return after, np.where(speaks, sums, 0.0)


def _features(memory: Arrays, now: FloatArray) -> tuple[FloatArray, dict[str, FloatArray]]:
    """The features of the values `now`, and the memory but for the ranks."""
    before, seen = memory["ring"], memory["seen"]
    first = seen == 0.0
    ring = np.concatenate((before[:, 1:], now[:, None]), axis=1)
    past = np.minimum(seen, LONG)
    inside = _NUMBERS[:LONG] >= LONG - past[:, None]
    own = np.where(inside, before[:, -LONG:], 0.0)
    count = np.maximum(past, 1.0)
    mean = own.sum(axis=1) / count
    spread = np.sqrt((np.where(inside, own - mean[:, None], 0.0) ** 2).sum(axis=1) / count)
    spread = np.where(spread > 1e-9 * np.abs(mean), spread, 0.0)

    short = _mean(ring, seen, SHORT)
    means = np.stack((now, short), axis=1)
    # An extreme of the mean is none before there was a mean of enough values.
    may = np.stack((~first, seen > LEAST), axis=1)
    beyond = np.fmax(means - memory["high"], memory["low"] - means)
    beyond = np.where(may & (beyond > 0.0), beyond, 0.0)
    reach = memory["high"][:, 0] - memory["low"][:, 0]
    extreme = beyond[:, 0] / np.where(reach > 0.0, reach, np.abs(now) + 1e-9)

    ahead = np.where(first, now, memory["level"] + memory["trend"])
    error = now - ahead
    shifted = _mean(ring, seen, SHIFT)
    day = np.abs(ring[:, -DAY:].mean(axis=1) - ring[:, :DAY].mean(axis=1))
    features = np.stack(
        (
            extreme,
            _far(now - mean, spread),
            np.abs(error),
            _deviation(ring, seen, SPREAD),
            _far(shifted - mean, spread),
            beyond[:, 1],
            np.where(seen >= RING - 1, day, 0.0),
        ),
        axis=1,
    )
    whole = np.stack((np.ones_like(first), seen >= SHORT - 1), axis=1)
    return np.where(first[:, None], 0.0, features), {
        "ring": ring,
        "seen": seen + 1.0,
        "low": np.where(whole, np.fmin(memory["low"], means), memory["low"]),
        "high": np.where(whole, np.fmax(memory["high"], means), memory["high"]),
        "level": ahead + LEVEL_GAIN * error,
        "trend": memory["trend"] + TREND_GAIN * error,
    }


def _mean(ring: FloatArray, seen: FloatArray, values: int) -> FloatArray:
    """The mean of the newest `values` of the ring, or of as many as there are."""
    count = np.minimum(seen + 1.0, values)
    inside = _NUMBERS[:values] >= values - count[:, None]
    mean: FloatArray = np.where(inside, ring[:, -values:], 0.0).sum(axis=1) / count
    return mean


def _deviation(ring: FloatArray, seen: FloatArray, values: int) -> FloatArray:
    """Their standard deviation; as `numpy.nanstd` works it out, in a fifth of its time."""
    inside = _NUMBERS[:values] >= values - 1 - seen[:, None]
    count = inside.sum(axis=1)
    mean = np.where(inside, ring[:, -values:], 0.0).sum(axis=1) / count
    departures = np.where(inside, ring[:, -values:] - mean[:, None], 0.0)
    deviation: FloatArray = np.sqrt((departures * departures).sum(axis=1) / count)
    return deviation


def _far(departure: FloatArray, spread: FloatArray) -> FloatArray:
    departure = np.abs(departure)
    flat = np.where(departure > 0.0, MOST_FAR, 0.0)
    far: FloatArray = np.where(spread > 0.0, departure / np.where(spread > 0.0, spread, 1.0), flat)
    return far


def _where(rows: NDArray[np.bool_], one: FloatArray, other: FloatArray) -> FloatArray:
    chosen: FloatArray = np.where(rows.reshape(-1, *[1] * (one.ndim - 1)), one, other)
    return chosen
