"""Which service limits first as the number of weddings grows, and at how many.

A date's load is a straight line in its weddings, bin by bin, so the number at which a service has
no more to give is a division, not a search.  Two borders count.  *Safe*: the engine still holds
what it wants, a zone to spare included.  *Lost*: every instance that may be had is busy at the
peak and the queue has grown past the SLO.  Between them the SLO is kept as long as nothing fails.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from scipy.special import ndtri

from engine.decide.callgraph import critical_services
from engine.model import Budget, FloatArray, ServiceSpec
from engine.planning.needs import Staffing, WholeNumbers

TAIL = 0.05
"""Of the response times that an SLO allows to be longer."""
LARGE = 1e6
"""Instances of a pool so large that only its throughput counts."""


class Limit(StrEnum):
    """What keeps a service from growing."""

    MAX_INSTANCES = "max_instances"
    STATEFUL = "stateful"
    QUOTA = "quota"
    BUDGET = "budget"


@dataclass(frozen=True, slots=True, eq=False)
class BusiestDate:
    """The busiest date: its load is `background` + weddings at once x `per_wedding`.

    `per_wedding` and `background` (services, bins) requests/s arriving, calls included;
    `start_s` epoch seconds, `bin_s` the width of a bin.
    """

    per_wedding: FloatArray
    background: FloatArray
    start_s: float
    bin_s: float

    def load(self, weddings: float) -> FloatArray:
        """Load (services, bins) with so many weddings at once."""
        return self.background + weddings * self.per_wedding


@dataclass(frozen=True, slots=True)
class Variation:
    """How the day departs from what is expected of it.

    `day_sigma`: log-sd of a day's response; `noise_sigma` and `noise_time_s`: log-sd of the noise
    within it, and for how long it stays.
    """

    day_sigma: float
    noise_sigma: float
    noise_time_s: float


@dataclass(frozen=True, slots=True)
class Rung:
    """One limit of one service: the weddings at once that reach it.

    `safe` and `lost` for a day that responds as expected; `lost_low` and `lost_high` are the 10 %
    and 90 % quantiles of `lost` over days.  `at_s` is when on that day it is reached.  `service` is
    empty where all services share the limit, and `lost` is infinite where load cannot reach it.
    """

    service: str
    limit: Limit
    allowed: float
    safe: float
    lost: float
    lost_low: float
    lost_high: float
    at_s: float


def ladder(
    specs: Sequence[ServiceSpec],
    staffings: Mapping[str, Staffing],
    day: BusiestDate,
    variation: Variation,
    *,
    budget: Budget,
) -> tuple[Rung, ...]:
    """All limits, the one that is reached first in front.  Services without load have none."""
    rungs = [
        rung
        for i, spec in enumerate(specs)
        if (rung := _of_service(i, spec, staffings[spec.name], day, variation=variation))
        is not None
    ]
    ones = np.ones(len(specs))
    prices = np.array([spec.price_per_hour for spec in specs])
    shared = ((Limit.QUOTA, budget.instances, ones), (Limit.BUDGET, budget.usd_per_hour, prices))
    for limit, allowed, weights in shared:
        if math.isfinite(allowed):
            rungs.append(
                _shared(
                    limit,
                    allowed,
                    weights,
                    specs,
                    staffings=staffings,
                    day=day,
                    variation=variation,
                )
            )
    return tuple(sorted(rungs, key=lambda rung: (rung.lost, rung.safe, rung.service)))


def carried(spec: ServiceSpec, count: float, variation: Variation) -> float:
    """Highest mean rate (1/s) at a peak that `count` instances carry within the SLO.

    With many slots nearly all of them may be busy: the wait's tail is exponential with the mean
    s (1 + scv) / (2 c (1 - rho)) (heavy traffic, Kingman 1962, with c servers: Koellerstroem 1974),
    which gives the highest utilisation.  A burst of noise that is over before the queue has grown
    to the SLO does no harm.
    """
    slots = count * spec.slots
    if slots <= 0.0:
        return 0.0
    slack_s = slack(spec)
    spread_s = spec.service_s * (1.0 + spec.service_scv) / 2.0
    utilisation = max(1.0 - spread_s * math.log(1.0 / TAIL) / (slots * slack_s), 0.0)
    return utilisation * slots / spec.service_s * (1.0 + slack_s / variation.noise_time_s)


def slack(spec: ServiceSpec) -> float:
    """Seconds that a request may wait before it is slower than the SLO allows.

    At least a tenth of the SLO, where the service itself takes nearly as long.
    """
    usual_s = spec.service_s * (1.0 + 1.645 * math.sqrt(spec.service_scv))
    return max(spec.slo_p95_s - usual_s, 0.1 * spec.slo_p95_s)


def gust(load: FloatArray, bin_s: float, variation: Variation) -> float:
    """Highest that the noise lifts a peak: e^(sigma z), z the expected largest of its draws.

    The peak counts as long as the load (bins,) is within two sigma of its top; there are as many
    independent draws as the noise's time fits into it (Blom's approximation for the largest).
    """
    if variation.noise_sigma <= 0.0 or not load.max(initial=0.0) > 0.0:
        return 1.0
    near = load >= load.max() * math.exp(-2.0 * variation.noise_sigma)
    draws = max(np.count_nonzero(near) * bin_s / variation.noise_time_s, 1.0)
    largest = float(ndtri((draws - 0.375) / (draws + 0.25)))
    return math.exp(variation.noise_sigma * max(largest, 0.0))


def _of_service(
    i: int, spec: ServiceSpec, staffing: Staffing, day: BusiestDate, *, variation: Variation
) -> Rung | None:
    slope, base = day.per_wedding[i], day.background[i]
    if not slope.max(initial=0.0) > 0.0:
        return None
    most = spec.max_instances
    lift = gust(day.load(1e9)[i], day.bin_s, variation)
    lost, at = _weddings(carried(spec, most, variation) / lift, slope, base)
    safe, _ = _weddings(staffing.carries(most) / lift, slope, base)
    spread = math.exp(float(ndtri(0.9)) * variation.day_sigma)
    low, high = (
        _weddings(carried(spec, most, variation) / lift / factor, slope, base)[0]
        for factor in (spread, 1.0 / spread)
    )
    return Rung(
        service=spec.name,
        limit=Limit.STATEFUL if spec.stateful else Limit.MAX_INSTANCES,
        allowed=float(most),
        safe=min(safe, lost),
        lost=lost,
        lost_low=low,
        lost_high=high,
        at_s=day.start_s + (at + 0.5) * day.bin_s,
    )


def _weddings(rate: float, slope: FloatArray, base: FloatArray) -> tuple[float, int]:
    """Weddings at which a bin first reaches `rate`, and that bin."""
    with np.errstate(divide="ignore"):
        reached = np.where(slope > 0.0, np.maximum(rate - base, 0.0) / slope, np.inf)
    at = int(np.argmin(reached))
    return float(reached[at]), at


def _shared(
    limit: Limit,
    allowed: float,
    weights: FloatArray,
    specs: Sequence[ServiceSpec],
    *,
    staffings: Mapping[str, Staffing],
    day: BusiestDate,
    variation: Variation,
) -> Rung:
    """A limit that all services draw on: safe while all that the engine wants fits into it.

    Lost when what is left beside the services that users wait for, spare included, no longer
    carries the others: the engine gives the former what they need first.
    """
    lifts = np.array([gust(day.load(1e9)[i], day.bin_s, variation) for i in range(len(specs))])
    full = [carried(spec, LARGE, variation) / LARGE for spec in specs]
    critical = critical_services(specs)

    def held(weddings: float) -> FloatArray:
        load = day.load(weddings) * lifts[:, None]
        counts = [staffings[spec.name].instances(load[i]) for i, spec in enumerate(specs)]
        return _weighed(weights, counts)

    def barely(factor: float) -> Callable[[float], FloatArray]:
        def busy(weddings: float) -> FloatArray:
            load = day.load(weddings) * lifts[:, None] * factor
            counts = [
                staffings[spec.name].instances(load[i])
                if spec.name in critical
                else np.maximum(np.ceil(load[i] / full[i]), spec.min_instances).astype(np.int64)
                for i, spec in enumerate(specs)
            ]
            return _weighed(weights, counts)

        return busy

    spread = math.exp(float(ndtri(0.9)) * variation.day_sigma)
    lost, at = _reached(barely(1.0), allowed)
    return Rung(
        service="",
        limit=limit,
        allowed=allowed,
        safe=min(_reached(held, allowed)[0], lost),
        lost=lost,
        lost_low=_reached(barely(spread), allowed)[0],
        lost_high=_reached(barely(1.0 / spread), allowed)[0],
        at_s=day.start_s + (at + 0.5) * day.bin_s,
    )


def _weighed(weights: FloatArray, counts: Sequence[WholeNumbers]) -> FloatArray:
    """Instances, or what they cost, of all services in each bin."""
    total: FloatArray = weights @ np.stack(counts)
    return total


def _reached(use: Callable[[float], FloatArray], allowed: float) -> tuple[float, int]:
    """Most weddings whose `use` (bins,) stays within `allowed`, and the bin that is the fullest."""
    low, high = 0.0, 1.0
    while use(high).max() <= allowed and high < 1e12:
        low, high = high, 2.0 * high
    for _ in range(60):
        middle = (low + high) / 2.0
        low, high = (middle, high) if use(middle).max() <= allowed else (low, middle)
    return low, int(np.argmax(use(high)))
