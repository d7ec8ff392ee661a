"""Each kind of recommendation, in a season made for it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from engine.model import BootTime, ServiceSpec
from engine.planning.advice import Advice, Kind, advise
from engine.planning.needs import Horizon, Paths
from engine.planning.profile import Profile
from engine.planning.purchase import Offer, bill
from engine.planning.season_plan import SeasonPlan, Terms, floors, plan_season, sized
from engine.settings import CapacitySettings, EngineSettings

DAYS, PATHS = 60, 100
SPEC = ServiceSpec(
    name="api",
    min_instances=3,
    max_instances=1000,
    slots=10,
    service_s=0.1,
    service_scv=1.0,
    boot=BootTime(60.0, 120.0),
    warmup_s=0.0,
    slo_p95_s=0.5,
    price_per_hour=1.0,
)
TERMS = Terms(
    risk=0.05,
    quota=math.inf,
    offers={"api": Offer(1.0, 0.6, 24.0 * DAYS, 0.55, 0.75)},
    sizes=(1.0,),
    overhead=0.03,
    overhead_range=(0.0, 0.1),
    zone_usd_per_hour=0.05,
    zone_range=(0.0, 0.1),
    noise_sigma=0.03,
)


@lru_cache(maxsize=1)
def horizon() -> Horizon:
    """A peak of 10 requests/s and wedding in one hour of the day, and 1,000 requests/s always."""
    entering = np.zeros((1, 48))
    entering[0, 18:22] = 10.0
    profile = Profile(entering, np.where(entering[0] > 0.0, 0.5, 0.0), np.full((1, 24), 1000.0))
    return Horizon(
        [profile] * DAYS,
        month=np.arange(DAYS) // 30,
        week=np.arange(DAYS) // 7,
        reach=np.eye(1),
    )


def season(
    spec: ServiceSpec = SPEC, terms: Terms = TERMS, zones: int = 3
) -> tuple[SeasonPlan, tuple[Advice, ...]]:
    settings = EngineSettings(capacity=CapacitySettings(zones=zones))
    drawn = [
        Paths(
            1000.0 * np.random.default_rng(seed).lognormal(0.0, 0.2, (PATHS, DAYS)),
            np.ones((PATHS, DAYS, 1)),
        )
        for seed in (1, 2)
    ]
    plan = plan_season([spec], horizon(), *drawn, settings=settings, terms=terms)
    return plan, advise([spec], plan, terms, zones)


def of(advice: tuple[Advice, ...], kind: Kind) -> Advice:
    (only,) = [each for each in advice if each.kind is kind]
    return only


def test_the_load_that_is_always_there_is_reserved() -> None:
    plan, advice = season()
    reserve = of(advice, Kind.RESERVE_INSTANCES)
    # 1,000 requests/s take 10.9 busy instances at 92 %, half as many again for a zone
    assert reserve.after == plan.plan.chosen["api"].bill.reserved
    assert 16 <= reserve.after <= 20
    assert reserve.saving_usd > 0.0
    assert reserve.cost_usd == pytest.approx(reserve.after * 0.6 * 24.0 * DAYS)
    assert reserve.confidence == 1.0
    evidence = reserve.evidence
    assert evidence["next_one_used_share_of_hours"] <= evidence["break_even_share_of_hours"]
    assert evidence["last_one_used_share_of_hours"] > evidence["break_even_share_of_hours"]


def test_savings_add_up_to_what_the_plan_saves() -> None:
    plan, advice = season(terms=replace(TERMS, sizes=(0.5, 1.0, 2.0)))
    kinds = (Kind.RESERVE_INSTANCES, Kind.CHANGE_INSTANCE_SIZE)
    today = plan.today["api"]
    on_demand = bill(today.used, today.offer, plan.hours, 0).total_usd
    saved = sum(each.saving_usd for each in advice if each.kind in kinds)
    assert saved == pytest.approx(on_demand - plan.plan.total_usd)


def test_a_dear_reservation_is_not_made_and_a_doubtful_one_says_so() -> None:
    dear = replace(TERMS, offers={"api": Offer(1.0, 0.999, 8760.0, 0.9, 1.1)})
    assert Kind.RESERVE_INSTANCES not in {each.kind for each in season(terms=dear)[1]}
    doubtful = replace(TERMS, offers={"api": Offer(1.0, 0.9, 24.0 * DAYS, 0.8, 1.2)})
    confidence = of(season(terms=doubtful)[1], Kind.RESERVE_INSTANCES).confidence
    assert 0.3 < confidence < 0.7  # half of the range of prices is above the on-demand price


def test_a_maximum_that_is_too_low_is_raised() -> None:
    plan, advice = season(replace(SPEC, max_instances=100))
    raise_max = of(advice, Kind.RAISE_MAX)
    assert advice[0] is raise_max  # what the SLO needs comes first
    assert (raise_max.before, raise_max.after) == (100.0, float(plan.plan.chosen["api"].used.most))
    assert raise_max.saving_usd == 0.0
    assert raise_max.cost_usd > 0.0
    assert raise_max.evidence["exceeded_in_share_of_seasons"] == 1.0
    assert 0.7 < raise_max.confidence <= 1.0  # two months, 5 % each


def test_the_minimum_follows_what_is_paid_for() -> None:
    plan, advice = season()
    raise_min = of(advice, Kind.RAISE_MIN)
    assert raise_min.after == of(advice, Kind.RESERVE_INSTANCES).after
    assert raise_min.cost_usd == 0.0
    assert floors(plan.plan.chosen["api"], 3).tolist() == [raise_min.after] * 2


def test_one_more_zone_spares_spare_capacity() -> None:
    plan, advice = season()
    add_zone = of(advice, Kind.ADD_ZONE)
    assert (add_zone.before, add_zone.after) == (3.0, 4.0)
    assert add_zone.cost_usd == pytest.approx(0.05 * 24.0 * DAYS)
    assert add_zone.saving_usd == pytest.approx(
        plan.plan.total_usd - plan.wider.total_usd - add_zone.cost_usd
    )
    dear = replace(TERMS, zone_usd_per_hour=1e6, zone_range=(1e6, 1e6))
    assert Kind.ADD_ZONE not in {each.kind for each in season(terms=dear)[1]}
    assert Kind.ADD_ZONE not in {each.kind for each in season(zones=1)[1]}


def test_a_quota_is_met_by_larger_instances_or_raised() -> None:
    free = season()[0].plan.quota
    terms = replace(TERMS, sizes=(1.0, 2.0), quota=free - 1.0)
    plan, advice = season(terms=terms)
    assert plan.fits
    assert plan.plan.chosen["api"].factor == 2.0
    raise_quota = of(advice, Kind.RAISE_QUOTA)
    assert raise_quota.after == float(plan.free.quota)
    assert raise_quota.saving_usd == pytest.approx(plan.plan.total_usd - plan.free.total_usd)
    size = of(advice, Kind.CHANGE_INSTANCE_SIZE)
    assert size.evidence["most_instances_after"] <= terms.quota
    none, advice = season(terms=replace(TERMS, quota=5.0))
    assert not none.fits
    assert of(advice, Kind.RAISE_QUOTA).evidence["fits_with_other_sizes"] == 0.0


def test_a_stateful_service_at_its_limit_gets_larger_instances() -> None:
    stateful = replace(SPEC, stateful=True, max_instances=200)
    terms = replace(TERMS, sizes=(1.0, 2.0, 4.0))
    plan, advice = season(stateful, terms)
    chosen = plan.plan.chosen["api"]
    assert chosen.factor > 1.0
    assert chosen.used.most <= 200
    assert of(advice, Kind.CHANGE_INSTANCE_SIZE).evidence["today_fits_the_limit"] == 0.0
    assert Kind.RAISE_MAX not in {each.kind for each in advice}
    # and if none is large enough, its limit has to go up after all
    advice = season(replace(stateful, max_instances=10), terms)[1]
    assert of(advice, Kind.RAISE_MAX).after > 10


@pytest.mark.parametrize(
    ("factor", "slots", "least"), [(1.0, 10, 6), (0.5, 4, 6), (2.0, 20, 3), (4.0, 40, 3)]
)
def test_a_size_has_its_slots_and_its_share_of_the_minimum(
    factor: float, slots: int, least: int
) -> None:
    other = sized(replace(SPEC, min_instances=6), factor, TERMS, 3)
    assert (other.slots, other.min_instances) == (slots, least)
    assert other.price_per_hour == factor


def test_the_limits_keep_to_the_risk_on_paths_they_were_not_made_from() -> None:
    plan, _ = season()
    assert np.all(plan.exceeded <= 0.05 + 3.0 * math.sqrt(0.05 * 0.95 / PATHS) * math.sqrt(2.0))
