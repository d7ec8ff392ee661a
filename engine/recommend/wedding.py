"""Floors and protection from the booked schedule.

The *floor* is proactive: what the ordinary load needs until new instances could serve, plus the
largest load of the major events within the next two hours, summed over all that overlap.  The
*protection* is defensive: whatever else is recommended, no scale-in goes below what the booked
outlook needs, at an upper quantile, within the next two hours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from engine.capacity import Sizing
from engine.forecast.schedule import Curve
from engine.model import Outlook, Reason, Recommendation, ServiceSpec, WeddingContext
from engine.settings import WeddingSettings


@dataclass(frozen=True, slots=True)
class WeddingAssessment:
    """What the schedule asks of one service: floor, protection (instances)."""

    floor: int
    protected: int
    major_rate: float


def context(outlook: Outlook, at_s: float) -> WeddingContext:
    """Events in progress at `at_s`, as far as booked."""
    last = len(outlook.events) - 1
    b = min(max(int((at_s - outlook.start_s) / outlook.bin_s), 0), last)
    return WeddingContext(
        events=round(float(outlook.events[b]), 1),
        major_events=round(float(outlook.major_events[b]), 1),
        at_s=at_s,
    )


def assess_weddings(
    curve: Curve, sizing: Sizing, slowdown: float, lead_s: float, settings: WeddingSettings
) -> WeddingAssessment:
    """Floor and protection for the service whose load `curve` describes."""
    upper = NormalDist().inv_cdf(settings.floor_quantile)
    ratio = np.exp(curve.mean - np.log(np.maximum(curve.booked, 1e-9)) + upper * curve.sd)
    near = int(np.searchsorted(curve.ahead_s, lead_s, side="right"))
    far = int(np.searchsorted(curve.ahead_s, settings.lead_s, side="right"))
    ordinary = float(((curve.booked - curve.major) * ratio)[:near].max(initial=0.0))
    major = float((curve.major * ratio)[:far].max(initial=0.0))
    floor = 0
    if major > 0.0:
        floor = sizing.instances((ordinary + major) * slowdown, sizing.utilisation)
    until = int(np.searchsorted(curve.ahead_s, settings.protection_s, side="right"))
    z = NormalDist().inv_cdf(settings.protection_quantile)
    highest = float(curve.rate(z)[:until].max(initial=0.0))
    protected = sizing.instances(highest * slowdown, sizing.utilisation)
    return WeddingAssessment(floor, protected, major)


def wedding_floor(
    spec: ServiceSpec, weddings: WeddingAssessment, confidence: float, now_s: float
) -> Recommendation:
    """The floor as a recommendation."""
    return Recommendation(
        spec.name,
        weddings.floor,
        Reason.WEDDING_FLOOR,
        {"floor": float(weddings.floor), "major_rate": weddings.major_rate},
        confidence=confidence,
        trigger_s=now_s,
    )


def confidence_of(sd: float) -> float:
    """Confidence 0-1 in a forecast of log-standard deviation `sd`: 1 / (1 + 3 sd)."""
    return 1.0 / (1.0 + 3.0 * max(sd, 0.0)) if math.isfinite(sd) else 0.0
