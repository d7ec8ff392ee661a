"""What must hold of ceremonies on instances, whatever is told of them and whatever is wanted."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import simpy
from hypothesis import given
from hypothesis import strategies as st

from engine import Autoscaler
from engine.decide.rails.take_back import VANISHED
from engine.decide.rails.vow_lock import frees_s
from engine.model import Observation, Plan, Reason, VowLocks
from tests.property.test_step_invariants import SETTINGS, SPEC, UNLIMITED, moment, seen
from tests.unit.engine.conftest import NOW_S, make_outlook, make_service, make_window
from tests.unit.twin.world.test_carried import SPEC as CARRYING
from twin.world.carried import Carried, CeremonyTimes, Holding
from twin.world.fleet import Fleet, InstancePhase

LIMIT_S = SETTINGS.vow_lock.limit_s

spans = st.lists(
    st.tuples(st.floats(-4000.0, 0.0), st.one_of(st.floats(-60.0, 6000.0), st.just(math.inf))),
    max_size=25,
)


def locks_of(own: list[tuple[float, float]], now_s: float, waits: bool) -> VowLocks:
    since_s, until_s = np.array(own, float).reshape(-1, 2).T
    return VowLocks(now_s + since_s, now_s + until_s, waits)


def carrying(observation: Observation, locks: VowLocks) -> Observation:
    (service,) = observation.services
    few = slice(0, service.ready)  # of so many at most anything can be told
    kept = replace(locks, since_s=locks.since_s[few], until_s=locks.until_s[few])
    return replace(observation, services=(replace(service, locks=kept),))


@given(st.lists(st.tuples(moment, spans), min_size=1, max_size=40), st.booleans())
def test_no_step_in_for_money_takes_an_instance_that_has_to_stay(
    moments: list[tuple[dict, list]], waits: bool
) -> None:
    engine, desired = Autoscaler(SETTINGS), 20
    for k, (m, own) in enumerate(moments):
        now_s = NOW_S + 15.0 * k
        observation = seen(SPEC, desired, now_s, m, budget=UNLIMITED)
        observation = carrying(observation, locks_of(own, now_s, waits))
        (service,) = observation.services
        assert service.locks is not None
        for action in engine.step(observation).actions:
            if action.reason is Reason.COST or VANISHED in action.evidence:
                stay = frees_s(service.locks, now_s, LIMIT_S)
                assert action.to_instances >= min(len(stay), action.from_instances)
            desired = action.to_instances


@given(st.lists(st.tuples(moment, spans), min_size=1, max_size=40), st.booleans())
def test_until_it_holds_a_step_in_back_it_changes_nothing_and_never_a_step_out(
    moments: list[tuple[dict, list]], waits: bool
) -> None:
    shown_all, blind = Autoscaler(SETTINGS), Autoscaler(SETTINGS)
    desired = 20
    for k, (m, own) in enumerate(moments):
        now_s = NOW_S + 15.0 * k
        observation = seen(SPEC, desired, now_s, m, budget=UNLIMITED)
        plan = shown_all.step(carrying(observation, locks_of(own, now_s, waits)))
        without = blind.step(observation)
        if any("vow lock" in declined.why for declined in plan.declined):
            assert all(a.to_instances < a.from_instances for a in without.actions)
            return
        assert plan == without
        for action in plan.actions:
            desired = action.to_instances


def steps_in(locks: VowLocks | None, cycles: int) -> list[tuple[float, int]]:
    """When an idle service goes down, and to what."""
    engine, desired, done = Autoscaler(SETTINGS), 20, []
    for k in range(cycles):
        now_s = NOW_S + 60.0 * k
        window = make_window(now_s, cpu=0.05, memory=0.1, rate=20.0, p95_s=0.05)
        service = make_service(SPEC, desired=desired, ready=desired, booting=0, window=window)
        if locks is not None:
            few = slice(0, desired)
            own = VowLocks(locks.since_s[few], locks.until_s[few], locks.waits)
            service = replace(service, locks=own)
        outlook = make_outlook(20.0, bins=900)
        plan: Plan = engine.step(Observation(now_s, (service,), outlook))
        for action in plan.actions:
            desired = action.to_instances
            done.append((now_s - NOW_S, desired))
    return done


@given(st.floats(-2700.0, 0.0), st.booleans())
def test_the_limit_always_ends_the_wait(since_s: float, waits: bool) -> None:
    for_ever = locks_of([(since_s, math.inf)] * 20, NOW_S, waits)
    free, held = steps_in(None, 90), steps_in(for_ever, 90)
    assert free and free[0][0] < 1200.0
    assert held and held[-1][1] == free[-1][1]  # it ends where it would have
    assert held[0][0] >= LIMIT_S + since_s  # not before the limit
    assert held[0][0] <= max(LIMIT_S + since_s + 60.0, free[0][0])


ceremonies = st.lists(
    st.tuples(st.integers(1, 3000), st.integers(1, 4000), st.floats(0.0, 0.999)),
    min_size=1,
    max_size=40,
)


@given(ceremonies, st.lists(st.tuples(st.integers(10, 600), st.integers(1, 8)), max_size=8))
def test_draining_cuts_no_ceremony_before_the_limit(
    own: list[tuple[int, int, float]], wants: list[tuple[int, int]]
) -> None:
    own = sorted(own)
    begins_s, lengths_s, places = np.array(own, float).T

    class Drawn:
        """A generator that has drawn `places`."""

        def random(self, shape: tuple[int, int]) -> np.ndarray:
            return np.stack([np.zeros(len(own)), places]).reshape(shape)

    ends_s = begins_s + lengths_s
    carried = Carried(
        CeremonyTimes(begins_s, ends_s, ends_s), 1.0, Holding(30.0, LIMIT_S, True),
        Drawn(),  # type: ignore[arg-type]
    )  # fmt: skip
    env = simpy.Environment()
    fleet = Fleet(
        env, CARRYING, 2, 30.0, rng=np.random.default_rng(2), changed=lambda *_: None,
        carried=carried,
    )  # fmt: skip
    fleet.start_with(8)
    left_s: dict[int, float] = {}
    for wait_s, count in wants:
        env.run(until=env.now + wait_s)
        fleet.want(count)
        for row in np.flatnonzero(fleet.phases() == InstancePhase.DRAINING).tolist():
            left_s.setdefault(row, env.now)
    env.run(until=env.now + 12_000.0)
    carried.advance(env.now)
    ended_s = fleet.history()["ended_s"]
    for row, at_s in left_s.items():
        assert at_s + 30.0 <= ended_s[row] <= at_s + LIMIT_S
    assert carried.lost == 0 and carried.begun == len(own)
    # Only a ceremony that is longer than the limit can be cut.
    assert carried.cut <= np.count_nonzero(lengths_s > LIMIT_S)
    assert not carried.carries(np.arange(len(ended_s))).any()
