"""Floors and protection from the booked schedule.

The *floor* is proactive: what the ordinary load needs until new instances could serve, plus the
largest load of the major events within the next two hours, summed over all that overlap.  The
*protection* is defensive: whatever else is recommended, no scale-in goes below what the booked
outlook needs, at an upper quantile, within the next two hours.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from engine.decide.sizing import Sizing
from engine.forecast.schedule import Curve
from engine.model import FloatArray, Outlook, Reason, Recommendation, ServiceSpec, WeddingContext
from engine.settings import WeddingSettings


class WeddingAssessment(NamedTuple):
    """What the schedule asks of one service: floor, protection (instances)."""

    floor: int
    protected: int
    major_rate: float


def context(outlook: Outlook, at_s: float) -> WeddingContext:
    """Events in progress at `at_s`, as far as booked; none where the calendar says nothing."""
    if not outlook.covers(at_s):
        return WeddingContext(at_s=at_s)
    b = int((at_s - outlook.start_s) / outlook.bin_s)
    return WeddingContext(
        events=round(float(outlook.events[b]), 1),
        major_events=round(float(outlook.major_events[b]), 1),
        at_s=at_s,
    )


def assess_weddings(
    curves: Curve,
    sizings: Sequence[Sizing],
    slowdowns: Sequence[float],
    leads_s: Sequence[float],
    *,
    settings: WeddingSettings,
) -> list[WeddingAssessment]:
    """Floor and protection for each service whose load `curves` (services, bins) describe."""
    ratio = curves.ratio(_score(settings.floor_quantile))
    booked = curves.booked * ratio
    major = curves.major * ratio
    majors = _highest(major[:, : curves.bins_within(settings.lead_s)])
    if settings.protection_quantile == settings.floor_quantile:
        upper = booked
    else:
        upper = curves.rate(_score(settings.protection_quantile))
    highest = _highest(upper[:, : curves.bins_within(settings.protection_s)])
    assessments = []
    for k, (sizing, slowdown, lead_s) in enumerate(zip(sizings, slowdowns, leads_s, strict=True)):
        floor = 0
        if majors[k] > 0.0:
            near = curves.bins_within(lead_s)
            ordinary = _highest(booked[k : k + 1, :near] - major[k : k + 1, :near])[0]
            floor = sizing.instances((ordinary + majors[k]) * slowdown, sizing.utilisation)
        protected = sizing.instances(highest[k] * slowdown, sizing.utilisation)
        assessments.append(WeddingAssessment(floor, protected, majors[k]))
    return assessments


def _highest(rates: FloatArray) -> list[float]:
    """The highest rate of each service (services, bins); 0 without any."""
    highest: list[float] = np.maximum.reduce(rates, axis=1, initial=0.0).tolist()
    return highest


@lru_cache(maxsize=64)
def _score(quantile: float) -> float:
    """Standard normal score of a quantile."""
    return NormalDist().inv_cdf(quantile)


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
