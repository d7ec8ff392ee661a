"""When to ask for what: a load forecast by the hour as a list of scaling actions.

Worked back as the engine does it (`recommend.forecast`): an instance asked for now serves after the
boot-time quantile, each step is at most `step_out` and a cooldown after the one before.  So a steep
rise begins with small steps early, and the plan says by when each one has to be taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from engine.decide.callgraph import critical_services
from engine.decide.recommend.forecast import lead_time_s, step_discount
from engine.decide.sizing import risk_score, sizing
from engine.model import FloatArray, ServiceSpec
from engine.prediction.forecaster import LEVELS
from engine.settings import EngineSettings

STEP_S = 300.0
HOUR_S = 3600.0
SCORES = np.array([NormalDist().inv_cdf(level) for level in LEVELS])
TINY = 1e-12
"""Requests/s that count as none: zero has no logarithm."""
BEFORE_S = 4 * HOUR_S
"""The plan begins so long before the first hour."""


@dataclass(frozen=True, slots=True)
class ScalingStep:
    """Change `service` to `to_instances` at `at_s`; they serve by `ready_s` (epoch seconds).

    `for_s` is the hour that needs them; for a step down, when they are no longer needed.
    """

    at_s: float
    service: str
    from_instances: int
    to_instances: int
    ready_s: float
    for_s: float


def instances_needed(
    likely: FloatArray, median: FloatArray, specs: Sequence[ServiceSpec], settings: EngineSettings
) -> FloatArray:
    """Instances (S, hours) as the engine counts them, within each service's limits.

    `likely` and `median` (S, hours) requests/s as for `Sizing.needed`.
    """
    critical = critical_services(specs)
    needed = np.empty(likely.shape)
    for i, spec in enumerate(specs):
        size = sizing(spec, settings.capacity, critical=spec.name in critical)
        count = size.needed_along(likely[i], median[i])
        needed[i] = np.clip(count, spec.min_instances, spec.max_instances)
    return needed


def at_accepted_risk(
    quantiles: FloatArray, specs: Sequence[ServiceSpec], settings: EngineSettings
) -> FloatArray:
    """The load (S, hours) that each service is to be ready for by the risk accepted for it.

    `quantiles` (S, hours, LEVELS) requests/s; between the levels, and beyond the outermost two, the
    logarithm of the load is a straight line in the standard normal score.
    """
    critical = critical_services(specs)
    logs = np.log(np.maximum(quantiles, TINY))
    likely = np.empty(quantiles.shape[:2])
    for i, spec in enumerate(specs):
        score = risk_score(settings.forecast, critical=spec.name in critical)
        upper = int(np.clip(np.searchsorted(SCORES, score), 1, len(SCORES) - 1))
        share = (score - SCORES[upper - 1]) / (SCORES[upper] - SCORES[upper - 1])
        likely[i] = np.exp(logs[i, :, upper - 1] * (1.0 - share) + logs[i, :, upper] * share)
    return np.where(likely > 2.0 * TINY, likely, 0.0)


def timeline(
    needed: FloatArray, specs: Sequence[ServiceSpec], start_s: float, settings: EngineSettings
) -> tuple[ScalingStep, ...]:
    """The steps that make `needed` (S, hours) stand ready from `start_s` on, in order of time."""
    steps: list[ScalingStep] = []
    for row, spec in zip(needed, specs, strict=True):
        steps.extend(_of_service(row, spec, start_s, settings))
    return tuple(sorted(steps, key=lambda step: (step.at_s, step.service)))


def _of_service(
    needed: FloatArray, spec: ServiceSpec, start_s: float, settings: EngineSettings
) -> list[ScalingStep]:
    limits = settings.limits
    lead_s = lead_time_s(spec, settings.forecast)
    per_hour = int(HOUR_S / STEP_S)
    before = int(BEFORE_S / STEP_S)
    along = np.concatenate((np.full(before, needed[0]), np.repeat(needed, per_hour)))
    bins = len(along)
    discount = step_discount(bins, STEP_S, lead_s, limits.cooldown_out_s, step_out=limits.step_out)
    padded = np.concatenate((along, np.zeros(bins)))
    ahead = (np.lib.stride_tricks.sliding_window_view(padded, bins)[:bins] / discount).max(axis=1)
    target = np.ceil(ahead - 1e-9).astype(np.int64)
    # Down only to what the time that more would take to come back leaves room for.
    reach = max(math.ceil((lead_s + limits.stabilisation_s) / STEP_S), 1)
    every_out = max(math.ceil(limits.cooldown_out_s / STEP_S), 1)
    every_in = max(math.ceil(limits.cooldown_in_s / STEP_S), 1)
    first_s = start_s - BEFORE_S
    current = max(int(target[0]), spec.min_instances)
    steps = []
    next_out = next_in = 0
    for b in range(bins):
        wanted = max(int(target[b]), spec.min_instances)
        if wanted > current and b >= next_out:
            to = min(wanted, math.ceil(current * (1.0 + limits.step_out)), spec.max_instances)
            at_s = first_s + b * STEP_S
            for_s = at_s + int((along[b:] > current).argmax()) * STEP_S
            if to > current:
                steps.append(ScalingStep(at_s, spec.name, current, to, at_s + lead_s, for_s))
            current, next_out = to, b + every_out
        elif b >= next_in:
            keep = int(target[b : b + reach].max())
            to = max(keep, math.ceil(current * (1.0 - limits.step_in)), spec.min_instances)
            if to < current * (1.0 - limits.tolerance_in):
                at_s = first_s + b * STEP_S
                steps.append(ScalingStep(at_s, spec.name, current, to, at_s, at_s))
                current, next_in = to, b + every_in
    return steps
