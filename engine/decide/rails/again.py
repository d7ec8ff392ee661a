"""How much a step in leaves, so that it need not be taken back soon."""

from __future__ import annotations

from functools import lru_cache
from statistics import NormalDist

import numpy as np

from engine.decide.observe import Seen
from engine.forecast.schedule import SURGE_TIME_S, Curve
from engine.memory import ResponseMemory
from engine.model import FloatArray


def needed_again(seen: Seen, curve: Curve, within_s: float, surge_decay_s: float) -> int:
    """The least that a step in leaves, so that it is taken back with the accepted risk alone.

    `needed` follows an estimate that moves with each look, by about the error that it has, and who
    may give back at any look does so at the deepest dip: half of that is asked for again at one of
    the next.  So this is the need of the time to come without a dip that is no more than noise, if
    the estimate were higher by as much as the accepted risk allows for: at any look of that time
    for what users wait for, at each of them for the rest, which is dear and can queue.
    """
    traits, bins = seen.traits, curve.bins_within(within_s)
    risk_z = traits.risk_z
    looks = max(int(within_s / SURGE_TIME_S), 1)
    higher_z = _of_any(risk_z, looks) if traits.waited_for else risk_z
    ahead_s = np.maximum(curve.ahead_s[:bins], 0.0)
    slower = seen.slowdown * np.exp(_noise(seen.response) * np.exp(-ahead_s / surge_decay_s))
    median, likely = curve.rate(higher_z)[:bins], curve.rate(risk_z + higher_z)[:bins]
    return traits.sizing.needed(_highest(likely * slower), _highest(median * slower))


def _noise(response: ResponseMemory) -> float:
    """How much of a dip below the level is most likely nothing but noise (log), 0 of a rise.

    James and Stein's positive-part estimator (1961): of a departure x with an error of variance v,
    x * max(1 - v / x^2, 0) is believed.
    """
    dip = response.surge
    if dip >= 0.0 or not response.horizon_variance:
        return 0.0
    return min(response.horizon_variance[0] / -dip, -dip)


@lru_cache(maxsize=64)
def _of_any(risk_z: float, looks: int) -> float:
    """The score for each of `looks` looks, so that all together have the risk of `risk_z`."""
    normal = NormalDist()
    return normal.inv_cdf(1.0 - (1.0 - normal.cdf(risk_z)) / looks)


def _highest(rates: FloatArray) -> float:
    return float(np.maximum.reduce(rates, initial=0.0))
