"""Targets from the load to come: every row worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from engine.decide.recommend.forecast import forecast, lead_time_s, needed, step_discount
from engine.decide.sizing import Sizings
from engine.forecast.schedule import Curve
from engine.model import Reason
from engine.settings import ForecastSettings
from tests.unit.engine.conftest import NOW_S, make_spec
from tests.unit.engine.decide.conftest import SIMPLE, alone, curve_of


def test_the_lead_time_is_the_boot_time_at_its_quantile_and_warming_up() -> None:
    # median 60 s, 95 % within 120 s, and 10 s to warm up
    assert lead_time_s(make_spec(), ForecastSettings(boot_quantile=0.95)) == pytest.approx(130.0)
    assert lead_time_s(make_spec(), ForecastSettings(boot_quantile=0.5)) == pytest.approx(70.0)


@pytest.mark.parametrize(
    ("zones", "sd", "slowdown", "count"),
    [
        (1, 0.0, 1.0, 5),  # 400 / 80
        (1, 0.0, 2.0, 10),
        (1, math.log(2.0), 1.0, 10),  # one standard deviation above the median is twice as much
        (3, 0.0, 1.0, 8),  # 5 for the median, and 3 more for a zone of three
        (3, 0.0, 2.0, 15),
        (3, math.log(2.0), 1.0, 10),  # the quantile needs more than the zone does
    ],
)
def test_what_a_load_needs(zones: int, sd: float, slowdown: float, count: int) -> None:
    curve = curve_of([400.0 - 1e-6] * 3, sd=sd)
    sizings = Sizings.of((SIMPLE._replace(zones=zones),))
    need = needed(alone(curve), sizings, np.array([[slowdown]]), np.array([[1.0]]))
    assert need.tolist() == [[count] * 3]


def test_services_are_sized_at_once_as_they_are_one_by_one() -> None:
    sizings = [SIMPLE, SIMPLE._replace(zones=3), SIMPLE._replace(utilisation=0.5, zones=2)]
    own = [curve_of([80.0, 4000.0, 0.0], sd=0.1 * (k + 1), correction=0.2 * k) for k in range(3)]
    slowdown, risk_z = np.array([[1.0], [1.5], [2.0]]), np.array([[2.0], [0.0], [1.0]])
    figures = (np.array([curve[k] for curve in own]) for k in range(1, 5))
    together = Curve(own[0].ahead_s, *figures, bin_s=own[0].bin_s)
    need = needed(together, Sizings.of(tuple(sizings)), slowdown, risk_z)
    for k, curve in enumerate(own):
        alike = needed(alone(curve), Sizings.of((sizings[k],)), slowdown[[k]], risk_z[[k]])
        assert need[k].tolist() == alike[0].tolist()
        rates = slowdown[k] * curve.rate(float(risk_z[k, 0])), slowdown[k] * curve.rate(0.0)
        one_by_one = [
            sizings[k].needed(*pair) for pair in zip(*map(np.ndarray.tolist, rates), strict=True)
        ]
        assert need[k].tolist() == one_by_one


@pytest.mark.parametrize(
    ("at_bin", "discount"),
    [
        # Bin k may begin k - 1 minutes from now; lead time 120 s, a step a minute, half more each.
        (0, 1.0),
        (3, 1.0),  # 120 s: no step fits in before it
        (4, 1.5),
        (5, 2.25),
        (6, 3.375),
    ],
)
def test_what_can_still_be_asked_for_in_later_steps_weighs_less(at_bin, discount) -> None:  # type: ignore[no-untyped-def]
    assert step_discount(8, 60.0, 120.0, 60.0, step_out=0.5)[at_bin] == pytest.approx(discount)


def test_steps_are_counted_in_whole_cooldowns_and_not_without_end() -> None:
    # cooldown 100 s: 60, 120 and 180 s after the lead time leave 0, 1 and 1 steps
    assert step_discount(7, 60.0, 120.0, 100.0, step_out=1.0).tolist() == [1, 1, 1, 1, 1, 2, 2]
    # no cooldown counts as one of a second; 64 steps at most
    assert step_discount(200, 60.0, 0.0, 0.0, step_out=1.0)[-1] == 2.0**64


@pytest.mark.parametrize(
    ("need", "discount", "target", "at_bin"),
    [
        ([4.0, 4.0, 4.0, 4.0], [1.0, 1.0, 1.0, 1.5], 4, 0),  # of equal ones the first
        ([4.0, 4.0, 6.0, 4.0], [1.0, 1.0, 1.0, 1.5], 6, 2),
        ([4.0, 4.0, 4.0, 10.0], [1.0, 1.0, 1.0, 1.5], 7, 3),  # 6.67
        ([4.0, 4.0, 4.0, 9.0], [1.0, 1.0, 1.0, 1.5], 6, 3),  # 6 exactly, not rounded up
        ([7.0, 4.0, 4.0, 10.0], [1.0, 1.0, 1.0, 1.5], 7, 0),  # 6.67 is less than 7
    ],
)
def test_the_target_meets_every_later_need_in_time(need, discount, target, at_bin) -> None:  # type: ignore[no-untyped-def]
    curve = curve_of([100.0, 200.0, 300.0, 400.0], correction=math.log(2.0), sd=0.1)
    wish = forecast(
        make_spec(), curve, np.array(need), np.array(discount), confidence=0.7, now_s=NOW_S
    )
    assert (wish.service, wish.target, wish.reason) == ("api", target, Reason.FORECAST)
    assert wish.evidence == pytest.approx(
        {
            "rate": 2.0 * 100.0 * (at_bin + 1),
            "sd": 0.1,
            "need": need[at_bin],
            "ahead_s": max(60.0 * (at_bin - 1), 0.0),
        }
    )
    assert (wish.confidence, wish.trigger_s) == (0.7, NOW_S)
