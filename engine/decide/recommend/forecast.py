"""Targets from the load to come, early enough that the capacity stands ready when it comes.

An instance that is asked for now serves after the service's own boot-time quantile.  What is
needed later than that can still be asked for in later steps, each at most `1 + step_out` times
the one before and a cooldown apart; so the count needed at time t weighs on the present step only
by need(t) / (1 + step_out)^m, with m the number of steps that still fit in between:

    target = max over t of  need(t) / (1 + step_out) ^ floor((t - lead) / cooldown)
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

import numpy as np

from engine.decide.sizing import Sizings
from engine.forecast.schedule import Curve
from engine.model import FloatArray, Reason, Recommendation, ServiceSpec
from engine.settings import ForecastSettings


def lead_time_s(spec: ServiceSpec, settings: ForecastSettings) -> float:
    """Seconds from asking for an instance to its serving, at the planning quantile."""
    z = NormalDist().inv_cdf(settings.boot_quantile)
    return spec.boot.quantile_s(z) + spec.warmup_s


def needed(curves: Curve, sizings: Sizings, slowdown: FloatArray, risk_z: FloatArray) -> FloatArray:
    """Instances needed along the curves (services, bins).

    `slowdown` says how many times slower than specified each service works, `risk_z` the standard
    normal score of the risk that is accepted for it (both (services, 1)).  Enough for that risk
    with everything ready and, where a zone is to be spared, for the median load without it.
    """
    likely = curves.rate(risk_z)
    likely *= slowdown
    median = curves.median()
    median *= curves.booked
    median *= slowdown
    return sizings.needed_along(likely, median)


@lru_cache(maxsize=1024)
def step_discount(
    bins: int, bin_s: float, lead_s: float, cooldown_s: float, *, step_out: float
) -> FloatArray:
    """By how much the need of each bin (bins,) may still grow in later steps, >= 1.

    Bin k may begin as early as (k - 1) * `bin_s` from now.
    """
    ahead_s = bin_s * (np.arange(bins) - 1.0)
    steps = np.maximum(np.floor((ahead_s - lead_s) / max(cooldown_s, 1.0)), 0.0)
    discount: FloatArray = (1.0 + step_out) ** np.minimum(steps, 64.0)
    discount.setflags(write=False)
    return discount


def forecast(
    spec: ServiceSpec,
    curve: Curve,
    need: FloatArray,
    discount: FloatArray,
    *,
    confidence: float,
    now_s: float,
) -> Recommendation:
    """The count to ask for now, so that every later need can be met in time."""
    weighed = need / discount
    at = int(weighed.argmax())
    ahead_s = max(float(curve.ahead_s[at]), 0.0)
    return Recommendation(
        spec.name,
        math.ceil(float(weighed[at]) - 1e-9),
        Reason.FORECAST,
        {
            "rate": float(curve.booked[at]) * math.exp(float(curve.correction[at])),
            "sd": float(curve.sd[at]),
            "need": float(need[at]),
            "ahead_s": ahead_s,
        },
        confidence=confidence,
        trigger_s=now_s,
    )
