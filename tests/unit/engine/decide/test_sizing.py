"""Rate to instances: every row worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decide.sizing import Sizing, risk_score, sizing
from engine.settings import CapacitySettings, ForecastSettings
from tests.unit.engine.conftest import make_spec

# One instance serves 100 requests a second, the spread is 0.5 instances, 80 % may be busy.
ONE_ZONE = Sizing(instances_per_rate=0.01, spread=0.5, utilisation=0.8, zones=1)
THREE_ZONES = Sizing(instances_per_rate=0.01, spread=0.5, utilisation=0.8, zones=3)


@pytest.mark.parametrize(
    ("rate", "count"),
    [
        (0.0, 0),
        (-5.0, 0),
        (1.0, 1),  # 0.01 + 0.5 x 0.1 = 0.06
        (100.0, 2),  # 1 + 0.5 x 1 = 1.5
        (400.0, 5),  # 4 + 0.5 x 2 = 5, and 4 / 0.8 = 5: a whole number is not rounded up
        (10_000.0, 125),  # 100 + 0.5 x 10 = 105, less than 100 / 0.8
    ],
)
def test_staffing_by_the_square_root_under_a_ceiling(rate: float, count: int) -> None:
    assert ONE_ZONE.instances(rate, ONE_ZONE.utilisation) == count


@pytest.mark.parametrize(
    ("rate", "count"),
    [
        (0.0, 0),
        (9.0, 1),  # 0.09 + the smaller of 0.5 x 0.3 and 0.25
        (100.0, 2),  # 1 + 0.25, not the 0.5 of the square root, but 1 / 0.8 = 1.25: no less
        (300.0, 4),  # 3 + 0.25 = 3.25, not 3.87; 3 / 0.8 = 3.75 decides
        (10_000.0, 125),  # the ceiling as before
    ],
)
def test_no_more_room_than_what_the_slo_leaves_for_waiting_takes(rate: float, count: int) -> None:
    size = ONE_ZONE._replace(room=0.25)
    assert size.instances(rate, size.utilisation) == count
    assert size.instances_along(np.array([rate]), size.utilisation).tolist() == [count]
    lax = size._replace(utilisation=0.99)
    assert lax.instances(425.0, 0.99) == 5  # 4.25 + 0.25 = 4.5; the square root would take 5.28: 6


def test_a_service_that_works_more_slowly_leaves_less_of_its_slo_to_waiting() -> None:
    size = ONE_ZONE._replace(room=0.25, held=0.25)
    assert size.with_room_for(1.0) is size
    # Twice as long: 0.5 of the SLO is left instead of 0.75, for requests of twice the time.
    assert size.with_room_for(2.0) == size._replace(room=0.75, held=0.5)
    assert size.with_room_for(4.0).room == math.inf  # the service time alone takes the SLO
    assert size.with_room_for(5.0).room == math.inf
    assert size.with_room_for(5.0).instances(400.0, 0.8) == ONE_ZONE.instances(400.0, 0.8)


@pytest.mark.parametrize(
    ("zones", "count", "spared"),
    [(1, 10, 10), (2, 10, 20), (3, 10, 15), (3, 11, 17), (4, 10, 14), (3, 0, 0), (3, 1, 2)],
)
def test_the_rest_suffices_when_the_fullest_zone_is_lost(
    zones: int, count: int, spared: int
) -> None:
    size = Sizing(0.01, 0.5, 0.8, zones)
    assert size.with_zone_to_spare(count) == spared
    assert size.with_zone_to_spare_along(np.array([float(count)])).tolist() == [spared]
    if zones > 1:
        assert spared - math.ceil(spared / zones) >= count
        assert spared == 0 or spared - 1 - math.ceil((spared - 1) / zones) < count


@pytest.mark.parametrize(
    ("size", "likely", "median", "count"),
    [
        (ONE_ZONE, 400.0, 100.0, 5),  # without a zone to spare the median is of no account
        (ONE_ZONE, 100.0, 400.0, 2),  # not even where it is the higher one
        (THREE_ZONES, 400.0, 400.0, 8),  # 5, and half as many again, rounded up
        (THREE_ZONES, 440.0, 400.0, 8),  # 4.4 / 0.8 = 5.5: 6, less than the 8 for the median
        (THREE_ZONES, 10_000.0, 400.0, 125),  # very uncertain: the quantile takes more
    ],
)
def test_a_zone_and_the_unlikely_minute_are_not_lost_at_once(
    size: Sizing, likely: float, median: float, count: int
) -> None:
    assert size.needed(likely, median) == count
    assert size.needed_along(np.array([likely]), np.array([median])).tolist() == [count]


rates = st.floats(0.0, 1e7)


@given(
    st.builds(
        Sizing,
        instances_per_rate=st.floats(1e-5, 10.0),
        spread=st.floats(0.0, 5.0),
        utilisation=st.floats(0.1, 0.99),
        zones=st.integers(1, 8),
        room=st.floats(0.0, 5.0) | st.just(math.inf),
        held=st.just(0.5),
    ),
    st.lists(st.tuples(rates, rates), min_size=1, max_size=20),
)
def test_one_rate_and_many_rates_give_the_same_counts(
    size: Sizing, pairs: list[tuple[float, float]]
) -> None:
    likely, median = np.array(pairs).T
    along = size.needed_along(likely, median)
    assert along.tolist() == [size.needed(*pair) for pair in pairs]
    assert likely.tolist() == [pair[0] for pair in pairs]  # what is passed in is left alone
    ordered = size.needed_along(np.sort(likely), np.sort(median))
    assert np.all(np.diff(ordered) >= 0.0)  # more load never takes fewer


@pytest.mark.parametrize(
    ("survives", "critical", "zones"),
    [("all", False, 3), ("critical", True, 3), ("critical", False, 1), ("none", True, 1)],
)
def test_a_zone_is_spared_for_whom_it_is_to_be(survives: str, critical: bool, zones: int) -> None:
    settings = CapacitySettings.model_validate({"survive_zone_loss": survives, "zones": 3})
    size = sizing(make_spec(), settings, critical=critical)
    assert size.zones == zones
    ceiling = settings.max_utilisation if critical else settings.max_utilisation_deferred
    assert size.utilisation == ceiling
    # ten slots of 0.1 s: 100 requests/s; exponential service: 1.5 x sqrt(1 / 10)
    assert size.instances_per_rate == pytest.approx(0.01)
    assert size.spread == pytest.approx(1.5 * math.sqrt(0.1))
    # Log-normal with a variance of ln 2: 97.5 % take at most 0.1 exp(1.96 x 0.8326 - 0.3466) s
    # = 0.3615 s of the SLO's 0.5, so 0.1385 s are left for waiting.
    assert size.held == pytest.approx(0.7231, abs=1e-4)
    # ln 2000 x 0.1 / 0.1385 = 5.49 of ten slots, or with ln 40 2.67
    assert size.room == pytest.approx(0.549 if critical else 0.267, abs=1e-3)


def test_where_the_service_time_alone_takes_the_slo_the_square_root_decides() -> None:
    size = sizing(make_spec(slo_p95_s=0.36), CapacitySettings(), critical=True)
    assert size.room == math.inf
    whole_s = 0.5 * sizing(make_spec(), CapacitySettings(), critical=True).held
    size = sizing(make_spec(slo_p95_s=whole_s), CapacitySettings(), critical=True)
    assert (size.held, size.room) == (1.0, math.inf)
    assert ONE_ZONE.with_room_for(2.0) == ONE_ZONE._replace(held=2.0)


def test_each_service_has_the_risk_that_is_accepted_for_it() -> None:
    risks = ForecastSettings(risk=0.02, risk_deferred=0.1)
    assert risk_score(risks, critical=True) == pytest.approx(2.0537, abs=1e-4)
    assert risk_score(risks, critical=False) == pytest.approx(1.2816, abs=1e-4)
