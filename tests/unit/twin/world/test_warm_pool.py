"""What is held warm: prepared once, launched in a share of the boot time, paid for in part."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import simpy

from engine.model import BootTime, Quantity, ServiceSpec, Status, WarmOffer
from tests.unit.twin.world.test_fleet import action
from twin.config import InfrastructureConfig
from twin.world.cloud import Seat, SimulatedCloud, Write
from twin.world.fleet import Fleet
from twin.world.warm_pool import WarmPool

OFFER = WarmOffer(price_share=0.2, boot_share=0.1, most=50)
SPEC = ServiceSpec(
    "api", 1, 1000, 16, 0.04, 1.5, BootTime(600.0, 600.0), 30.0, 0.5, 3600.0, warm=OFFER
)
"""Each boots in 600 s, warm in 60 s, and warms up for 30 s; an instance costs 1 USD a second."""


class Yard:
    """A fleet in three zones, of which `ready` serve at first."""

    def __init__(self, spec: ServiceSpec = SPEC, ready: int = 3) -> None:
        self.env = simpy.Environment()
        self.fleet = Fleet(
            self.env, spec, 3, 30.0, rng=np.random.default_rng(3), changed=lambda *_: None,
            warm_rng=np.random.default_rng(4),
        )  # fmt: skip
        self.fleet.start_with(ready)

    @property
    def pool(self) -> WarmPool:
        assert self.fleet.warm is not None
        return self.fleet.warm


def test_one_is_held_once_it_has_booted_and_serves_nothing() -> None:
    yard = Yard()
    yard.pool.want(6)
    yard.env.run(until=599.0)
    assert (yard.pool.held, yard.pool.preparing) == (0, 6)
    yard.env.run(until=601.0)
    assert (yard.pool.held, yard.pool.preparing) == (6, 0)
    assert (yard.fleet.ready, yard.fleet.booting, yard.fleet.billed) == (3, 0, 3)


def test_a_launch_takes_the_warm_ones_first_and_they_boot_in_a_tenth() -> None:
    yard = Yard()
    yard.pool.want(4)
    yard.env.run(until=700.0)
    yard.fleet.want(9)  # four warm ones and two cold
    assert yard.fleet.booting == 6
    assert yard.fleet.ready_times().tolist() == [790.0] * 4 + [1330.0] * 2
    yard.env.run(until=791.0)
    assert (yard.fleet.ready, yard.fleet.booting) == (7, 2)
    # What was taken is prepared anew.
    assert (yard.pool.held, yard.pool.preparing) == (0, 4)
    yard.env.run(until=1331.0)
    assert (yard.fleet.ready, yard.pool.held) == (9, 4)


def test_one_that_is_still_being_prepared_is_not_launched() -> None:
    yard = Yard()
    yard.pool.want(2)
    yard.env.run(until=300.0)
    yard.fleet.want(4)
    assert yard.fleet.ready_times().tolist() == [930.0]
    assert yard.pool.preparing == 2


def test_the_bill_is_the_whole_price_until_prepared_and_the_share_from_then_on() -> None:
    yard = Yard()
    yard.pool.want(2)
    yard.env.run(until=1000.0)
    assert yard.pool.usd_per_hour() == 2 * 0.2 * 3600.0
    assert yard.pool.usd(300.0) == pytest.approx(2 * 300.0)
    assert yard.pool.usd(1000.0) == pytest.approx(2 * (600.0 + 0.2 * 400.0))
    yard.pool.want(1)
    yard.env.run(until=2000.0)
    assert yard.pool.usd(2000.0) == pytest.approx(600 + 0.2 * 400 + 600 + 0.2 * 1400)
    yard.pool.want(3)
    assert yard.pool.usd_per_hour() == (0.2 + 2) * 3600.0


def test_what_is_too_much_is_let_go_the_last_prepared_first() -> None:
    yard = Yard()
    yard.pool.want(3)
    yard.env.run(until=601.0)
    yard.pool.want(5)
    yard.pool.want(3)
    assert (yard.pool.held, yard.pool.preparing) == (3, 0)


def test_they_are_spread_over_the_zones_and_launched_where_fewest_are() -> None:
    yard = Yard(ready=2)  # zones 0 and 1
    yard.pool.want(6)
    yard.env.run(until=601.0)
    yard.fleet.want(3)
    lives = yard.fleet.history()
    assert lives["zone"].tolist() == [0, 1, 2]
    yard.fleet.want(6)
    assert Counter(yard.fleet.history()["zone"].tolist()) == {0: 2, 1: 2, 2: 2}


def test_those_of_a_lost_zone_are_lost_and_prepared_elsewhere() -> None:
    yard = Yard()
    yard.pool.want(6)
    yard.env.run(until=601.0)
    yard.fleet.lose_zone(0)
    assert yard.pool.held == 4
    yard.fleet.want(7)  # 2 are left; of the 4 warm ones each is in an open zone
    assert Counter(yard.fleet.history()["zone"].tolist()) == {0: 1, 1: 4, 2: 3} or Counter(
        yard.fleet.history()["zone"].tolist()
    ) == {0: 1, 1: 3, 2: 4}
    assert yard.pool.preparing == 6


def test_those_of_a_closed_zone_are_not_launched() -> None:
    yard = Yard()
    yard.pool.want(3)
    yard.env.run(until=601.0)
    yard.fleet.close_zone(0)
    yard.fleet.want(6)
    assert sorted(yard.fleet.ready_times().tolist()) == [691.0, 691.0, 1231.0]


def test_what_the_provider_does_not_have_is_asked_for_again() -> None:
    yard = Yard()
    yard.fleet.shortages.append(lambda count: min(count, 1) if yard.env.now < 45.0 else count)
    yard.pool.want(4)
    assert yard.pool.preparing == 1
    yard.env.run(until=31.0)
    assert yard.pool.preparing == 2
    yard.env.run(until=61.0)
    assert yard.pool.preparing == 4


def test_a_launch_draws_the_same_boots_whether_or_not_any_are_warm() -> None:
    boot = BootTime(600.0, 1200.0)
    warm, cold = Yard(replace(SPEC, boot=boot)), Yard(replace(SPEC, boot=boot, warm=None))
    warm.pool.want(2)
    for yard in (warm, cold):
        yard.env.run(until=5000.0)
        yard.fleet.want(6)
    shorter, all_of_them = warm.fleet._ready_s[3:6], cold.fleet._ready_s[3:6]
    assert shorter[2] == all_of_them[2]
    expected = np.ceil(0.1 * (all_of_them[:2] - 5030.0) + 30.0)
    assert np.abs(shorter[:2] - 5000.0 - expected).max() <= 1.0


def test_a_service_that_offers_none_has_no_pool() -> None:
    assert Yard(replace(SPEC, warm=None)).fleet.warm is None
    with pytest.raises(ValueError, match="api offers nothing warm"):
        WarmPool(
            simpy.Environment(), replace(SPEC, warm=None), np.random.default_rng(1),
            lambda *_: (),
        )  # fmt: skip


def test_the_cloud_takes_a_command_on_what_is_held_warm() -> None:
    yard, heard, writes = Yard(), [], list[Write]()
    cloud = SimulatedCloud(
        yard.env, InfrastructureConfig(accept_s=2.0), {"api": yard.fleet}, 0.0, noted=heard.append
    )
    cloud.watchers.append(writes.append)
    hold = replace(action(5, "w-1", before=0), quantity=Quantity.WARM)
    cloud.apply(hold, cloud.fence)
    cloud.apply(hold, cloud.fence)
    yard.env.run(until=10.0)
    counts = Seat(cloud, cloud.fence).observe().services["api"]
    assert (counts.warm, counts.warm_desired, counts.desired) == (0, 5, 3)
    assert cloud.replayed == 1
    assert writes == []
    yard.env.run(until=700.0)
    assert [result.status for result in heard] == [Status.ACCEPTED, Status.COMPLETED]
    assert Seat(cloud, cloud.fence).observe().services["api"].warm == 5
    for wrong, why in (
        (replace(action(9, "w-2", before=0), quantity=Quantity.WARM), "conflict: 5 are to be held"),
        (replace(action(51, "w-3", before=5), quantity=Quantity.WARM), r"(0 … 50)"),
    ):
        cloud.apply(wrong, cloud.fence)
        yard.env.run(until=yard.env.now + 5.0)
        assert heard[-1].status is Status.FAILED
        assert why in heard[-1].detail
    assert yard.pool.desired == 5


def test_the_cloud_refuses_where_nothing_can_be_held_warm() -> None:
    yard, heard = Yard(replace(SPEC, warm=None)), []
    cloud = SimulatedCloud(
        yard.env, InfrastructureConfig(), {"api": yard.fleet}, 0.0, noted=heard.append
    )
    cloud.apply(replace(action(5, "w-1", before=3), quantity=Quantity.WARM), cloud.fence)
    yard.env.run(until=10.0)
    assert heard[-1].detail == "it holds no instances warm"
    assert yard.fleet.desired == 3
