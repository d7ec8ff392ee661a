"""The store is down at the beginning: the engine protects or holds still, and joins it later."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from engine.model import Approval, Plan
from engine.ports.lease import Fence
from engine.ports.store import Kept, RowKind
from engine.runtime.shell import MEMORY_TRIES
from tests.unit.engine.runtime.conftest import START_S, LiveWorld, LosableLease

Act = Callable[..., Any]
DOWN = OSError(5, "Input/output error")


class Store:
    """The world's own, whose parts are down when the test says so."""

    def __init__(self, world: LiveWorld, *down: str) -> None:
        self.down = set(down)
        self.reads = 0
        self.kept: list[Kept] = []
        self._store = world.store

    async def memory(self) -> str:
        self.reads += 1
        self._up("memory")
        return await self._store.memory()

    async def keep(self, kept: Kept, fence: Fence) -> None:
        self._up("keep")
        self.kept.append(kept)
        await self._store.keep(kept, fence)

    def _up(self, part: str) -> None:
        if part in self.down:
            raise DOWN

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def driven(shell: Any, world: LiveWorld, at: dict[int, Callable[[], None]], steps: int) -> None:
    """Make so many steps; before some of them something happens."""

    async def run() -> None:
        for k in range(1, steps + 1):
            at.get(k, lambda: None)()
            world.clock.time_s = START_S + 5.0 * k
            await shell.step(world.clock.time_s)

    asyncio.run(run())


def remembered(world: LiveWorld, scripted: Any) -> None:
    """An engine was here, and saw 50 steps."""
    driven(world.shell(scripted(), duration_s=None), world, {}, 1)
    kept = json.loads(world.memory())
    kept["snapshot"] = '{"count": 50}'
    world.put_memory(json.dumps(kept))


def test_what_was_remembered_is_taken_over_when_the_store_comes_and_not_written_over_before(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    remembered(world, scripted)
    before = world.memory()
    store = Store(world, "memory", "keep")
    controller = scripted(Plan(actions=(act("a", 4, 6),)), Plan(actions=(act("b", 6, 5),)))
    shell = world.shell(controller, duration_s=None, store=store)
    said: list[Any] = []

    def look() -> None:
        said.append((world.memory() == before, dict(shell.cycle.troubles.all)))

    def up() -> None:
        look()
        store.down.clear()

    driven(shell, world, {MEMORY_TRIES + 3: up}, MEMORY_TRIES + 5)
    (same, troubles), *_ = said
    assert same
    assert "it cannot be read" in troubles["memory"][0]
    # What protects was done all the same, and what does not was not.
    assert world.pool.writes == [(4, 6)]
    assert controller.count == 53
    assert shell.cycle.troubles.all == {}
    assert json.loads(json.loads(world.memory())["snapshot"])["count"] > 50


def test_a_store_that_has_nothing_when_it_comes_leaves_what_was_learned_meanwhile(
    world: LiveWorld, scripted: Any
) -> None:
    store = Store(world, "memory", "keep")
    controller = scripted()
    shell = world.shell(controller, duration_s=None, store=store)
    begins, begin = [], shell.cycle.begin

    def counted(now_s: float, text: str) -> bool:
        begins.append(text)
        return begin(now_s, text)

    shell.cycle.begin = counted  # type: ignore[method-assign]
    driven(shell, world, {MEMORY_TRIES + 2: store.down.clear}, MEMORY_TRIES + 4)
    assert begins == [""]
    assert controller.count == 5
    assert shell.cycle.troubles.all == {}
    assert json.loads(json.loads(world.memory())["snapshot"]) == {"count": 4}  # at the last cycle
    assert store.reads == MEMORY_TRIES + 2


def test_while_it_cannot_be_read_rows_are_kept_and_no_memory_and_at_last_it_is_given_up(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    remembered(world, scripted)
    before = world.memory()
    store = Store(world, "memory")
    plans = [Plan(actions=(act(f"a{k}", 4 + k, 5 + k),)) for k in range(8)]
    shell = world.shell(scripted(*plans), duration_s=None, store=store)
    same: list[bool] = []
    answer = Approval("asked-1", False, START_S + 1.0, "ada")
    world.desk.answer(answer)
    at = {k: lambda: same.append(world.memory() == before) for k in range(1, 10)}
    driven(shell, world, at, 9)
    # Three in vain before it begins, three more since the store has taken something.
    assert same == [True] * (2 * MEMORY_TRIES) + [False] * (9 - 2 * MEMORY_TRIES)
    assert store.reads == 2 * MEMORY_TRIES
    assert {row.id for row in world.rows(RowKind.INTENT)} >= {"a0", "a1"}
    # An answer stays in the store until a memory holds it.
    assert {kept.taken for kept in store.kept if kept.memory is None} == {()}
    assert any(answer in kept.taken for kept in store.kept if kept.memory is not None)
    assert shell.cycle.troubles.all == {}


def test_a_new_lead_reads_anew_whatever_the_one_before_could_not(
    world: LiveWorld, scripted: Any
) -> None:
    remembered(world, scripted)
    lease, store = LosableLease(), Store(world, "memory", "keep")
    controller = scripted()
    shell = world.shell(controller, duration_s=None, store=store, lease=lease)

    def lost() -> None:
        lease.fence = 9

    driven(shell, world, {MEMORY_TRIES + 1: lost}, MEMORY_TRIES + 1)
    # One step under the first lead; under the second it waits for the memory again.
    assert (controller.count, shell.fence) == (1, 9)


@pytest.mark.parametrize("broken", [ConnectionRefusedError(111, "Connection refused"), DOWN])
def test_without_knowing_who_leads_no_count_is_changed_and_that_is_said(
    world: LiveWorld, scripted: Any, act: Act, broken: OSError
) -> None:
    lease = LosableLease()
    lease.broken = broken
    controller = scripted(Plan(actions=(act("a", 4, 9),)))
    shell = world.shell(controller, duration_s=None, lease=lease)
    troubles: list[Any] = []

    def come() -> None:
        troubles.append(dict(shell.cycle.troubles.all))
        assert (world.pool.looks, world.pool.writes) == (0, [])
        lease.broken = None

    driven(shell, world, {5: come}, 6)
    (words,) = troubles[0]["lease"]
    assert words.endswith("; until it says who leads, no count is changed")
    # Whoever asks the engine itself is told so at each step, and the store is not.
    said = world.notes.statuses[:4]
    assert [(one["lead"], one["leads"], one["skipped"]) for one in said] == [
        (0, False, k) for k in range(1, 5)
    ]
    assert said[-1]["troubles"] == troubles[0]
    assert ["leads" in one for one in world.notes.statuses[4:]] == [False, False]
    assert world.pool.writes == [(4, 9)]
    assert shell.cycle.troubles.all == {}


def test_who_has_led_and_cannot_ask_says_no_more_than_that(world: LiveWorld, scripted: Any) -> None:
    lease = LosableLease()
    shell = world.shell(scripted(), duration_s=None, lease=lease)

    def cut() -> None:
        lease.broken = DOWN

    driven(shell, world, {3: cut}, 4)
    assert shell.cycle.troubles.all["lease"] == ("Input/output error",)
    assert shell.cycle.steps == 4
    lease.broken, lease.taken = None, True
    driven(shell, world, {}, 1)
    assert shell.cycle.troubles.all["lease"] == ("the engine next door leads",)
    assert [one.get("leads", True) for one in world.notes.statuses] == [True] * 4 + [False]
