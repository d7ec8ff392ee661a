"""The shell of an engine that is one of several: it steps what it has, and nothing ends it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

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


class World:
    def __init__(self) -> None:
        self.keeper, self.stepped, self.ended = Keeper(), list[tuple[str, float]](), list[str]()
        self.statuses: list[Any] = []
        self.raises = ""
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
            shared, self.make, clock=SimpleNamespace(), settings=LiveSettings(),
            sample_s=5.0, cycle_s=15.0, show=nothing, close=nothing,
        )  # type: ignore[arg-type]  # fmt: skip

    def flush(self) -> None:
        self.meanwhile()
        if self.raises:
            raise OSError(self.raises)

    def make(self, shard: Shard) -> tuple[Any, Callable[[], None]]:
        async def step(due_s: float) -> None:
            self.stepped.append((shard.name, due_s))
            if shard.name in self.parts:
                self.together.statuses.append(self.parts[shard.name])

        return SimpleNamespace(step=step), lambda: self.ended.append(shard.name)

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
