"""Floors and protection from the booked schedule.

The *floor* is proactive: what the ordinary load needs until new instances could serve, plus the
largest load of the major events within the next two hours, summed over all that overlap.  The
*protection* is defensive: whatever else is recommended, no scale-in goes below what the booked
outlook needs, at an upper quantile, within the next two hours.
"""

from __future__ import annotations

import math
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
    curve: Curve, sizing: Sizing, slowdown: float, lead_s: float, settings: WeddingSettings
) -> WeddingAssessment:
    """Floor and protection for the service whose load `curve` describes."""
    ratio = curve.ratio(_score(settings.floor_quantile))
    near, far = curve.bins_within(lead_s), curve.bins_within(settings.lead_s)
    booked = curve.booked * ratio
    major = curve.major * ratio
    highest_major = _highest(major[:far])
    floor = 0
    if highest_major > 0.0:
        ordinary = _highest(booked[:near] - major[:near])
        floor = sizing.instances((ordinary + highest_major) * slowdown, sizing.utilisation)
    if settings.protection_quantile != settings.floor_quantile:
        booked = curve.rate(_score(settings.protection_quantile))
    highest = _highest(booked[: curve.bins_within(settings.protection_s)])
    protected = sizing.instances(highest * slowdown, sizing.utilisation)
    return WeddingAssessment(floor, protected, highest_major)


def _highest(rates: FloatArray) -> float:
    """The highest of the rates, 0 without any; `ndarray.max` takes twice as long for so few."""
    return float(np.maximum.reduce(rates, initial=0.0))


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
