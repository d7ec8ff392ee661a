"""What an occasion would take, before anybody approves it: instances, steps and when, USD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from engine.decide.callgraph import critical_services
from engine.decide.sizing import risk_score
from engine.forecast.occasions import with_occasions
from engine.model import FloatArray, Occasion, Outlook, ServiceSpec
from engine.prediction.timeline import ScalingStep, instances_needed, timeline
from engine.settings import EngineSettings

HOUR_S = 3600.0


@dataclass(frozen=True, slots=True, eq=False)
class OccasionPreview:
    """What an occasion would take: `peak` and `usual` instances by service, steps, and USD.

    `is_known` is False where the outlook does not reach to its end: then less is said than comes.
    """

    usual: dict[str, int]
    peak: dict[str, int]
    steps: tuple[ScalingStep, ...]
    cost_usd: float
    is_known: bool


def preview(
    outlook: Outlook,
    occasion: Occasion,
    specs: Sequence[ServiceSpec],
    settings: EngineSettings,
    *,
    now_s: float,
) -> OccasionPreview:
    """What the occasion would take on top of the outlook, worked back as the engine does it."""
    start_s = math.floor(now_s / HOUR_S) * HOUR_S
    until_s = min(occasion.ends_s + HOUR_S, outlook.end_s)
    hours = max(math.ceil((until_s - start_s) / HOUR_S), 1)
    approved = replace(occasion, approved_by=occasion.approved_by or "?", ended_by="")
    shown = with_occasions(outlook, (approved,), specs)
    without = _needed(outlook, specs, settings, start_s, hours=hours)
    needed = _needed(shown, specs, settings, start_s, hours=hours)
    prices = np.array([spec.price_per_hour for spec in specs])
    usual, peak = without.max(axis=1), needed.max(axis=1)
    differ = [k for k in range(len(specs)) if (needed[k] > without[k]).any()]
    steps = timeline(
        needed[differ], [specs[k] for k in differ], start_s, settings
    ) if differ else ()  # fmt: skip
    return OccasionPreview(
        usual={specs[k].name: int(usual[k]) for k in differ},
        peak={specs[k].name: int(peak[k]) for k in differ},
        steps=tuple([step for step in steps if step.ready_s >= now_s]),
        cost_usd=float((np.maximum(needed - without, 0.0).sum(axis=1) * prices).sum()),
        is_known=occasion.ends_s <= outlook.end_s,
    )


def _needed(
    outlook: Outlook, specs: Sequence[ServiceSpec], settings: EngineSettings, start_s: float,
    *, hours: int,
) -> FloatArray:  # fmt: skip
    """Instances (services, hours) for the highest load of each hour, at the accepted risk."""
    critical = critical_services(specs)
    likely = np.zeros((len(specs), hours))
    median = np.zeros_like(likely)
    for k, spec in enumerate(specs):
        if spec.name not in outlook.services:
            continue
        score = risk_score(settings.forecast, critical=spec.name in critical)
        for hour in range(hours):
            from_s = max(start_s + hour * HOUR_S, outlook.start_s)
            rate = outlook.peak(spec.name, from_s, start_s + (hour + 1) * HOUR_S)
            median[k, hour] = rate if rate >= 0.0 else 0.0
        likely[k] = median[k] * math.exp(score * outlook.sigma)
    return instances_needed(likely, median, specs, settings)
