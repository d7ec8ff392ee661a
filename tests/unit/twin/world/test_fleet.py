"""The life of instances, and what the infrastructure does with it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import simpy

from engine.model import (
    Action,
    ActionResult,
    BootTime,
    Category,
    Reason,
    Rollback,
    ServiceSpec,
    Status,
    WeddingContext,
)
from twin.config import InfrastructureConfig
from twin.world.cloud import SimulatedCloud, Write
from twin.world.fleet import Fleet, Launch

SPEC = ServiceSpec("api", 1, 1000, 16, 0.04, 1.5, BootTime(60.0, 120.0), 10.0, 0.5, 0.1)


class Yard:
    """A fleet with a diary of its ready counts."""

    def __init__(self, spec: ServiceSpec = SPEC, seed: int = 3) -> None:
        self.env = simpy.Environment()
        self.diary: list[tuple[float, int]] = []
        self.fleet = Fleet(
            self.env, spec, 3, 30.0, rng=np.random.default_rng(seed), changed=self._changed
        )  # fmt: skip
        self.crashed = 0

    def _changed(self, ready: int, crashed: int) -> None:
        self.diary.append((self.env.now, ready))
        self.crashed += crashed

    def zones(self) -> list[int]:
        """Instances alive in each zone."""
        lives = self.fleet.history()
        alive = ~np.isfinite(lives["ended_s"])
        return np.bincount(lives["zone"][alive], minlength=3).tolist()


def test_nothing_is_ready_before_its_boot_and_warm_up_are_over() -> None:
    yard = Yard()
    yard.fleet.want(200)
    assert (yard.fleet.booting, yard.fleet.ready) == (200, 0)
    yard.env.run(until=10.0)
    assert yard.fleet.ready == 0
    yard.env.run(until=3600.0)
    assert (yard.fleet.booting, yard.fleet.ready) == (0, 200)
    lives = yard.fleet.history()
    assert (lives["ready_s"] - lives["launched_s"]).min() > 10.0
    for at_s, ready in yard.diary:
        assert ready == np.count_nonzero(lives["ready_s"] <= at_s)


def test_boot_times_have_the_median_and_p95_of_the_table() -> None:
    yard = Yard()
    yard.fleet.want(20_000)
    yard.env.run(until=7200.0)
    boot_s = yard.fleet.history()["ready_s"] - 10.0
    assert np.median(boot_s) == pytest.approx(60.5, rel=0.02)  # rounded up to whole seconds
    assert np.quantile(boot_s, 0.95) == pytest.approx(120.5, rel=0.03)


def test_slow_boots_take_that_many_times_as_long() -> None:
    usual, slow = Yard(), Yard()
    slow.fleet.boot_factor = 4.0
    for yard in (usual, slow):
        yard.fleet.want(50)
        yard.env.run(until=7200.0)
    usual_s, slow_s = (y.fleet.history()["ready_s"] - 10.0 for y in (usual, slow))
    np.testing.assert_allclose(slow_s, 4.0 * usual_s, atol=4.0)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 100])
def test_zones_are_kept_even_on_the_way_up_and_down(count: int) -> None:
    yard = Yard()
    for wanted in (count, 3 * count, count):
        yard.fleet.want(wanted)
        yard.env.run(until=yard.env.now + 2000.0)
        held = yard.zones()
        assert sum(held) == wanted
        assert max(held) - min(held) <= 1


def test_scaling_in_gives_up_the_latest_boots_before_it_drains_anything() -> None:
    yard = Yard()
    yard.fleet.start_with(10)
    yard.fleet.want(20)
    yard.env.run(until=5.0)
    yard.fleet.want(12)
    assert (yard.fleet.ready, yard.fleet.booting, yard.fleet.draining) == (10, 2, 0)
    yard.fleet.want(6)
    assert (yard.fleet.ready, yard.fleet.booting, yard.fleet.draining) == (6, 0, 4)
    yard.env.run(until=3600.0)
    assert (yard.fleet.ready, yard.fleet.booting, yard.fleet.draining) == (6, 0, 0)


def test_a_draining_instance_serves_nothing_and_is_billed_until_it_is_gone() -> None:
    yard = Yard()
    yard.fleet.start_with(2)
    yard.env.run(until=100.0)
    yard.fleet.want(1)
    assert yard.diary[-1] == (100.0, 1)
    assert yard.fleet.billed == 2
    yard.env.run(until=200.0)
    assert yard.fleet.billed == 1
    assert yard.fleet.instance_seconds(200.0) == pytest.approx(200.0 + 130.0)


def test_the_bill_is_the_sum_of_all_lives() -> None:
    yard = Yard()
    yard.fleet.start_with(5)
    for wanted, until_s in ((40, 50.0), (10, 400.0), (25, 900.0), (3, 2000.0)):
        yard.fleet.want(wanted)
        yard.env.run(until=until_s)
    lives = yard.fleet.history()
    ended = np.minimum(lives["ended_s"], 2000.0)
    assert yard.fleet.instance_seconds(2000.0) == pytest.approx((ended - lives["launched_s"]).sum())
    alive = lives["ended_s"] == math.inf
    assert yard.fleet.billed == np.count_nonzero(alive)


def test_a_lost_zone_takes_its_instances_and_no_new_ones_until_it_is_back() -> None:
    yard = Yard()
    yard.fleet.start_with(30)
    yard.fleet.lose_zone(0)
    assert yard.fleet.ready == 20
    assert yard.crashed == 10
    yard.fleet.reconcile()
    yard.env.run(until=3600.0)
    assert yard.zones() == [0, 15, 15]
    yard.fleet.restore_zone(0)
    yard.fleet.want(60)
    yard.env.run(until=7200.0)
    assert yard.zones() == [20, 20, 20]


def test_with_no_zone_left_nothing_is_launched() -> None:
    yard = Yard()
    yard.fleet.start_with(3)
    for zone in range(3):
        yard.fleet.lose_zone(zone)
    yard.fleet.want(5)
    yard.env.run(until=3600.0)
    assert yard.fleet.billed == 0


def action(count: int, decision_id: str = "d-1", before: int = 3) -> Action:
    return Action(
        decision_id, "api", before, count, Reason.CPU, Category.AUTOMATIC, 1.0, 0.0,
        Rollback(3), WeddingContext(), {}, 0.0, 0.0, "",
    )  # fmt: skip


def test_an_action_is_accepted_after_a_while_and_complete_when_all_are_ready() -> None:
    yard, heard = Yard(), []
    yard.fleet.start_with(3)
    config = InfrastructureConfig(accept_s=2.0)
    cloud = SimulatedCloud(yard.env, config, {"api": yard.fleet}, 1000.0, noted=heard.append)
    cloud.apply(action(6), cloud.fence)
    assert yard.fleet.desired == 3
    yard.env.run(until=3.0)
    assert yard.fleet.desired == 6
    assert cloud.results(cloud.fence) == (ActionResult("d-1", Status.ACCEPTED, 1002.0),)
    assert cloud.results(cloud.fence) == ()
    yard.env.run(until=3600.0)
    assert [result.status for result in heard] == [Status.ACCEPTED, Status.COMPLETED]
    assert heard[1].time_s - 1000.0 >= yard.fleet.history()["ready_s"].max()


def test_the_same_action_sent_twice_is_done_once() -> None:
    yard = Yard()
    yard.fleet.start_with(3)
    heard: list[ActionResult] = []
    cloud = SimulatedCloud(
        yard.env, InfrastructureConfig(), {"api": yard.fleet}, 0.0, noted=heard.append
    )
    cloud.apply(action(6), cloud.fence)
    yard.env.run(until=600.0)
    cloud.apply(action(9, "d-2", before=6), cloud.fence)
    cloud.apply(action(6), cloud.fence)
    yard.env.run(until=3600.0)
    assert yard.fleet.desired == 9
    assert len(heard) == 4
    assert cloud.replayed == 1


def test_a_command_that_comes_late_undoes_nothing() -> None:
    yard = Yard()
    yard.fleet.start_with(3)
    heard: list[ActionResult] = []
    cloud = SimulatedCloud(
        yard.env, InfrastructureConfig(), {"api": yard.fleet}, 0.0, noted=heard.append
    )
    cloud.apply(action(6), cloud.fence)
    yard.env.run(until=60.0)
    cloud.apply(action(4, "d-2"), cloud.fence)
    yard.env.run(until=70.0)
    assert yard.fleet.desired == 6
    assert heard[-1].status is Status.FAILED
    assert heard[-1].detail == "conflict: 6 are desired, not 3"


def test_an_engine_that_lost_the_lead_changes_nothing() -> None:
    yard = Yard()
    yard.fleet.start_with(3)
    heard: list[ActionResult] = []
    cloud = SimulatedCloud(
        yard.env, InfrastructureConfig(), {"api": yard.fleet}, 0.0, noted=heard.append
    )
    writes: list[Write] = []
    cloud.watchers.append(writes.append)
    old = cloud.fence
    new = cloud.new_fence()
    cloud.apply(action(9), old)
    yard.env.run(until=10.0)
    assert yard.fleet.desired == 3
    assert writes == []
    assert [result.status for result in cloud.results(old)] == [Status.FAILED]
    cloud.apply(action(6, "d-2"), new)
    yard.env.run(until=20.0)
    assert yard.fleet.desired == 6
    assert [(write.fence, write.before) for write in writes] == [(new, 3)]


def test_what_could_not_be_launched_is_asked_for_again() -> None:
    yard = Yard()
    yard.fleet.start_with(3)
    yard.fleet.shortages.append(lambda _: 0)
    yard.fleet.want(6)
    yard.env.run(until=600.0)
    assert yard.fleet.billed == 3
    yard.fleet.shortages.clear()
    yard.env.run(until=3600.0)
    assert yard.fleet.ready == 6


def test_an_instance_that_hangs_in_its_boot_is_replaced() -> None:
    yard = Yard()
    yard.fleet.start_with(3)

    def hang(launch: Launch) -> None:
        launch.wait_s[0] = math.inf
        launch.given_up_s[0] = 500.0

    yard.fleet.launch_faults.append(hang)
    yard.fleet.want(5)
    yard.env.run(until=499.0)
    assert (yard.fleet.ready, yard.fleet.booting) == (4, 1)
    yard.fleet.launch_faults.clear()
    yard.env.run(until=3600.0)
    assert (yard.fleet.ready, yard.fleet.booting) == (5, 0)
    assert len(yard.fleet.history()["zone"]) == 6
    assert np.isinf(yard.fleet.history()["ready_s"]).sum() == 1


def test_a_crash_loop_crashes_as_often_as_it_should() -> None:
    yard = Yard()
    yard.fleet.start_with(3)

    def loop(launch: Launch) -> None:
        launch.crashes[:] = 2
        launch.up_s[:] = 20.0

    yard.fleet.launch_faults.append(loop)
    yard.fleet.want(4)
    yard.env.run(until=3600.0)
    assert yard.fleet.ready == 4
    assert yard.fleet.booting == 0
    assert yard.crashed == 2


def test_reclaimed_instances_drain_for_the_notice_and_are_replaced() -> None:
    yard = Yard()
    yard.fleet.start_with(30)
    taken = yard.fleet.reclaim(1.0, [1], 120.0, np.random.default_rng(1))
    assert taken == 10
    assert (yard.fleet.ready, yard.fleet.draining) == (20, 10)
    yard.fleet.reconcile()
    yard.env.run(until=3600.0)
    assert (yard.fleet.ready, yard.fleet.draining) == (30, 0)
    assert yard.crashed == 0
    yard.fleet.reclaim(1.0, [], 0.0, np.random.default_rng(1))
    assert yard.fleet.ready == 0
    assert yard.crashed == 30


def test_a_boot_time_without_spread_is_met_to_the_second() -> None:
    yard = Yard(replace(SPEC, boot=BootTime(30.0, 30.0)))
    yard.fleet.want(4)
    yard.env.run(until=39.0)
    assert yard.fleet.ready == 0
    yard.env.run(until=41.0)
    assert yard.fleet.ready == 4
