"""What limits first, where it can be worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from engine.model import BootTime, Budget, ServiceSpec
from engine.planning.bottleneck import BusiestDate, Limit, Rung, Variation, carried, gust, ladder
from engine.planning.needs import staffing
from engine.settings import EngineSettings

CALM = Variation(day_sigma=0.0, noise_sigma=0.0, noise_time_s=1e9)
NO_BUDGET = Budget()
SPEC = ServiceSpec(
    name="api",
    min_instances=1,
    max_instances=1000,
    slots=10,
    service_s=0.1,
    service_scv=1.0,
    boot=BootTime(60.0, 120.0),
    warmup_s=0.0,
    slo_p95_s=0.5,
    price_per_hour=0.1,
)


def rungs(
    *specs: ServiceSpec,
    per_wedding: float = 1.0,
    budget: Budget = NO_BUDGET,
    variation: Variation = CALM,
    background: float = 0.0,
) -> tuple[Rung, ...]:
    shape = np.array([0.1, 0.5, 1.0, 0.4])
    day = BusiestDate(
        per_wedding=np.outer(np.full(len(specs), per_wedding), shape),
        background=np.full((len(specs), 4), background),
        start_s=0.0,
        bin_s=300.0,
    )
    settings = EngineSettings()
    staffings = {
        spec.name: staffing(spec, specs, settings, variation.noise_sigma) for spec in specs
    }
    return ladder(specs, staffings, day, variation, budget=budget)


def test_a_large_pool_gives_way_when_every_slot_is_busy() -> None:
    (rung,) = rungs(SPEC)
    # 1,000 instances serve 100 requests a second each
    assert rung.lost == pytest.approx(100_000.0, rel=0.001)
    assert rung.limit is Limit.MAX_INSTANCES
    assert rung.at_s == 750.0  # the middle of the third bin
    # with a zone to spare two thirds remain, of which 92 % may be busy
    assert rung.safe == pytest.approx(100_000.0 * 2.0 / 3.0 * 0.92, rel=0.01)


def test_what_is_there_without_weddings_takes_its_part() -> None:
    (rung,) = rungs(SPEC, background=40_000.0)
    assert rung.lost == pytest.approx(60_000.0, rel=0.001)


def test_services_come_in_the_order_in_which_they_give_way() -> None:
    small = replace(SPEC, name="database", max_instances=400, stateful=True)
    ladder = rungs(SPEC, small)
    assert [rung.service for rung in ladder] == ["database", "api"]
    assert ladder[0].limit is Limit.STATEFUL
    assert ladder[1].lost == pytest.approx(2.5 * ladder[0].lost, rel=0.01)


def test_a_service_without_load_has_no_limit() -> None:
    assert rungs(SPEC, per_wedding=0.0) == ()


def test_a_quota_is_shared() -> None:
    other = replace(SPEC, name="jobs", user_facing=False)
    quota = rungs(SPEC, other, budget=Budget(instances=300.0))[0]
    assert (quota.service, quota.limit) == ("", Limit.QUOTA)
    # the users' service is held with a zone to spare, the jobs get the rest
    assert quota.lost == pytest.approx(300.0 * 100.0 / (1.5 / 0.92 + 1.0), rel=0.03)
    assert quota.safe <= quota.lost
    budget = rungs(SPEC, other, budget=Budget(usd_per_hour=30.0))[0]
    assert budget.limit is Limit.BUDGET
    assert budget.lost == pytest.approx(quota.lost, rel=1e-6)


def test_days_that_differ_make_an_interval_and_noise_lowers_the_limit() -> None:
    calm = rungs(SPEC)[0]
    (rung,) = rungs(SPEC, variation=Variation(0.1, 0.03, 120.0))
    assert rung.lost_low == pytest.approx(rung.lost / math.exp(0.128), rel=0.01)
    assert rung.lost_high == pytest.approx(rung.lost * math.exp(0.128), rel=0.01)
    assert 0.9 * calm.lost < rung.lost < calm.lost


def test_a_longer_peak_meets_a_higher_gust() -> None:
    variation = Variation(0.1, 0.03, 120.0)
    short, long = np.array([0.1, 1.0, 0.1]), np.ones(24)
    assert 1.0 < gust(short, 300.0, variation) < gust(long, 300.0, variation) < 1.12
    assert gust(long, 300.0, CALM) == 1.0
    assert gust(np.zeros(3), 300.0, variation) == 1.0


@pytest.mark.parametrize("count", [0.0, 1.0, 2.0, 50.0, 1e6])
def test_more_instances_carry_more_each(count: float) -> None:
    own = carried(SPEC, count, CALM)
    assert 0.0 <= own <= 100.0 * count * (1.0 + 1e-6)
    assert carried(SPEC, 2.0 * count, CALM) >= 2.0 * own
