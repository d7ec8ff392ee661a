"""How many instances a rate of requests needs.

The slots needed are those that are kept busy, a = rate * service time, and room for chance.  Two
rules say how much room suffices, and the smaller of them counts:

- *Hardly anybody waits*: the square-root staffing rule, beta * sqrt(a * v) with v = (1 + scv) / 2
  (Halfin & Whitt 1981, "Heavy-traffic limits for queues with many exponential servers", with
  Allen-Cunneen's correction for the service time's variability).
- *Whoever waits does so for less than the SLO leaves*: with d slots more than are busy, the wait of
  those who wait is exponential with the mean v * service time / d (Erlang C, with the same
  correction), so d = v * service time / slack * ln(1 / share) keeps all but that share below the
  slack.  It does not grow with the load: where the SLO is long against the service time, as for
  jobs in the background, it takes a fraction of the first.

A ceiling on the utilisation is laid over both, which decides in a large fleet.

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

HELD_Z = NormalDist().inv_cdf(0.975)
"""Of the 5 % that may take longer than the SLO's p95, half do so by their service time alone ..."""
LATE_DEFERRED = 0.025
"""... and half as they wait, where nobody waits for the answer."""
LATE_CRITICAL = 0.0005
"""Share that may wait for longer where somebody does."""

ROUNDING = 1e-9
"""So much of an instance is rounding error, not a need for one more."""


class Sizing(NamedTuple):
    """The constants of one service's sizing.

    `instances_per_rate`: instances kept busy by one request a second; `spread`: the staffing
    coefficient in units of instances; `utilisation`: the ceiling; `zones`: the number of zones of
    which one may be lost, 1 where that need not be survived.  `room`: instances more than are busy
    with which nobody waits for longer than the SLO leaves, infinite where it leaves nothing; `held`
    the share of the SLO that a long service time takes by itself.
    """

    instances_per_rate: float
    spread: float
    utilisation: float
    zones: int
    room: float = math.inf
    held: float = 1.0

    def with_room_for(self, slowdown: float) -> Sizing:
        """The same where requests are held `slowdown` times longer: less is left to waiting.

        The rate is multiplied by whoever asks.
        """
        if slowdown == 1.0:
            return self
        left = 1.0 - self.held * slowdown
        room = self.room * slowdown * (1.0 - self.held) / left if left > 0.0 else math.inf
        return self._replace(room=room, held=self.held * slowdown)

    def instances(self, rate: float, utilisation: float) -> int:
        """Smallest count that carries `rate` (1/s) at no more than `utilisation` (0-1)."""
        if rate <= 0.0:
            return 0
        busy = rate * self.instances_per_rate
        room = min(self.spread * math.sqrt(busy), self.room)
        return math.ceil(max(busy + room, busy / utilisation) - ROUNDING)

    def instances_along(self, rate: FloatArray, utilisation: float) -> FloatArray:
        """`instances` for an array of rates (1/s, any shape), as whole-numbered floats."""
        return _counts(rate * self.instances_per_rate, self.spread, self.room, utilisation)

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
    room: FloatArray
    spares: NDArray[np.bool_]

    @staticmethod
    @lru_cache(maxsize=256)
    def of(sizings: tuple[Sizing, ...]) -> Sizings:
        """Those of `sizings`, in their order."""
        columns = np.array(sizings, dtype=np.float64)
        columns[:, 3] = np.maximum(columns[:, 3] - 1.0, 1.0)
        columns.setflags(write=False)
        spares = np.array([[own.zones > 1] for own in sizings])
        per_rate, spread, utilisation, zones_left, room, _ = np.split(columns, 6, axis=1)
        return Sizings(per_rate, spread, utilisation, zones_left, room, spares)

    def needed_along(self, likely: FloatArray, median: FloatArray) -> FloatArray:
        """`Sizing.needed` for rates (services, bins) in 1/s, as whole-numbered floats."""
        per_rate, spread, utilisation, zones_left, room, spares = self
        count = _counts(likely * per_rate, spread, room, utilisation)
        spared = _with_spare(_counts(median * per_rate, spread, room, utilisation), zones_left)
        needed: FloatArray = np.maximum(count, spared, out=count, where=spares)
        return needed


def _with_spare(count: FloatArray, zones_left: int | FloatArray) -> FloatArray:
    spared: FloatArray = count + np.ceil(count / zones_left)
    return spared


def _counts(
    busy: FloatArray,
    spread: float | FloatArray,
    room: float | FloatArray,
    utilisation: float | FloatArray,
) -> FloatArray:
    """`Sizing.instances` for how many instances are kept busy, which is written over."""
    count: FloatArray = np.sqrt(busy)
    count *= spread
    np.minimum(count, room, out=count)
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
    variability = (1.0 + spec.service_scv) / 2.0
    held = _held_s(spec) / spec.slo_p95_s
    late = LATE_CRITICAL if critical else LATE_DEFERRED
    slack_s = (1.0 - held) * spec.slo_p95_s
    slots = variability * spec.service_s / slack_s * -math.log(late) if held < 1.0 else math.inf
    return Sizing(
        instances_per_rate=spec.service_s / spec.slots,
        spread=BETA * math.sqrt(variability / spec.slots),
        utilisation=settings.max_utilisation if critical else settings.max_utilisation_deferred,
        zones=settings.zones if survives else 1,
        room=slots / spec.slots,
        held=held,
    )


def _held_s(spec: ServiceSpec) -> float:
    """Time (s) for which all but a few requests hold a slot at most, if it is log-normal."""
    variance = math.log1p(spec.service_scv)
    return spec.service_s * math.exp(HELD_Z * math.sqrt(variance) - 0.5 * variance)


def risk_score(settings: ForecastSettings, *, critical: bool) -> float:
    """Standard normal score of the risk that is accepted for a service."""
    return _score(1.0 - (settings.risk if critical else settings.risk_deferred))


@lru_cache(maxsize=64)
def _score(quantile: float) -> float:
    return NormalDist().inv_cdf(quantile)
