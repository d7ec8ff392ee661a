"""Which ceremonies are where, and which are cut: a fleet with a handful of them, by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import simpy

from engine.model import BootTime, ServiceSpec
from tests.composition import configuration
from twin.world.carried import Carried, CeremonyTimes, Holding, ceremony_times
from twin.world.fleet import Fleet
from twin.world.script import script
from twin.world.world import World

SPEC = ServiceSpec("live", 1, 100, 16, 0.04, 1.0, BootTime(60.0, 61.0), 0.0, 0.5, 0.1)
DRAIN_S, LIMIT_S = 30.0, 2700.0


class Hall:
    """A fleet of `count` ready instances on which ceremonies take place.

    `spans` are their beginnings, booked ends and ends, and the instance on which each begins.
    """

    def __init__(
        self, count: int, *spans: tuple[float, float, float, int], waits: bool = True,
        limit_s: float = LIMIT_S,
    ) -> None:  # fmt: skip
        begins_s, should_s, ends_s, at = np.array(spans, float).T
        self.drawn = np.stack([np.zeros(len(at)), (at + 0.5) / count])
        self.env = simpy.Environment()
        self.carried = Carried(
            CeremonyTimes(begins_s, should_s, ends_s),
            1.0,
            Holding(DRAIN_S, limit_s, waits),
            self,  # type: ignore[arg-type]
        )
        self.fleet = Fleet(
            self.env, SPEC, 1, DRAIN_S, rng=np.random.default_rng(1), changed=lambda *_: None,
            carried=self.carried,
        )  # fmt: skip
        self.fleet.start_with(count)

    def random(self, shape: tuple[int, int]) -> np.ndarray:
        """What a generator would draw."""
        assert shape == self.drawn.shape
        return self.drawn

    def at(self, now_s: float) -> None:
        self.env.run(until=now_s)
        self.carried.advance(now_s)

    def ended_s(self) -> list[float]:
        return self.fleet.history()["ended_s"].tolist()


def test_a_platform_tells_since_when_and_until_when_as_booked() -> None:
    hall = Hall(3, (100.0, 1900.0, 2500.0, 1), (700.0, 2500.0, 2400.0, 1), (800.0, 900.0, 950.0, 2))
    assert len(hall.carried.locks(0.0, 5000.0).since_s) == 0
    hall.at(100.0)
    shown = hall.carried.locks(100.0, 5000.0)
    assert (shown.since_s.tolist(), shown.until_s.tolist(), shown.waits) == (
        [5100.0],
        [6900.0],
        True,
    )
    # What it told last holds for as long as it does not look again.
    hall.at(110.0)
    assert hall.carried.locks(110.0, 5000.0) is shown
    hall.at(800.0)
    shown = hall.carried.locks(800.0, 5000.0)
    assert (shown.since_s.tolist(), shown.until_s.tolist()) == ([5100.0, 5800.0], [7500.0, 5900.0])
    hall.at(2450.0)  # one of them runs late: it is overdue, and under way
    shown = hall.carried.locks(2450.0, 5000.0)
    assert (shown.since_s.tolist(), shown.until_s.tolist()) == ([5100.0], [7500.0])
    hall.at(2500.0)
    assert len(hall.carried.locks(2500.0, 5000.0).since_s) == 0


def test_what_is_free_goes_first_and_at_once() -> None:
    hall = Hall(3, (10.0, 1810.0, 1810.0, 1), (10.0, 1810.0, 1810.0, 2))
    hall.at(60.0)
    hall.fleet.want(2)  # the youngest would go, were it free
    hall.at(60.0 + DRAIN_S + 1.0)
    assert hall.ended_s() == [90.0, math.inf, math.inf]
    assert (hall.carried.cut, hall.carried.begun) == (0, 2)


def test_draining_waits_for_the_end_of_the_ceremony_that_should_be_over_first() -> None:
    hall = Hall(2, (10.0, 1810.0, 1810.0, 0), (20.0, 900.0, 1000.0, 1), (30.0, 800.0, 800.0, 1))
    hall.at(60.0)
    hall.fleet.want(1)
    assert (hall.fleet.ready, hall.fleet.draining) == (1, 1)
    hall.at(999.0)
    assert hall.fleet.draining == 1
    hall.at(1001.0)
    assert hall.ended_s() == [math.inf, 1000.0]
    assert (hall.carried.cut, hall.carried.lost) == (0, 0)
    # From the end of the usual drain on: 1000 - (60 + 30).
    ended_s = hall.fleet.history()["ended_s"]
    assert hall.carried.held_s(ended_s, 5000.0) == 910.0
    assert hall.carried.held_s(ended_s, 100.0) == 10.0


def test_the_limit_ends_the_wait_and_what_is_cut_goes_on_elsewhere() -> None:
    hall = Hall(2, (10.0, 9000.0, 9000.0, 1), (20.0, 9000.0, 9500.0, 0))
    hall.at(60.0)
    hall.fleet.want(1)
    hall.at(60.0 + LIMIT_S + 1.0)
    assert hall.ended_s() == [math.inf, 60.0 + LIMIT_S]
    assert hall.carried.cut == 1
    assert hall.carried.carries(np.array([0, 1])).tolist() == [True, False]
    hall.at(9200.0)
    assert hall.carried.carries(np.array([0])).tolist() == [True]
    hall.at(9500.0)
    assert hall.carried.carries(np.array([0])).tolist() == [False]


@pytest.mark.parametrize(("waits", "limit_s"), [(False, LIMIT_S), (True, 0.0), (False, 0.0)])
def test_where_nothing_waits_draining_takes_as_long_as_ever(waits: bool, limit_s: float) -> None:
    hall = Hall(2, (10.0, 1810.0, 1810.0, 0), (20.0, 1810.0, 1810.0, 1), waits=waits,
                limit_s=limit_s)  # fmt: skip
    hall.at(60.0)
    hall.fleet.want(1)
    hall.at(100.0)
    assert sorted(hall.ended_s()) == [90.0, math.inf]
    assert hall.carried.cut == 1
    assert hall.carried.held_s(hall.fleet.history()["ended_s"], 5000.0) == 0.0


def test_where_nothing_waits_those_with_fewest_go_and_without_the_rule_the_youngest() -> None:
    many = [(10.0, 1810.0, 1810.0, 2)] * 3 + [(10.0, 1810.0, 1810.0, 0)] * 2
    few = [(10.0, 1810.0, 1810.0, 1)]
    for limit_s, gone in ((LIMIT_S, 1), (0.0, 2)):
        hall = Hall(3, *many, *few, waits=False, limit_s=limit_s)
        hall.at(60.0)
        hall.fleet.want(2)
        hall.at(100.0)
        assert [at_s < math.inf for at_s in hall.ended_s()] == [k == gone for k in range(3)]
        assert hall.carried.cut == (1 if gone == 1 else 3)


def test_an_instance_that_is_lost_is_no_step_in() -> None:
    hall = Hall(2, (10.0, 1810.0, 1810.0, 0), (20.0, 1810.0, 1810.0, 1))
    hall.at(60.0)
    hall.fleet.lose_zone(0)
    assert (hall.carried.cut, hall.carried.lost) == (0, 2)
    # Nobody is there; they go on as soon as somebody is.
    hall.fleet.restore_zone(0)
    hall.fleet.reconcile()
    hall.at(400.0)
    assert hall.fleet.ready == 2
    assert hall.carried.carries(np.array([0, 1, 2, 3])).any()
    assert len(hall.carried.locks(400.0, 0.0).since_s) >= 1
    hall.at(1810.0)
    assert not hall.carried.carries(np.array([0, 1, 2, 3])).any()


def test_a_notice_of_the_provider_does_not_wait() -> None:
    hall = Hall(1, (10.0, 1810.0, 1810.0, 0))
    hall.at(60.0)
    hall.fleet.reclaim(1.0, (), 120.0, np.random.default_rng(1))
    hall.at(181.0)
    assert hall.ended_s() == [180.0]
    assert (hall.carried.cut, hall.carried.lost) == (0, 1)


def test_what_begins_while_none_is_ready_begins_on_the_first_that_is() -> None:
    hall = Hall(1, (100.0, 1900.0, 1900.0, 0), (200.0, 250.0, 250.0, 0))
    hall.fleet.lose_zone(0)
    hall.fleet.restore_zone(0)
    hall.at(300.0)
    assert hall.carried.begun == 0
    hall.fleet.reconcile()
    hall.at(700.0)
    assert hall.fleet.ready == 1
    assert hall.carried.carries(hall.fleet.ready_rows()).tolist() == [True]


# --- from the weddings of a day


def test_the_ceremonies_are_those_that_really_take_place_in_their_order() -> None:
    config = configuration("population.simultaneous=300")
    world = World(config)
    assert world.script.ceremonies == {} and world.infrastructure.locks() == {}
    from scenarios.weddings.population import generate

    population = generate(config.population, world.streams)
    own = ceremony_times(population, "ceremony")
    k = population.phases.index("ceremony")
    inside = population.happens & (population.actual_s[:, k + 1] > 0)
    inside &= population.actual_s[:, k] < population.duration_s
    inside &= population.actual_s[:, k + 1] > population.actual_s[:, k]
    assert len(own.begins_s) == np.count_nonzero(inside) > 100
    assert (np.diff(own.begins_s) >= 0.0).all()
    assert np.median(own.should_end_s - own.begins_s) == 1800.0
    assert sorted(own.ends_s) == sorted(population.actual_s[inside, k + 1].tolist())
    with pytest.raises(ValueError, match=r'carries.phase: "vows" is not allowed \(getting_ready'):
        ceremony_times(population, "vows")


def test_a_share_of_the_weddings_is_carried_and_each_has_draws_of_its_own() -> None:
    own = CeremonyTimes(*(np.arange(4000.0) + k for k in (0.0, 1800.0, 1800.0)))
    holding = Holding(DRAIN_S, LIMIT_S, True)
    half = Carried(own, 0.5, holding, np.random.default_rng(5))
    more = Carried(own, 0.8, holding, np.random.default_rng(5))
    for carried in (half, more):
        carried.follow(0.0, np.arange(7))
        carried.advance(5000.0)
    assert abs(half.begun - 2000) < 150 and abs(more.begun - 3200) < 150


def test_the_script_has_only_the_phases_that_the_platform_tells_of() -> None:
    config = configuration("+platform.services.real-time.carries.phase=dinner")
    own = script(config, config.platform.specs(), World(config).streams)
    assert list(own.ceremonies) == ["dinner"]
