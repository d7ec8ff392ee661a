"""The shell of an engine that is one of several: it steps what it has, and nothing ends it."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np

from engine.model import SAMPLE_DTYPE
from engine.ports.lease import Fence
from engine.runtime.settings import LiveSettings
from engine.runtime.sharded import ShardedShell
from engine.sharding.shards import Shard, ShardLayout

SHARDS = (Shard("a", ("a",)), Shard("b", ("b",)))


class Keeper:
    """Says which shards there are."""

    layout, member, trouble = ShardLayout(SHARDS, "l"), "me", ""

    def __init__(self) -> None:
        self.held: dict[str, Fence] = {}
        self.given_back = ""
        self.calls: list[str] = []

    def epochs(self) -> dict[str, Fence]:
        return dict(self.held)

    def boundary(self) -> str:
        gone, self.given_back = self.given_back, ""
        self.held.pop(gone, None)
        return gone

    def owners(self) -> dict[str, tuple[str, int]]:
        return {shard: ("me", epoch) for shard, epoch in self.held.items()}

    def members(self) -> tuple[str, ...]:
        return ("me",)

    def start(self) -> None:
        self.calls.append("start")

    def leave(self, wait_s: float) -> None:
        self.calls.append(f"leave {wait_s:g}")


class World:
    def __init__(self) -> None:
        self.keeper, self.stepped, self.ended = Keeper(), list[tuple[str, float]](), list[str]()
        self.statuses: list[Any] = []
        self.raises = ""
        self.at_s = 0.0
        self.finished: list[tuple[str, float]] = []
        self.broken = ""
        self.meanwhile: Callable[[], None] = lambda: None
        notes = SimpleNamespace(status=self.statuses.append)
        together = SimpleNamespace(statuses=[], flush=self.flush)
        shared: Any = SimpleNamespace(
            begin=lambda _: None, notes=notes, together=together, keeper=self.keeper
        )
        self.together = together
        self.parts: dict[str, dict[str, Any]] = {}

        async def nothing(*_: object) -> None:
            pass

        self.shell = ShardedShell(
            shared, self.make, clock=self, settings=LiveSettings(),
            sample_s=5.0, cycle_s=15.0, show=nothing, close=nothing,
        )  # type: ignore[arg-type]  # fmt: skip

    def now_s(self) -> float:
        return self.at_s

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        self.at_s += duration_s
        self.beat(stop)

    def beat(self, stop: asyncio.Event) -> None:
        """A wait is over."""

    def flush(self) -> None:
        self.meanwhile()
        if self.raises:
            raise OSError(self.raises)

    def make(self, shard: Shard) -> tuple[Any, Callable[[], None]]:
        async def step(due_s: float) -> None:
            self.stepped.append((shard.name, due_s))
            if shard.name in self.parts:
                self.together.statuses.append(self.parts[shard.name])

        async def finish(now_s: float) -> None:
            self.finished.append((shard.name, now_s))
            if self.broken == shard.name:
                raise OSError("it cannot be kept")

        shell = SimpleNamespace(step=step, finish=finish)
        return shell, lambda: self.ended.append(shard.name)

    def step(self, due_s: float) -> None:
        self.stepped.clear()
        asyncio.run(self.shell.step(due_s))


def test_an_engine_steps_the_shards_that_it_has() -> None:
    world = World()
    world.step(5.0)
    assert (world.stepped, world.ended) == ([], [])
    world.keeper.held = {"a": Fence(1), "b": Fence(4)}
    world.step(10.0)
    assert world.stepped == [("a", 10.0), ("b", 10.0)]
    assert world.statuses[-1]["engines"] == {"me": ["a", "b"]}
    assert world.statuses[-1]["epochs"] == {"a": 1, "b": 4}
    assert "leases" not in world.statuses[-1]["troubles"]
    del world.keeper.held["a"]
    world.step(20.0)
    assert (world.stepped, world.ended) == ([("b", 20.0)], ["a"])
    assert world.statuses[-1]["troubles"] == {"leases": ("no engine has a",)}


def part(lead: int, acts: bool, service: str, standing: str) -> dict[str, Any]:
    """What a shard's own shell says of itself."""
    return {
        "lead": lead, "acts": acts, "skipped": lead, "troubles": {}, "awaiting": [],
        "services": {service: {}}, "counted_s": {service: float(lead)}, "floors": {service: lead},
        "standing": {standing: []},
    }  # fmt: skip


