"""What the store is asked in one step, and how often: one that counts, and fails when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.model import Action, Plan
from engine.ports.lease import Fence
from engine.ports.notifier import AlertState
from engine.ports.store import Kept, RowKind
from engine.runtime.shell import MEMORY, MEMORY_TRIES, STORE
from tests.unit.engine.runtime.conftest import START_S, LiveWorld

Act = Callable[..., Action]
QUIET, BUSY = Plan(cycle=False), Plan(cycle=True)


class Door:
    """What stands before the store's `keep`: shut, it lets nothing in."""

    def __init__(self, world: LiveWorld) -> None:
        self.shut = False
        self.asked: list[Kept] = []
        self._keep = world.store.keep
        world.store.keep = self.keep  # type: ignore[method-assign]

    async def keep(self, kept: Kept, fence: Fence) -> None:
        self.asked.append(kept)
        if self.shut:
            raise OSError(28, "No space left on device")
        await self._keep(kept, fence)


@pytest.fixture
def door(world: LiveWorld) -> Door:
    return Door(world)


def stepped(shell: Any, *times_s: float) -> None:
    async def run() -> None:
        for time_s in times_s:
            await shell.step(time_s)

    asyncio.run(run())


def test_a_step_in_which_nothing_happens_keeps_nothing(
    world: LiveWorld, scripted: Any, door: Door
) -> None:
    shell = world.shell(scripted(BUSY, QUIET), duration_s=None)
    stepped(shell, START_S + 5.0)
    door.asked.clear()
    stepped(shell, START_S + 10.0)
    assert (shell.cycle.steps, door.asked) == (2, [])


def test_a_store_that_takes_nothing_is_asked_once_in_a_step(
    world: LiveWorld, scripted: Any, door: Door
) -> None:
    door.shut = True
    stepped(world.shell(scripted(BUSY), duration_s=None), START_S + 5.0)
    assert len(door.asked) == 1


def test_what_is_left_out_is_noted_and_what_became_of_commands_is_kept_in_the_same_step(
    world: LiveWorld, scripted: Any, act: Act, door: Door
) -> None:
    plans = (Plan(actions=(act("in", 4, 3),)), Plan(actions=(act("out", 4, 6),)))
    shell = world.shell(scripted(*plans), duration_s=None)
    door.shut = True
    stepped(shell, START_S + 5.0)
    (left_out,) = world.notes.results
    assert (left_out.decision_id, left_out.status.value, left_out.sent) == ("in", "failed", False)
    door.shut = False
    stepped(shell, START_S + 10.0)
    names = [row.id.partition("/")[0] for row in world.rows(RowKind.RESULT)]
    assert names == ["in", "out"]


def test_a_store_that_cannot_say_what_it_has_seen_is_a_trouble_and_a_step_is_made(
    world: LiveWorld, scripted: Any
) -> None:
    async def fail() -> Fence:
        raise OSError(5, "Input/output error")

    world.store.newest = fail  # type: ignore[method-assign]
    shell = world.shell(scripted(QUIET), duration_s=None)
    stepped(shell, START_S + 5.0)
    began = [a for a in world.pager.alerts if a.state is AlertState.STARTED]
    assert [(a.source, a.detail, a.time_s) for a in began] == [
        (STORE, "Input/output error", START_S + 5.0)
    ]
    assert (shell.cycle.steps, shell.cycle.skipped) == (1, 0)


def test_a_memory_that_could_not_be_read_is_no_trouble_once_there_is_another(
    world: LiveWorld, scripted: Any, door: Door
) -> None:
    async def fail() -> str:
        raise OSError(5, "Input/output error")

    world.store.memory = fail  # type: ignore[method-assign]
    shell = world.shell(scripted(QUIET, *[BUSY] * MEMORY_TRIES), duration_s=None)
    times_s = [START_S + 5.0 * k for k in range(1, 2 * MEMORY_TRIES + 1)]
    stepped(shell, *times_s[:MEMORY_TRIES])
    # It begins afresh, and keeps rows alone: there is no memory yet that could be read.
    assert [kept.memory for kept in door.asked] == [None]
    assert shell.cycle.troubles.all == {MEMORY: ("it cannot be read: Input/output error",)}
    stepped(shell, *times_s[MEMORY_TRIES:])
    # After as many looks again what it had is given up, as it takes what is new.
    assert [kept.memory is None for kept in door.asked][-2:] == [True, False]
    assert shell.cycle.troubles.all == {}
    alerted = [(a.state, a.time_s) for a in world.pager.alerts if a.source == MEMORY]
    assert alerted == [(AlertState.STARTED, times_s[0]), (AlertState.ENDED, times_s[-1])]


def test_the_end_of_a_trouble_at_the_very_end_is_kept_too(
    world: LiveWorld, scripted: Any, door: Door
) -> None:
    door.shut = True
    shell = world.shell(scripted(BUSY), duration_s=7.0)

    def open_it() -> None:
        door.shut = False

    world.clock.at[START_S + 7.0] = open_it
    asyncio.run(shell.run())
    assert [row.id.split("/")[:2] for row in world.rows(RowKind.ALERT)] == [
        [STORE, "started"], [STORE, "ended"],
    ]  # fmt: skip
