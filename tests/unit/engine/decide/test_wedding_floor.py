"""Floors and protection: every row worked out by hand.

An instance serves 100 requests a second and may be 80 % busy: 80 a second each.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.recommend.wedding import (
    WeddingAssessment,
    assess_weddings,
    confidence_of,
    context,
    wedding_floor,
)
from engine.forecast.schedule import Curve
from engine.model import Reason
from engine.settings import WeddingSettings
from tests.unit.engine.conftest import NOW_S, make_outlook, make_spec
from tests.unit.engine.decide.conftest import SIMPLE, alone, curve_of

HALF = WeddingSettings(floor_quantile=0.5, protection_quantile=0.5)
BINS = 200
AT_S = 60.0 * (np.arange(BINS) - 1.0)
LEAD_S = 300.0


def floors(curve: Curve, slowdown: float, settings: WeddingSettings) -> WeddingAssessment:
    [own] = assess_weddings(alone(curve), [SIMPLE], [slowdown], [LEAD_S], settings=settings)
    return own


def between(from_s: float, until_s: float, rate: float, otherwise: float = 0.0) -> np.ndarray:
    return np.where((from_s <= AT_S) & (until_s > AT_S), rate, otherwise)


@pytest.mark.parametrize(
    ("ordinary", "major", "floor", "protected"),
    [
        # No major event, no floor; the booked load is protected: 400 / 80.
        (np.full(BINS, 400.0), np.zeros(BINS), 0, 5),
        # 400/s ordinary now and 800/s of a major event in an hour: 1200 / 80.
        (np.full(BINS, 400.0), between(3600.0, 7000.0, 800.0), 15, 15),
        # However little a major event brings, there is a floor for it: 41 / 80.
        (np.full(BINS, 40.0), between(3600.0, 7000.0, 1.0), 1, 1),
        # The ordinary load counts until new instances serve (300 s), the major one for two hours:
        # 80/s now, 1600/s ordinary in an hour, 800/s major at the same time: (80 + 800) / 80 = 11.
        (between(3600.0, 7000.0, 1600.0, 80.0), between(3600.0, 7000.0, 800.0), 11, 30),
        # In 300 s still counts (and a bin more, for the one that has begun), in 420 s not.
        # The two are not at once, so the protection is for the higher: (80 + 800) / 80 = 11.
        (between(300.0, 3000.0, 800.0, 80.0), between(3600.0, 7000.0, 800.0), 20, 11),
        (between(420.0, 3000.0, 800.0, 80.0), between(3600.0, 7000.0, 800.0), 11, 11),
        # Within 7200 s of now the major event counts, later it does not yet.
        (np.full(BINS, 80.0), between(7200.0, 9000.0, 800.0), 11, 11),
        (np.full(BINS, 80.0), between(7320.0, 9000.0, 800.0), 0, 1),
        # Events that overlap are in the load together, those that follow do not add up.
        (
            np.full(BINS, 80.0),
            between(600.0, 1200.0, 800.0) + between(900.0, 1500.0, 800.0),
            21,
            21,
        ),
        (np.full(BINS, 80.0), between(600.0, 900.0, 800.0) + between(900.0, 1500.0, 800.0), 11, 11),
        # A major event that is on now is not counted twice: its part is not ordinary.
        (np.full(BINS, 80.0), between(-60.0, 1500.0, 800.0), 11, 11),
        (np.zeros(BINS), np.zeros(BINS), 0, 0),
    ],
)
def test_floor_and_protection(ordinary, major, floor: int, protected: int) -> None:  # type: ignore[no-untyped-def]
    curve = curve_of(ordinary + major, major=major)
    weddings = floors(curve, 1.0, HALF)
    assert (weddings.floor, weddings.protected) == (floor, protected)
    assert weddings.major_rate == major[AT_S <= 7200.0].max()


def test_a_slow_service_and_a_busy_day_need_more() -> None:
    curve = curve_of(np.full(BINS, 400.0), major=np.full(BINS, 240.0))
    # 400 x 1.5 / 80 = 7.5
    assert floors(curve, 1.5, HALF) == (8, 8, 240.0)
    busy = curve_of(np.full(BINS, 400.0), major=np.full(BINS, 240.0), correction=math.log(2.0))
    weddings = floors(busy, 1.0, HALF)
    assert weddings == (10, 10, pytest.approx(480.0))


@pytest.mark.parametrize(
    ("floor_quantile", "protection_quantile", "floor", "protected"),
    [
        # One standard deviation is ln 2: the 84.13 % quantile is twice the median of 400/s.
        (0.5, 0.5, 5, 5),
        (0.8413447460685429, 0.5, 10, 5),
        (0.5, 0.8413447460685429, 5, 10),
        (0.8413447460685429, 0.8413447460685429, 10, 10),
    ],
)
def test_each_covers_its_own_quantile(
    floor_quantile, protection_quantile, floor, protected
) -> None:  # type: ignore[no-untyped-def]
    settings = WeddingSettings(
        floor_quantile=floor_quantile, protection_quantile=protection_quantile
    )
    # a hair less than 400, as twice the median is not exactly so
    curve = curve_of(np.full(BINS, 399.9), major=np.full(BINS, 100.0), sd=math.log(2.0))
    weddings = floors(curve, 1.0, settings)
    assert (weddings.floor, weddings.protected) == (floor, protected)


def test_the_protection_looks_as_far_as_it_is_told_to() -> None:
    curve = curve_of(between(1800.0, 9000.0, 800.0, 80.0))
    near = HALF.model_copy(update={"protection_s": 1200.0})
    assert floors(curve, 1.0, near).protected == 1
    far = HALF.model_copy(update={"protection_s": 1800.0})
    assert floors(curve, 1.0, far).protected == 10


def test_the_floor_as_a_recommendation() -> None:
    wish = wedding_floor(make_spec("photos"), WeddingAssessment(15, 12, 800.0), 0.7, NOW_S)
    assert (wish.service, wish.target, wish.reason) == ("photos", 15, Reason.WEDDING_FLOOR)
    assert wish.evidence == {"floor": 15.0, "major_rate": 800.0}
    assert (wish.confidence, wish.trigger_s) == (0.7, NOW_S)


@pytest.mark.parametrize(
    ("sd", "confidence"),
    [(0.0, 1.0), (1.0 / 3.0, 0.5), (1.0, 0.25), (-1.0, 1.0), (math.nan, 0.0), (math.inf, 0.0)],
)
def test_the_surer_the_forecast_the_more_confidence(sd: float, confidence: float) -> None:
    assert confidence_of(sd) == pytest.approx(confidence)


@pytest.mark.parametrize(
    ("at_s", "events", "major_events"),
    [
        (0.0, 1200.0, 60.0),
        (59.9, 1200.0, 60.0),
        (60.0, 7.3, 1.3),  # the second bin begins; rounded to a tenth
        (-0.1, 0.0, 0.0),
        (36_000.0, 0.0, 0.0),  # 600 bins of a minute end here
    ],
)
def test_the_events_behind_a_decision(at_s: float, events: float, major_events: float) -> None:
    outlook = make_outlook()
    outlook.events[1], outlook.major_events[1] = 7.34, 1.26
    behind = context(outlook, outlook.start_s + at_s)
    assert (behind.events, behind.major_events) == (events, major_events)
    assert behind.at_s == outlook.start_s + at_s
