"""How today's departure from the booked outlook goes on: learned per service and horizon.

The schedule-only forecaster lets `level` and `surge` (see `engine.forecast.schedule`) fade with
fixed time constants.  Earlier days tell how they really went on:

    log(rate / booked) at t + h  =  a(h) * level(t) + b(h) * surge(t) + c(h)  +-  sd(h)

`c` is what the outlook is usually wrong by: late starts, events that nobody booked.  Fitted off the
control path by ridge regression towards the fixed constants, so with few data little changes; in a
control cycle it costs as much as the constants do.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from engine.model import FloatArray

KIND, VERSION = "engine-blend", 1
TERMS = 3
"""Level, surge and the constant."""
PRIOR_DAYS = 10.0
"""For level and constant the prior counts as much as so many days: within one day both hardly
change, so its minutes are one observation of them, not hundreds."""
PRIOR_ROWS = 100.0
"""For the surge, which comes and goes within minutes, as much as so many rows."""
MIN_USUAL = 1e-4
"""Departures smaller than 1 % teach nothing."""
WEIGHT_LIMIT = 3.0
SD_LIMITS = (1e-3, 3.0)
Z90 = 1.2815515655446004


@dataclass(frozen=True, slots=True)
class ServiceBlend:
    """The blend of one service: `weights` (horizons, terms) and `sd` (horizons,)."""

    horizons_s: tuple[float, ...]
    weights: tuple[tuple[float, ...], ...]
    sd: tuple[float, ...]

    def correction(self, level: float, surge: float, bins: int, bin_s: float) -> FloatArray:
        """Log of rate over booked rate for each bin (bins,), the first one being the present."""
        a, b, c = _along(self, bins, bin_s)
        correction: FloatArray = level * a + surge * b + c
        return correction


@dataclass(frozen=True, slots=True)
class Blend:
    """What was learned of each service; one that is not in it is forecast by the schedule alone."""

    services: Mapping[str, ServiceBlend]


@dataclass(frozen=True, slots=True, eq=False)
class ObservedDays:
    """What was seen of one service, in any order, on `days` earlier days.

    `level` and `surge` (n,) as the engine had learned them by then, `rate` (n,) the load that was
    expected (1/s): an error counts by it.  `later` (n, horizons) is what the log of rate over
    booked rate turned out to be; NaN where it is not known.
    """

    level: FloatArray
    surge: FloatArray
    rate: FloatArray
    later: FloatArray
    days: int


def fit(past: ObservedDays, horizons_s: tuple[float, ...], prior: FloatArray) -> ServiceBlend:
    """Learn the blend of one service; `prior` (horizons, terms) is what to lean to.

    The deviations are conformal: 80 % of the errors made lie within 1.28 of them.  Raises
    ValueError where a horizon has no observation at all.
    """
    terms = np.column_stack([past.level, past.surge, np.ones(len(past.level))])
    weights, deviations = [], []
    for k in range(len(horizons_s)):
        complete = np.isfinite(past.later[:, k]) & np.isfinite(terms).all(axis=1)
        if not complete.any():
            raise ValueError(f"nothing was seen {horizons_s[k]:.0f} s ahead")
        x, y = terms[complete], past.later[complete, k]
        weight = past.rate[complete] / max(float(past.rate[complete].mean()), 1e-12)
        per_day = len(y) / past.days
        usual = np.maximum(np.average(x**2, axis=0, weights=weight), 1e-6)
        usual[2] = 1.0
        rows = np.array([PRIOR_DAYS * per_day, PRIOR_ROWS, PRIOR_DAYS * per_day])
        gram = x.T @ (x * weight[:, None]) + np.diag(rows * np.maximum(usual, MIN_USUAL))
        fitted = prior[k] + np.linalg.solve(gram, x.T @ (weight * (y - x @ prior[k])))
        fitted = np.clip(fitted, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        errors = np.abs(y - x @ fitted)
        level = min(0.8 * (1.0 + 1.0 / len(errors)), 1.0)
        sd = float(np.quantile(errors, level)) / Z90
        weights.append(tuple(float(value) for value in fitted))
        deviations.append(min(max(sd, SD_LIMITS[0]), SD_LIMITS[1]))
    return ServiceBlend(horizons_s, tuple(weights), tuple(deviations))


def to_state(blend: Blend) -> dict[str, Any]:
    """Plain values, as a model file holds them."""
    return {
        name: {
            "horizons_s": np.array(own.horizons_s),
            "weights": np.array(own.weights),
            "sd": np.array(own.sd),
        }
        for name, own in blend.services.items()
    }


def from_state(
    state: Mapping[str, Any], horizons_s: tuple[float, ...], services: tuple[str, ...] = ()
) -> Blend:
    """Read what `to_state` made; raises ValueError where it is not that or of no use here.

    `horizons_s` are those of the forecaster, `services` those of the platform, if known.
    """
    by_service: dict[str, ServiceBlend] = {}
    for name, raw in state.items():
        try:
            own_s = tuple(float(h) for h in raw["horizons_s"])
            weights, sd = np.asarray(raw["weights"], float), np.asarray(raw["sd"], float)
        except (TypeError, KeyError, ValueError) as error:
            raise ValueError(f"{name}: holds no blend ({error!r})") from None
        if own_s != horizons_s:
            raise ValueError(f"{name}: is for the horizons {own_s}, not {horizons_s}; learn anew")
        if weights.shape != (len(own_s), TERMS) or sd.shape != (len(own_s),):
            raise ValueError(f"{name}: has weights of shape {weights.shape}")
        inside = np.abs(weights) <= WEIGHT_LIMIT
        if not (inside.all() and ((sd >= SD_LIMITS[0]) & (sd <= SD_LIMITS[1])).all()):
            raise ValueError(f"{name}: has figures that no training gives")
        rows = tuple(tuple(float(value) for value in row) for row in weights)
        by_service[name] = ServiceBlend(own_s, rows, tuple(float(value) for value in sd))
    if not by_service or (services and not set(services) & set(by_service)):
        of = ", ".join(by_service) or "no service"
        raise ValueError(f"was learned from {of}, here are {', '.join(services) or 'others'}")
    return Blend(by_service)


def prior(horizons_s: tuple[float, ...], level_decay_s: float, surge_decay_s: float) -> FloatArray:
    """What the schedule-only forecaster takes for granted: (horizons, terms)."""
    h = np.array(horizons_s)
    faded: FloatArray = np.column_stack(
        [np.exp(-h / level_decay_s), np.exp(-h / surge_decay_s), np.zeros(len(h))]
    )
    return faded


def middles(bins: int, bin_s: float) -> FloatArray:
    """How far ahead (s) the middle of each bin (bins,) is, on average over the present one."""
    return bin_s * np.arange(bins, dtype=np.float64)


@lru_cache(maxsize=16_384)
def _along(blend: ServiceBlend, bins: int, bin_s: float) -> tuple[FloatArray, ...]:
    """The terms' weights along the bins: whole now, then straight from horizon to horizon."""
    ahead_s = middles(bins, bin_s)
    knots_s = np.array((0.0, *blend.horizons_s))
    last_s = blend.horizons_s[-1]
    curves = []
    for term, now in enumerate((1.0, 1.0, 0.0)):
        values = np.array((now, *(row[term] for row in blend.weights)))
        curve = np.interp(ahead_s, knots_s, values)
        if term < TERMS - 1:  # what is seen today says ever less of what is further away
            curve *= np.exp(-np.maximum(ahead_s - last_s, 0.0) / max(last_s, 1.0))
        curve.setflags(write=False)
        curves.append(curve)
    return tuple(curves)
