"""From weeks of metrics to a service's figures: what a request takes, and what an instance carries.

Three things are seen of a service in each step: how many requests came to how many instances, how
long they took, and how much processor time that was.  An instance has `slots`, each busy for
`service_s` with a request; with all of them busy it takes `cores` of processor time.  Requests wait
when there are more of them than slots.  So

    response = service_s + wait(load, instances × slots)      Sakasegawa's wait of M/G/c
    cores    = processor seconds of a request × slots / service_s

and `slots` and `service_s` are those whose responses are nearest to the measured ones, over all
steps, each request counting the same.  Where slots cannot be told by that (nothing ever waited), it
is as many as the processor time that the instance may take would carry.

The spread of the times comes from the p95 of the quietest quarter of the steps, taken for that of a
gamma distribution, as the twin has them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.model import FloatArray

FEWEST_STEPS = 24
MOST_SLOTS = 256
QUIET = 0.25
AS_GOOD = 0.005
"""Slots whose error (root mean square, log) is this near to the least are as good: the formula for
the wait is no better."""
SCV_LIMITS = (0.02, 8.0)
SPREAD_AT = 0.95


class FitError(ValueError):
    """The history is not enough to fit; the message says what is missing."""


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredWork:
    """One service in each step: requests/s, instances, response (s), its p95, cores of them all.

    `calls_s` is the time of a response that synchronous calls take, `calls_variance` its variance.
    """

    load: FloatArray
    ready: FloatArray
    response_s: FloatArray
    p95_s: FloatArray
    cores: FloatArray
    calls_s: FloatArray
    calls_variance: float = 0.0


@dataclass(frozen=True, slots=True)
class FittedWork:
    """What was fitted; `error` is how far a step's response is off, as a share (median)."""

    slots: int
    service_s: float
    service_scv: float
    cores: float
    core_s: float
    steps: int
    error: float
    scv_measured: bool


def fit(work: MeasuredWork, most_cores: float) -> FittedWork:
    """The figures of a service whose instances may take `most_cores`; raises FitError."""
    usable = (
        np.isfinite(work.load) & np.isfinite(work.ready) & np.isfinite(work.response_s)
        & np.isfinite(work.cores) & np.isfinite(work.calls_s)
        & (work.load > 0.0) & (work.ready >= 1.0) & (work.cores > 0.0)
    )  # fmt: skip
    if usable.sum() < FEWEST_STEPS:
        missing = [
            name
            for name in ("load", "ready", "response_s", "cores")
            if np.isfinite(getattr(work, name)).sum() < FEWEST_STEPS
        ]
        raise FitError(f"not measured: {', '.join(missing) or 'all of them at the same time'}")
    load, ready, cores = work.load[usable], work.ready[usable], work.cores[usable]
    own_s = work.response_s[usable] - work.calls_s[usable]
    if np.median(own_s) <= 0.0:
        raise FitError("its calls take longer than its responses; are they asynchronous?")
    own_s = np.maximum(own_s, 1e-4 * float(np.median(own_s)))
    core_s = float(cores.sum() / load.sum())
    scv, measured = _scv(work, usable)
    candidates = [
        (slots, service_s, error)
        for slots in _slots_to_try(float(np.median(own_s)) * most_cores / core_s)
        for service_s, error in [_service_s(slots, load, ready, own_s, scv=scv)]
    ]
    least = min(error for _, _, error in candidates)
    good = [one for one in candidates if math.sqrt(one[2]) <= math.sqrt(least) + AS_GOOD]
    slots, service_s, _ = min(good, key=lambda one: _off(one[0], one[1], core_s, most_cores))
    predicted = response(slots, service_s, load, ready, scv=scv)
    return FittedWork(
        slots=slots,
        service_s=service_s,
        service_scv=scv,
        cores=core_s * slots / service_s,
        core_s=core_s,
        steps=int(usable.sum()),
        error=float(np.median(np.abs(predicted / own_s - 1.0))),
        scv_measured=measured,
    )