def test_the_status_is_that_of_all_shards_together() -> None:
    world = World()
    world.step(5.0)
    assert (world.statuses[-1]["lead"], world.statuses[-1]["standing"]) == (0, {})
    world.keeper.held = {"a": Fence(2), "b": Fence(4)}
    world.parts = {"a": part(2, True, "api", "floors"), "b": part(4, False, "mail", "pauses")}
    world.step(10.0)
    status = world.statuses[-1]
    assert (status["lead"], status["acts"], status["skipped"]) == (4, False, 6)
    assert status["services"] == {"api": {}, "mail": {}}
    assert status["counted_s"] == {"api": 2.0, "mail": 4.0}
    assert (status["floors"], status["standing"]) == ({"api": 2, "mail": 4}, {"floors": []})


def test_a_shard_goes_to_another_engine_at_the_end_of_a_cycle_alone() -> None:
    world = World()
    world.keeper.held = {"a": Fence(1), "b": Fence(1)}
    world.keeper.given_back = "b"
    for due_s in (20.0, 25.0):
        world.step(due_s)
        assert world.ended == []
    world.step(30.0)
    assert world.ended == ["b"]
    world.step(35.0)
    assert world.stepped == [("a", 35.0)]


def test_a_shard_that_came_while_a_step_was_made_may_go_at_once() -> None:
    world = World()
    world.keeper.given_back = "b"
    world.step(15.0)
    assert (world.ended, list(world.shell.shells)) == ([], [])


def test_a_step_that_cannot_be_noted_is_made_all_the_same() -> None:
    world = World()
    world.keeper.held, world.raises = {"a": Fence(1)}, "no room"
    world.step(5.0)
    assert world.stepped == [("a", 5.0)]
    assert world.statuses[-1]["engine"] == "me"


def test_who_ends_keeps_what_each_shard_remembers_before_it_gives_them_back(
    logged: io.StringIO,
) -> None:
    world = World()
    world.keeper.held = {"a": Fence(1), "b": Fence(1)}
    world.broken = "a"
    order: list[object] = []
    world.meanwhile = lambda: order.append([*world.finished])

    def beat(stop: asyncio.Event) -> None:
        if world.at_s > 10.0:
            stop.set()

    world.beat = beat  # type: ignore[method-assign]
    asyncio.run(world.shell.run())
    assert world.finished == [("a", 15.0), ("b", 15.0)]
    assert order == [[], [], world.finished]
    assert world.keeper.calls == ["start", "leave 3"]
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    kept, handed = lines[-2:]
    assert kept["event"] == "what a shard remembers could not be kept: it cannot be kept"
    assert handed["event"] == "this engine has handed 2 shards over"
    assert (handed["steps"], handed["samples"]) == (2, 0)
    assert sum("could not be kept" in line["event"] for line in lines) == 1


def test_an_end_that_cannot_be_noted_is_said_and_the_shards_are_given_back(
    logged: io.StringIO,
) -> None:
    world = World()
    world.raises = "full"
    world.beat = lambda stop: stop.set()  # type: ignore[method-assign]
    asyncio.run(world.shell.run())
    assert world.keeper.calls == ["start", "leave 3"]
    assert "the end could not be noted" in logged.getvalue()


def test_how_busy_it_is_counts_all_shards_and_the_steps_that_were_left_out() -> None:
    world = World()
    world.keeper.held = {"a": Fence(1), "b": Fence(1)}
    window = np.zeros(1, SAMPLE_DTYPE)
    window["time_s"] = 5.0

    def meanwhile() -> None:
        for name, shell in world.shell.shells.items():
            shell.load.take_up({name: window})
        world.at_s += 0.25

    world.meanwhile = meanwhile
    began = [5.0]

    def beat(stop: asyncio.Event) -> None:
        if len(began) > 2:
            stop.set()

    async def slow(_: str) -> None:
        began.append(world.at_s)
        world.at_s += 13.0 if len(began) == 2 else 0.0

    world.beat = beat  # type: ignore[method-assign]
    world.shell._show = slow
    asyncio.run(world.shell.run())
    loads = [status["load"] for status in world.statuses]
    assert [load["samples"] for load in loads] == [2, 2]
    assert [load["waiting"] for load in loads] == [0, 4]
    assert [load["per_s"] for load in loads] == [2 / 5.0, 2 / 5.0]
    assert [load["at_s"] for load in loads] == [5.25, 20.25]
    assert [load["sum_s"] for load in loads] == [2 * 0.25, 2 * 0.25]
    del world.keeper.held["a"]
    world.step(25.0)
    world.keeper.held["a"] = Fence(3)
    world.step(30.0)
    assert world.statuses[-1]["load"]["samples"] == 3


def test_before_its_first_step_none_was_left_out() -> None:
    world = World()
    world.keeper.held = {"a": Fence(1)}
    window = np.zeros(1, SAMPLE_DTYPE)
    world.meanwhile = lambda: world.shell.load.take_up({"api": window})
    world.step(5.0)
    assert world.statuses[-1]["load"]["waiting"] == 0
