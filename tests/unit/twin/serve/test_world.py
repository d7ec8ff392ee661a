"""A world that is served: the live engine does in it what the engine of simulated time would do."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from engine.adapters.alert_log import AlertLog
from engine.adapters.lease_file import FileLease, take_lead
from engine.adapters.store.halves import SqlStore
from engine.adapters.store.sqlite import SqliteFile
from engine.config.composition import composed
from engine.model import ActionResult, Observation, Plan
from engine.ports.metrics import Reading
from engine.ports.store import Kept
from engine.runtime.ports import Ports
from engine.runtime.settings import LiveSettings
from engine.runtime.shell import LiveShell
from twin.config import RunConfig, parse
from twin.serve.world import EngineClock, OperatedStore, ServedShell
from twin.world.world import World

BEGIN_S, END_S = 300.0, 900.0


class TurnedClock:
    """Time passes only when somebody waits, and then at once."""

    def __init__(self, time_s: float) -> None:
        self.time_s = time_s

    def now_s(self) -> float:
        return self.time_s

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        self.time_s += max(duration_s, 0.0)


class Actions:
    """Notes of what was done: when (s), for which service, from how many to how many."""

    def __init__(self, start_s: float) -> None:
        self.start_s = start_s
        self.all: list[tuple[int, str, int, int]] = []

    def step(
        self, time_s: float, observation: Observation, plan: Plan, compute_s: float,
        *, reading: Reading,
    ) -> None:  # fmt: skip
        self.watch(observation, plan)

    def watch(self, observation: Observation, plan: Plan) -> None:
        at_s = round(observation.now_s - self.start_s)
        self.all += [(at_s, a.service, a.from_instances, a.to_instances) for a in plan.actions]

    def without_store(self, *_: object) -> None: ...

    def result(self, result: ActionResult) -> None: ...

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None: ...

    def status(self, status: object) -> None: ...


def config(**changes: Any) -> RunConfig:
    # In the evening: who wants as many in the quiet of the morning gets millions for the day.
    evening = ['population.start_utc="21:00"', "population.duration_s=900"]
    plain = composed(["population.simultaneous=4000", *evening])
    return parse({**plain, "replications": 1, **changes})


def served(one: RunConfig, state: Path) -> tuple[World, Actions, LiveShell]:
    """The world after it was served from `BEGIN_S` to its end."""
    world = World(one, shell=ServedShell)
    shell = world.shell
    assert isinstance(shell, ServedShell)
    shell.live_from_s = BEGIN_S
    world.env.process(shell.run())
    world.env.run(until=BEGIN_S)
    clock = TurnedClock(world.start_s + BEGIN_S)
    ports = shell.ports(clock, END_S)
    lead, store = take_lead(state, time.time()), SqlStore(SqliteFile(state))
    actions = Actions(world.start_s)
    live = LiveShell(
        shell.made(),
        world.specs,
        Ports(
            metrics=ports,
            infrastructure=ports.infrastructure,
            bookings=ports,
            store=OperatedStore(store, shell),
            lease=FileLease(state, lead),
            notifier=AlertLog(),
        ),
        notes=actions,
        clock=EngineClock(clock, shell),
        settings=LiveSettings(state=str(state), duration_s=END_S - BEGIN_S),
        sample_s=5.0,
    )

    async def run() -> None:
        await store.keep(Kept(shell.memory()), lead.fence)
        await live.run()
        ports.catch_up()
        await live.close()

    asyncio.run(run())
    world.finish()
    return world, actions, live


def test_the_live_engine_does_what_the_simulated_one_does(tmp_path: Path) -> None:
    scale = {"service": "api", "instances": 25, "at_s": 450.0, "expires_s": 800.0}
    one = config(operator={"scales": [scale]})
    plain = World(one)
    expected = Actions(plain.start_s)
    plain.shell.watchers.append(expected.watch)
    plain.run()
    _, actions, live = served(one, tmp_path)
    assert actions.all == [action for action in expected.all if action[0] >= BEGIN_S]
    assert len(actions.all) >= 2
    assert live.cycle.troubles.all == {}
    assert live.cycle.steps >= 118


def test_a_clock_that_a_fault_sets_is_the_engines_alone() -> None:
    world = World(config(), shell=ServedShell)
    assert isinstance(world.shell, ServedShell)
    right = TurnedClock(1000.0)
    clock = EngineClock(right, world.shell)
    world.shell.clock_error_s = -7.0
    asyncio.run(clock.wait(5.0, asyncio.Event()))
    assert (right.now_s(), clock.now_s()) == (1005.0, 998.0)


@pytest.mark.parametrize("end_s", [10.0, 20.0])
def test_the_world_goes_no_further_than_its_end(end_s: float) -> None:
    world = World(config(), shell=ServedShell)
    assert isinstance(world.shell, ServedShell)
    world.env.process(world.shell.run())
    clock = TurnedClock(world.start_s + 15.0)
    ports = world.shell.ports(clock, end_s)
    ports.catch_up()
    assert world.env.now == pytest.approx(min(end_s, 15.0), abs=1e-5)
