"""What must hold of warm instances, whatever is asked for and whenever."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from engine import Autoscaler, EngineSettings
from engine.model import BootTime, Budget, Observation, Quantity, ServiceSpec, WarmOffer
from engine.settings import SurgeSettings
from tests.unit.engine.conftest import NOW_S, make_outlook, make_service, make_spec, make_window
from twin.world.fleet import Fleet

offers = st.builds(
    WarmOffer, st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 60)
)  # fmt: skip


@given(
    offer=offers,
    held=st.integers(0, 80),
    load=st.floats(0.0, 50_000.0),
    bill_share=st.floats(0.0, 1.0),
    per_day=st.floats(0.0, 20.0),
    budget=st.one_of(st.just(math.inf), st.floats(0.0, 5.0)),
)
def test_never_more_than_is_offered_or_can_be_paid_and_never_less_than_none(
    offer: WarmOffer, held: int, load: float, bill_share: float, *, per_day: float, budget: float
) -> None:
    spec = make_spec(warm=offer, user_facing=True)
    settings = EngineSettings(surge=SurgeSettings(per_day=per_day, bill_share=bill_share))
    service = make_service(spec, warm_desired=held, window=make_window(rate=min(load, 1000.0)))
    plan = Autoscaler(settings).step(
        Observation(NOW_S, (service,), make_outlook(load), budget=Budget(budget))
    )
    warm = [action for action in plan.actions if action.quantity is Quantity.WARM]
    assert len(warm) <= 1
    for action in warm:
        assert 0 <= action.to_instances <= offer.most
        assert action.from_instances == held != action.to_instances
        assert action.cost_per_hour == pytest.approx(
            (action.to_instances - held) * spec.price_per_hour * offer.price_share
        )
        if action.to_instances > held:
            cost = action.to_instances * spec.warm_price_per_hour
            assert cost <= bill_share * service.desired * spec.price_per_hour + 1e-6
            steps = [one for one in plan.actions if one.quantity is Quantity.INSTANCES]
            desired = steps[0].to_instances if steps else service.desired
            assert cost + desired * spec.price_per_hour <= budget + 1e-6


steps = st.lists(
    st.tuples(st.integers(0, 200), st.sampled_from(["want", "hold", "lose"]), st.integers(0, 30)),
    min_size=1,
    max_size=12,
)


@given(offers, steps)
def test_what_is_held_is_counted_paid_for_and_launched_once(
    offer: WarmOffer, asked: list[tuple[int, str, int]]
) -> None:
    env = simpy.Environment()
    boot = BootTime(100.0, 300.0)
    spec = ServiceSpec("api", 1, 1000, 16, 0.04, 1.5, boot, 10.0, 0.5, 3600.0, warm=offer)
    fleet = Fleet(
        env, spec, 3, 30.0, rng=np.random.default_rng(1), changed=lambda *_: None,
        warm_rng=np.random.default_rng(2),
    )  # fmt: skip
    fleet.start_with(3)
    pool = fleet.warm
    assert pool is not None
    usd = 0.0
    for wait_s, what, count in asked:
        for _ in range(wait_s):  # whole seconds, between which nothing changes
            usd += pool.usd_per_hour() / 3600.0
            env.run(until=env.now + 1.0)
        held, booting = pool.held, fleet.booting
        missing = max(count - fleet.ready - booting, 0)
        if what == "want":
            fleet.want(count)
            if missing:
                assert fleet.booting == booting + missing
                assert pool.held == held - min(held, missing)
        elif what == "hold":
            pool.want(min(count, offer.most))
        else:
            fleet.lose_zone(count % 3)
            fleet.restore_zone(count % 3)
            fleet.reconcile()
        assert min(pool.held, pool.preparing) >= 0
        assert pool.held + pool.preparing == pool.desired <= offer.most
        assert pool.usd(env.now) == pytest.approx(usd)
