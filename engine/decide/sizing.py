"""How many instances a rate of requests needs.

The slots needed follow the square-root staffing rule, c = a + beta * sqrt(a * (1 + scv) / 2) with
the offered load a = rate * service time (Halfin & Whitt 1981, "Heavy-traffic limits for queues
with many exponential servers", with Allen-Cunneen's correction for the service time's
variability): a small pool needs proportionally more room than a large one.  A ceiling on the
utilisation is laid over it.

`Sizing.needed` is the one answer to how many instances a load takes: what the engine asks for by it
is what the planner buys by it and what a forecast of a day announces by it.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model import FloatArray, ServiceSpec
from engine.settings import CapacitySettings, ForecastSettings

BETA = 1.5
"""Square-root staffing coefficient: about 5 % of the requests wait at all (Halfin & Whitt)."""

ROUNDING = 1e-9
"""So much of an instance is rounding error, not a need for one more."""


class Sizing(NamedTuple):
    """The constants of one service's sizing.

    `instances_per_rate`: instances kept busy by one request a second; `spread`: the staffing
    coefficient in units of instances; `utilisation`: the ceiling; `zones`: the number of zones of
    which one may be lost, 1 where that need not be survived.
    """

    instances_per_rate: float
    spread: float
    utilisation: float
    zones: int

    def instances(self, rate: float, utilisation: float) -> int:
        """Smallest count that carries `rate` (1/s) at no more than `utilisation` (0-1)."""
        if rate <= 0.0:
            return 0
        busy = rate * self.instances_per_rate
        return math.ceil(max(busy + self.spread * math.sqrt(busy), busy / utilisation) - ROUNDING)

    def instances_along(self, rate: FloatArray, utilisation: float) -> FloatArray:
        """`instances` for an array of rates (1/s, any shape), as whole-numbered floats."""
        return _counts(rate * self.instances_per_rate, self.spread, utilisation)

    def with_zone_to_spare(self, count: int) -> int:
        """Smallest count that leaves `count` when the fullest of the zones is lost.

        Instances are spread evenly, so of n the fullest zone holds ceil(n / zones).
        """
        return count + math.ceil(count / (self.zones - 1)) if self.zones > 1 else count

    def with_zone_to_spare_along(self, count: FloatArray) -> FloatArray:
        """`with_zone_to_spare` for an array of counts."""
        return _with_spare(count, self.zones - 1) if self.zones > 1 else count

    def needed(self, likely: float, median: float) -> int:
        """Instances to have ready for a load that is uncertain (both 1/s).

        Enough for `likely`, the rate that is exceeded with the accepted risk alone, with everything
        ready; and where a zone is to be spared, enough for the `median` without that zone.  The two
        do not happen at once: who loses a zone in the one minute in fifty is not paid for.
        """
        count = self.instances(likely, self.utilisation)
        if self.zones > 1:
            spared = self.with_zone_to_spare(self.instances(median, self.utilisation))
            count = max(count, spared)
        return count

    def needed_along(self, likely: FloatArray, median: FloatArray) -> FloatArray:
        """`needed` for arrays of rates (1/s) of one shape, as whole-numbered floats."""
        needed: FloatArray = Sizings.of((self,)).needed_along(likely[None], median[None])[0]
        return needed


class Sizings(NamedTuple):
    """The constants of several services' sizing, in columns (services, 1).

    `zones_left` are those that are left when one is lost, where `spares` says that this need be
    survived.
    """

    instances_per_rate: FloatArray
    spread: FloatArray
    utilisation: FloatArray
    zones_left: FloatArray
    spares: NDArray[np.bool_]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(sizings: tuple[Sizing, ...]) -> Sizings:
        """Those of `sizings`, in their order."""
        columns = np.array(sizings, dtype=np.float64)
        columns[:, 3] = np.maximum(columns[:, 3] - 1.0, 1.0)
        columns.setflags(write=False)
        spares = np.array([[own.zones > 1] for own in sizings])
        per_rate, spread, utilisation, zones_left = np.split(columns, 4, axis=1)
        return Sizings(per_rate, spread, utilisation, zones_left, spares)

    def needed_along(self, likely: FloatArray, median: FloatArray) -> FloatArray:
        """`Sizing.needed` for rates (services, bins) in 1/s, as whole-numbered floats."""
        per_rate, spread, utilisation, zones_left, spares = self
        count = _counts(likely * per_rate, spread, utilisation)
        spared = _with_spare(_counts(median * per_rate, spread, utilisation), zones_left)
        needed: FloatArray = np.maximum(count, spared, out=count, where=spares)
        return needed


def _with_spare(count: FloatArray, zones_left: int | FloatArray) -> FloatArray:
    spared: FloatArray = count + np.ceil(count / zones_left)
    return spared


def _counts(
    busy: FloatArray, spread: float | FloatArray, utilisation: float | FloatArray
) -> FloatArray:
    """`Sizing.instances` for how many instances are kept busy, which is written over."""
    count: FloatArray = np.sqrt(busy)
    count *= spread
    count += busy
    busy /= utilisation
    np.maximum(count, busy, out=count)
    count -= ROUNDING
    return np.ceil(count, out=count)


def sizing(spec: ServiceSpec, settings: CapacitySettings, *, critical: bool) -> Sizing:
    """Sizing of `spec`; `critical` services are those that users wait for."""
    survives = settings.survive_zone_loss == "all" or (
        settings.survive_zone_loss == "critical" and critical
    )
    return Sizing(
        instances_per_rate=spec.service_s / spec.slots,
        spread=BETA * math.sqrt((1.0 + spec.service_scv) / 2.0 / spec.slots),
        utilisation=settings.max_utilisation if critical else settings.max_utilisation_deferred,
        zones=settings.zones if survives else 1,
    )


def risk_score(settings: ForecastSettings, *, critical: bool) -> float:
    """Standard normal score of the risk that is accepted for a service."""
    return _score(1.0 - (settings.risk if critical else settings.risk_deferred))


@lru_cache(maxsize=64)
def _score(quantile: float) -> float:
    return NormalDist().inv_cdf(quantile)
