"""The schedule-based forecaster: booked outlook x learned response, corrected by what is observed.

The booked outlook already knows *when* the load comes; what has to be learned on the day is how
much of it there is.  That is one ratio a service, observed / booked, tracked in logs: a slow
`level` (a local-level Kalman filter, Durbin & Koopman 2012, ch. 2) for a day that is busier than
booked, and a fast `surge` for what nobody booked, expected to fade.  The forecaster judges itself:
medians issued for fixed horizons are compared with what came, and the intervals follow the errors
that it really made, without the chance in what the judging samples counted
(`engine.forecast.counting`).

A measured rate may be wrong by any factor for any time, so what one of them can do is bounded
(influence functions: Hampel et al. 1986).  The level follows small departures in full, larger ones
no further than those, and absurd ones hardly at all; a judged error moves an interval by as much as
`REACH` deviations would.  Only what came above a forecast makes room, and only a forecast that was
not made while the rate had just fallen: a fall, and the recovery from it, widens nothing.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from engine.forecast.blend import ServiceBlend, middles
from engine.forecast.counting import UNCOUNTED, Counting
from engine.memory import ResponseMemory
from engine.model import FloatArray, Forecast, Outlook
from engine.settings import ForecastSettings

HORIZONS_S = (300.0, 900.0, 3600.0, 7200.0)
Z90 = 1.2815515655446004
ISSUE_EVERY_S = 60.0
SURGE_TIME_S = 30.0
ERROR_MEMORY_S = 3600.0
KEEP = math.exp(-ISSUE_EVERY_S / ERROR_MEMORY_S)
"""The weight of all errors before, when one more is judged."""
SCATTER_MEMORY_S = 900.0
"""Long enough for some hundred samples."""
MIN_SD = 0.015
MOST_SD = 0.8
"""No interval is taken to be wider than this: half as much, or more than twice as much, is where a
forecast says hardly anything."""
REACH = 3.0
"""An error counts as so many deviations at most ..."""
LEAST_REACH = 0.15
"""... and one of so much (log) always counts in full."""
ABOVE = 1.484
"""What an error above the median weighs.  One below it counts as the variance at most, so for
normal errors half of them weigh E[min(z^2, 1)] = 0.516; with this for the other half the variance
is the true one: 0.5 * 1.484 + 0.5 * 0.516 = 1."""
FALLEN_SHARE = 0.85
"""A rate below this share of what the level lets expect has fallen: until it is back, nobody is to
be judged by what is forecast from it."""
PLAUSIBLE = math.log(2.0)
"""A departure from the level that a day can have.  Beyond it the level follows ever less: it is a
surge, or a figure that is wrong."""
LEVEL_LIMITS = (math.log(0.3), math.log(4.0))
SURGE_LIMITS = (math.log(0.2), math.log(12.0))
JUDGED_WITHIN_S = 600.0
"""A forecast that no sample could judge for so long after its time never will be."""
UNBOOKED_SD = 0.2
"""Least log-standard deviation where no calendar says what is to come (an assumption: a load with a
daily cycle moves by about as much within an hour or two)."""


class Curve(NamedTuple):
    """Load to come at one service, or several, on the outlook's bins from the present one on.

    All arrays but the first (bins,), or (services, bins): `ahead_s` (bins,) the earliest that a bin
    can begin from now, `booked` and `major` the outlook's own rates (1/s), `correction` the
    logarithm of what they are to be multiplied by for the median, `sd` the log-standard deviation
    around it, both for the middle of the bin.
    """

    ahead_s: FloatArray
    correction: FloatArray
    sd: FloatArray
    booked: FloatArray
    major: FloatArray
    bin_s: float

    def of(self, service: int, bins: int) -> Curve:
        """The first `bins` of one of several services."""
        ahead_s, correction, sd, booked, major, bin_s = self
        return Curve(
            ahead_s[:bins], correction[service, :bins], sd[service, :bins],
            booked[service, :bins], major[service, :bins], bin_s,
        )  # fmt: skip

    def median(self) -> FloatArray:
        """Median rate over booked rate, for each bin."""
        median: FloatArray = np.exp(self.correction)
        return median

    def ratio(self, z: float | FloatArray) -> FloatArray:
        """Rate over booked rate at the standard normal score `z` (services, 1), for each bin."""
        ratio: FloatArray = z * self.sd
        ratio += self.correction
        return np.exp(ratio, out=ratio)

    def rate(self, z: float | FloatArray) -> FloatArray:
        """The rate (1/s) at the standard normal score `z` (services, 1), for each bin."""
        rate = self.ratio(z)
        rate *= self.booked
        return rate

    def bins_within(self, time_s: float) -> int:
        """How many of the bins may begin within `time_s` from now."""
        return min(bins_of(time_s, self.bin_s), len(self.ahead_s))


def observe(
    memory: ResponseMemory,
    outlook: Outlook,
    row: int,
    rate: float,
    *,
    sample_s: float,
    settings: ForecastSettings,
    blend: ServiceBlend | None = None,
    chance: Counting = UNCOUNTED,
) -> ResponseMemory:
    """The memory after a correction of service `row` by `rate` (1/s), observed at `sample_s`.

    Nothing is learned of a time that the outlook does not cover.  With a `blend`, the first
    intervals are as wide as its errors were.  `chance` is in `rate`, and no error of a forecast.
    """
    level, variance, surge, updated_s, horizon_variance, issued, issued_s, counted, scatter = memory
    if len(horizon_variance) != len(HORIZONS_S):
        variance, issued = outlook.sigma**2, ((),) * len(HORIZONS_S)
        horizon_variance = ((0.5 * outlook.sigma) ** 2,) * len(HORIZONS_S)
        if blend is not None:
            horizon_variance = tuple([sd**2 for sd in blend.sd])
        counted = ()
    if len(counted) != len(horizon_variance):
        counted = (0.0,) * len(horizon_variance)
        memory = ResponseMemory(
            level, variance, surge, updated_s, horizon_variance, issued, issued_s, counted, scatter
        )
    elapsed_s = sample_s - updated_s
    if elapsed_s <= 0.0:
        return memory
    booked = outlook.rate(row, sample_s)
    if not booked > 1e-9 or rate <= 1e-9:
        return memory
    ratio = math.log(rate / booked)
    first = updated_s == -math.inf
    elapsed_s = min(elapsed_s, 3600.0)
    variance += settings.level_drift_per_h**2 * elapsed_s / 3600.0
    # A surge is not the level: what departs further than the noise counts less for the level.
    innovation = ratio - level
    spread = math.sqrt(variance + settings.observation_sd**2)
    weight = min(1.0, 2.0 * spread / abs(innovation)) if innovation else 1.0
    weight *= min(1.0, PLAUSIBLE / abs(innovation)) if innovation else 1.0
    gain = variance / (variance + settings.observation_sd**2)
    level = _clip(level + gain * weight * innovation, LEVEL_LIMITS)
    variance *= 1.0 - gain
    forget = 0.0 if first else math.exp(-elapsed_s / SURGE_TIME_S)
    surge = forget * surge + (1.0 - forget) * _clip(ratio - level, SURGE_LIMITS)
    if chance.share > 0.0:
        scatter += (1.0 - math.exp(-elapsed_s / SCATTER_MEMORY_S)) * (chance.scatter - scatter)
    if any(waiting and waiting[0][0] < sample_s for waiting in issued):
        by_chance = chance.share * min(chance.variance, scatter)
        horizon_variance, counted, issued = _judged(
            horizon_variance, counted, issued, math.log(rate), sample_s=sample_s, chance=by_chance
        )
    return ResponseMemory(
        level, variance, surge, sample_s, horizon_variance, issued, issued_s, counted, scatter
    )


def expected(memory: ResponseMemory, outlook: Outlook, row: int, at_s: float) -> float:
    """The rate (1/s) at `at_s` on a day of the level learned; NaN where nothing is booked."""
    booked = outlook.rate(row, at_s) if row >= 0 else math.nan
    return booked * math.exp(memory.level) if booked > 0.0 else math.nan


def curve(
    memory: ResponseMemory,
    outlook: Outlook,
    row: int,
    now_s: float,
    *,
    reach_s: float,
    settings: ForecastSettings,
    blend: ServiceBlend | None = None,
) -> Curve:
    """The load of service `row` from `now_s` on, for `reach_s` seconds."""
    count = bins_to_come(outlook, now_s, reach_s)
    several = curves(
        [memory], outlook, [row], now_s, count=count, settings=settings, blends=[blend]
    )
    return several.of(0, count)


def bins_to_come(outlook: Outlook, now_s: float, reach_s: float) -> int:
    """How many bins of the outlook, the present one first, reach so far; it may end before."""
    bins: int = outlook.load.shape[1]
    first = _present(outlook, now_s)
    return min(first + bins_of(reach_s, outlook.bin_s), bins) - first


def bins_of(reach_s: float, bin_s: float) -> int:
    """How many bins reach so far: the present one, which began up to a bin ago, and one more."""
    return int(reach_s / bin_s) + 2


def _present(outlook: Outlook, now_s: float) -> int:
    """The bin of `now_s`, or the nearest that there is."""
    last: int = outlook.load.shape[1] - 1
    return min(max(int((now_s - outlook.start_s) / outlook.bin_s), 0), last)


def curves(
    memories: Sequence[ResponseMemory],
    outlook: Outlook,
    rows: Sequence[int],
    now_s: float,
    *,
    count: int,
    settings: ForecastSettings,
    blends: Sequence[ServiceBlend | None],
) -> Curve:
    """The load of several services from `now_s` on, for `count` bins (`bins_to_come`).

    How the departure from the outlook goes on is what the service's blend learned; without one it
    fades.
    """
    bin_s, first = outlook.bin_s, _present(outlook, now_s)
    states = np.array([(m.level, m.surge if abs(m.surge) > 1e-4 else 0.0) for m in memories])
    correction = states[:, :1] * _decay(count, bin_s, settings.level_decay_s)
    correction += states[:, 1:] * _decay(count, bin_s, settings.surge_decay_s)
    for k, blend in enumerate(blends):
        if blend is not None:
            correction[k] = blend.correction(memories[k].level, memories[k].surge, count, bin_s)
    return Curve(
        ahead_s=_earliest(count, bin_s),
        correction=correction,
        sd=np.array([_deviation(count, bin_s, _deviations(m, outlook)) for m in memories]),
        booked=outlook.load[:, first : first + count].take(rows, axis=0),
        major=outlook.major_load[:, first : first + count].take(rows, axis=0),
        bin_s=bin_s,
    )


@lru_cache(maxsize=256)
def _earliest(bins: int, bin_s: float) -> FloatArray:
    """Earliest beginning of each bin from now: the present one began up to a bin ago."""
    ahead_s = bin_s * (np.arange(bins, dtype=np.float64) - 1.0)
    ahead_s.setflags(write=False)
    return ahead_s


@lru_cache(maxsize=256)
def _decay(bins: int, bin_s: float, decay_s: float) -> FloatArray:
    decay: FloatArray = np.exp(middles(bins, bin_s) / -decay_s)
    decay.setflags(write=False)
    return decay


@lru_cache(maxsize=4096)
def _deviation(bins: int, bin_s: float, deviations: tuple[float, ...]) -> FloatArray:
    """Log-standard deviation along the bins, from those at the fixed horizons."""
    deviation = np.interp(middles(bins, bin_s), HORIZONS_S, deviations)
    deviation.setflags(write=False)
    return deviation


def persisting(
    memories: Sequence[ResponseMemory], outlook: Outlook, rates: Sequence[float], count: int
) -> Curve:
    """The load where no calendar says what is to come: it stays at `rates` (1/s), more or less."""
    bin_s, shape = outlook.bin_s, (len(rates), count)
    sd = [_deviation(count, bin_s, _deviations(memory, outlook)) for memory in memories]
    return Curve(
        ahead_s=_earliest(count, bin_s),
        correction=np.zeros(shape),
        sd=np.maximum(sd, UNBOOKED_SD),
        booked=np.broadcast_to(np.array(rates)[:, None], shape),
        major=np.zeros(shape),
        bin_s=bin_s,
    )


def is_due(memory: ResponseMemory, now_s: float) -> bool:
    """Whether it is time for the next forecast, of a service that was ever observed."""
    return now_s - memory.issued_s >= ISSUE_EVERY_S and bool(memory.horizon_variance)


def issue(
    memory: ResponseMemory, outlook: Outlook, load: Curve, service: str, *, now_s: float
) -> tuple[ResponseMemory, tuple[Forecast, ...]]:
    """Once a minute, forecast the fixed horizons and remember the medians to be judged by.

    Returns the memory after it, and the forecasts.  They are read off `load`, the same curve of the
    service as the capacity to ask for, so what is judged is what is used; it has to reach as far as
    the last horizon.  A horizon that the outlook does not cover gets no forecast.
    """
    if not is_due(memory, now_s) or not outlook.covers(now_s):
        return memory, ()
    present = int((now_s - outlook.start_s) / outlook.bin_s)
    forecasts = []
    issued = []
    fallen = memory.surge < math.log(FALLEN_SHARE)
    for k, horizon_s in enumerate(HORIZONS_S):
        waiting = memory.issued[k]
        if waiting and waiting[0][0] < now_s - JUDGED_WITHIN_S:
            waiting = waiting[bisect_left(waiting, (now_s - JUDGED_WITHIN_S, -math.inf)) :]
        if not outlook.covers(now_s + horizon_s):
            issued.append(waiting)
            continue
        at = int((now_s + horizon_s - outlook.start_s) / outlook.bin_s) - present
        mean = math.log(max(float(load.booked[at]), 1e-9)) + float(load.correction[at])
        sd = float(load.sd[at])
        issued.append(waiting if fallen else (*waiting, (now_s + horizon_s, mean)))
        forecasts.append(
            Forecast(
                service,
                horizon_s,
                q10=math.exp(mean - Z90 * sd),
                q50=math.exp(mean),
                q90=math.exp(mean + Z90 * sd),
            )
        )
    return memory._replace(issued=tuple(issued), issued_s=now_s), tuple(forecasts)


def _judged(
    horizon_variance: tuple[float, ...],
    counted: tuple[float, ...],
    issued: tuple[tuple[tuple[float, float], ...], ...],
    log_rate: float,
    *,
    sample_s: float,
    chance: float,
) -> tuple[tuple[float, ...], tuple[float, ...], tuple[tuple[tuple[float, float], ...], ...]]:
    """The error of each forecast that has come due, folded into its horizon's variance.

    So is the `chance` in it (variance) into what was `counted`, with the same weight.
    """
    variances, chances, lines = list(horizon_variance), list(counted), list(issued)
    for k, waiting in enumerate(issued):
        due = bisect_left(waiting, (sample_s, -math.inf))
        if due:
            variances[k] = _learned(variances[k], log_rate - waiting[due - 1][1])
            chances[k] = KEEP * chances[k] + (1.0 - KEEP) * chance
            lines[k] = waiting[due:]
    return tuple(variances), tuple(chances), tuple(lines)


def _learned(variance: float, error: float) -> float:
    """`variance` after one more `error`, positive where more came than was forecast."""
    if error > 0.0:
        reach = max(REACH * math.sqrt(variance), LEAST_REACH)
        square = ABOVE * min(error, reach) ** 2
    else:
        square = min(error**2, variance)
    return min(KEEP * variance + (1.0 - KEEP) * square, MOST_SD**2)


def _deviations(memory: ResponseMemory, outlook: Outlook) -> tuple[float, ...]:
    if not memory.horizon_variance:
        return (max(outlook.sigma, MIN_SD),) * len(HORIZONS_S)
    if len(memory.counted) != len(memory.horizon_variance):
        return tuple([max(math.sqrt(variance), MIN_SD) for variance in memory.horizon_variance])
    return tuple(
        [
            math.sqrt(max(variance - chance, MIN_SD**2))
            for variance, chance in zip(memory.horizon_variance, memory.counted, strict=True)
        ]
    )


def _clip(value: float, limits: tuple[float, float]) -> float:
    return min(max(value, limits[0]), limits[1])