def response(
    slots: int, service_s: float, load: FloatArray, ready: FloatArray, *, scv: float
) -> FloatArray:
    """Mean response (s) in each step, infinite where the load is too much."""
    servers = np.maximum(ready * slots, 1.0)
    busy = load * service_s / servers
    with np.errstate(divide="ignore", invalid="ignore"):
        wait = busy ** (np.sqrt(2.0 * (servers + 1.0)) - 1.0) / (servers * (1.0 - busy))
    wait = np.where(busy < 1.0, wait, np.inf)
    seconds: FloatArray = service_s * (1.0 + 0.5 * (1.0 + scv) * wait)
    return seconds


def gamma_scv(p95_s: float, mean_s: float) -> float:
    """The squared coefficient of variation of the gamma distribution with that p95 and mean."""
    from scipy.special import gammaincinv

    wanted = p95_s / mean_s
    scvs = np.geomspace(*SCV_LIMITS, 400)
    ratios = scvs * gammaincinv(1.0 / scvs, SPREAD_AT)
    rising = ratios[: int(ratios.argmax()) + 1]
    return float(np.interp(wanted, rising, scvs[: len(rising)]))


def boots(seconds: FloatArray) -> tuple[float, float]:
    """Median and p95 of boots, half a second at least."""
    median = max(float(np.median(seconds)), 0.5)
    return round(median, 2), round(max(float(np.quantile(seconds, 0.95)), median), 2)


def _scv(work: MeasuredWork, usable: np.ndarray) -> tuple[float, bool]:
    """From the quietest steps; 1 where no p95 was measured."""
    seen = usable & np.isfinite(work.p95_s) & (work.p95_s > 0.0)
    if seen.sum() < FEWEST_STEPS:
        return 1.0, False
    busy = work.load[seen] / work.ready[seen]
    quiet = busy <= np.quantile(busy, QUIET)
    weight = work.load[seen][quiet]
    mean_s = float(np.average(work.response_s[seen][quiet], weights=weight))
    p95_s = float(np.average(work.p95_s[seen][quiet], weights=weight))
    whole = gamma_scv(p95_s, mean_s)
    own_s = mean_s - float(np.average(work.calls_s[seen][quiet], weights=weight))
    own_variance = whole * mean_s**2 - work.calls_variance
    scv = own_variance / own_s**2 if own_s > 0.0 else whole
    return min(max(scv, SCV_LIMITS[0]), SCV_LIMITS[1]), True


def _slots_to_try(carried: float) -> Sequence[int]:
    """Up to twice as many as the processor time carries, the larger ones in steps of a tenth."""
    most = min(max(math.ceil(2.0 * carried), 4), MOST_SLOTS)
    tried = {*range(1, min(most, 16) + 1), *np.geomspace(1, most, 48).round().astype(int).tolist()}
    return sorted(tried)


def _service_s(
    slots: int, load: FloatArray, ready: FloatArray, own_s: FloatArray, *, scv: float
) -> tuple[float, float]:
    """The service time that explains the responses best, and the error that stays."""
    from scipy.optimize import minimize_scalar

    def error(log_s: float) -> float:
        predicted = response(slots, math.exp(log_s), load, ready, scv=scv)
        apart = np.minimum(np.abs(np.log(predicted / own_s)), 3.0)
        return float(np.average(apart**2, weights=load))

    lowest, highest = math.log(float(own_s.min()) / 3.0), math.log(float(np.quantile(own_s, 0.9)))
    best = minimize_scalar(error, bounds=(lowest, highest), method="bounded",
                           options={"xatol": 1e-4})  # fmt: skip
    return math.exp(float(best.x)), float(best.fun)


def _off(slots: int, service_s: float, core_s: float, most_cores: float) -> float:
    """How far an instance with all slots busy is from taking all the cores that it may (log)."""
    return abs(math.log(core_s * slots / service_s / most_cores))


def per_request(calls: FloatArray, load: FloatArray) -> float | None:
    """Calls that each request makes, over all steps in which both were measured."""
    both = np.isfinite(calls) & np.isfinite(load)
    total = float(load[both].sum())
    return float(calls[both].sum()) / total if total > 0.0 else None


def outside(load: FloatArray, calls: Mapping[str, FloatArray]) -> FloatArray:
    """What comes from no other service: the load without the calls; a gap where one has a gap."""
    rest = load - sum((values for values in calls.values()), start=np.zeros_like(load))
    return np.maximum(rest, 0.0)
