"""When the shell steps: on the beat, whatever becomes of the clock and of the timers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from engine.ports.metrics import Reading
from engine.ports.notifier import AlertState
from tests.unit.engine.runtime.conftest import START_S, LiveWorld, simulated


class LoopClock:
    """Goes with the loop's time; may be set, may fail, and its timers may be early or late."""

    def __init__(self, timer: Callable[[float], float] = lambda duration_s: duration_s) -> None:
        self.set_by_s = 0.0
        self.timer = timer
        self.unasked = self.unwaited = (0.0, 0.0)
        """From when to when (loop's time, s) it cannot be asked, and not be waited with."""
        self.turns: dict[float, float] = {}
        """By how much it is set when the loop's time is reached."""

    def _time_s(self) -> float:
        passed_s = asyncio.get_running_loop().time()
        for at_s in [at_s for at_s in self.turns if at_s <= passed_s]:
            self.set_by_s += self.turns.pop(at_s)
        return passed_s

    def now_s(self) -> float:
        passed_s = self._time_s()
        begin_s, end_s = self.unasked
        if begin_s <= passed_s < end_s:
            raise OSError("no clock")
        return START_S + passed_s + self.set_by_s

    async def wait(self, duration_s: float, stop: asyncio.Event) -> None:
        begin_s, end_s = self.unwaited
        if begin_s <= self._time_s() < end_s:
            raise OSError("no timer")
        await asyncio.sleep(self.timer(duration_s))


def stepped(
    world: LiveWorld, controller: Any, clock: LoopClock, duration_s: float = 30.0
) -> tuple[list[float], float, Any]:
    """When the controller was asked (s after the start), how long it all took, and the shell."""
    shell = world.shell(controller, duration_s=duration_s, clock=clock, **world.in_memory())
    took_s = simulated(shell.run())
    return [seen.now_s - START_S for seen in controller.seen], took_s, shell


EACH = [5.0, 10.0, 15.0, 20.0, 25.0, 30.0]


@pytest.mark.parametrize(
    "timer",
    [
        lambda duration_s: duration_s,
        lambda duration_s: max(0.5 * duration_s, 0.001),
        lambda duration_s: duration_s + 1.25,
    ],
    ids=["exact", "early", "late"],
)
def test_each_beat_has_one_step_whether_timers_are_early_or_late(
    world: LiveWorld, scripted: Any, timer: Callable[[float], float]
) -> None:
    times_s, _, _ = stepped(world, scripted(), LoopClock(timer), 31.0)
    assert times_s == EACH


def test_beats_that_were_slept_through_are_not_made_up_for(world: LiveWorld, scripted: Any) -> None:
    clock = LoopClock(lambda duration_s: duration_s + 7.0)
    assert stepped(world, scripted(), clock, 40.0)[0] == [5.0, 15.0, 25.0, 35.0]


def test_a_clock_that_is_set_back_during_a_step_repeats_no_beat(
    world: LiveWorld, scripted: Any
) -> None:
    clock, plain = LoopClock(), world.source.read

    async def slow(now_s: float) -> Reading:
        await asyncio.sleep(0.25)
        return await plain(now_s)

    world.source.read = slow  # type: ignore[method-assign]
    clock.turns = {10.125: -0.5}
    times_s, took_s, _ = stepped(world, scripted(), clock)
    assert times_s == EACH
    assert took_s == 30.75


def test_the_end_is_between_two_beats_if_the_duration_is(world: LiveWorld, scripted: Any) -> None:
    times_s, took_s, _ = stepped(world, scripted(), LoopClock(), 13.0)
    assert (times_s, took_s) == ([5.0, 10.0], 13.0)


def test_time_goes_on_while_the_clock_cannot_be_asked(world: LiveWorld, scripted: Any) -> None:
    clock = LoopClock()
    clock.unasked = (12.0, 24.0)
    times_s, took_s, shell = stepped(world, scripted(), clock)
    assert (times_s, took_s) == (EACH, 30.0)
    said = [(alert.source, alert.state, alert.detail) for alert in world.pager.alerts]
    assert said == [
        ("clock", AlertState.STARTED, "no clock"), ("clock", AlertState.ENDED, "no clock"),
    ]  # fmt: skip
    assert [alert.time_s - START_S for alert in world.pager.alerts] == [15.0, 25.0]
    assert shell.cycle.troubles.all == {}


def test_without_timers_it_looks_at_the_clock_each_second(world: LiveWorld, scripted: Any) -> None:
    clock = LoopClock()
    clock.unwaited = (0.0, 12.5)
    times_s, took_s, _ = stepped(world, scripted(), clock)
    assert (times_s, took_s) == (EACH, 30.0)
    assert {alert.source for alert in world.pager.alerts} == {"clock"}
    assert world.pager.alerts[0].detail == "no timer"
    assert all(START_S <= alert.time_s <= START_S + 13.0 for alert in world.pager.alerts)


def test_it_begins_when_the_clock_has_said_a_time(world: LiveWorld, scripted: Any) -> None:
    clock = LoopClock()
    clock.unasked = (0.0, 6.5)
    times_s, took_s, _ = stepped(world, scripted(), clock)
    # 30 s from the first look that succeeded, at 7 s: each second one.
    assert (times_s, took_s) == ([*EACH[1:], 35.0], 37.0)


def test_who_is_stopped_before_there_is_a_time_has_done_nothing(
    world: LiveWorld, scripted: Any
) -> None:
    clock, controller = LoopClock(), scripted()
    clock.unasked = (0.0, 1e9)
    prompt = world.in_memory()
    shell = world.shell(controller, duration_s=None, clock=clock, **prompt)

    async def run() -> None:
        running = asyncio.create_task(shell.run())
        await asyncio.sleep(3.5)
        shell.stop()
        await running

    assert simulated(run()) == 4.0
    assert (controller.seen, prompt["store"].text, shell.fence) == ([], "", 0)


def test_who_is_stopped_while_it_waits_makes_no_further_step(
    world: LiveWorld, scripted: Any
) -> None:
    controller = scripted()
    prompt = world.in_memory()
    shell = world.shell(controller, duration_s=None, clock=LoopClock(), **prompt)

    async def run() -> None:
        running = asyncio.create_task(shell.run())
        await asyncio.sleep(13.0)
        shell.stop()
        shell.stop()
        await running

    simulated(run())
    assert [seen.now_s - START_S for seen in controller.seen] == [5.0, 10.0]
    assert prompt["store"].text
