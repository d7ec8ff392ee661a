"""The shell in wall time, against a clock that the test turns: what it does when things fail."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from engine import Autoscaler, EngineSettings
from engine.model import (
    Action,
    ActionResult,
    Approval,
    Direction,
    ManualFloor,
    Pause,
    Plan,
    Reason,
    Status,
)
from engine.ports.store import RowKind
from tests.unit.engine.runtime.conftest import simulated

Act = Callable[..., Any]


def test_it_steps_at_each_full_interval_until_the_duration_is_over(
    world: Any, scripted: Any
) -> None:
    controller = scripted()
    world.clock.time_s += 1.3
    asyncio.run(world.shell(controller, duration_s=31.0).run())
    assert [seen.now_s % 100 for seen in controller.seen] == [5, 10, 15, 20, 25, 30]


def test_the_engine_makes_its_cycles_on_the_beat(world: Any) -> None:
    asyncio.run(world.shell(Autoscaler(), duration_s=62.0).run())
    cycles = [time_s % 100 for time_s, _, plan in world.notes.steps if plan.cycle]
    assert cycles == [5, 20, 35, 50]


def test_a_result_is_told_once_whether_it_comes_at_once_or_later(
    world: Any, scripted: Any, act: Act
) -> None:
    controller = scripted(Plan(actions=(act("a", 4, 5),)))
    done = ActionResult("a", Status.COMPLETED, 1_000_012.0)
    world.clock.at[1_000_012.0] = lambda: world.pool.results.append(done)
    asyncio.run(world.shell(controller, duration_s=30.0).run())
    statuses = [[result.status for result in seen.results] for seen in controller.seen]
    assert statuses == [[], [Status.ACCEPTED], [Status.COMPLETED], [], [], []]
    assert [r.status for r in world.notes.results] == [Status.ACCEPTED, Status.COMPLETED]


def test_without_a_look_at_the_instances_there_is_no_step_and_no_result_is_lost(
    world: Any, scripted: Any
) -> None:
    controller = scripted()
    result = ActionResult("a", Status.COMPLETED, 1_000_001.0)

    def fail() -> None:
        world.pool.unreachable = "HAProxy's socket is gone"
        world.pool.results.append(result)

    def mend() -> None:
        world.pool.unreachable = ""

    world.clock.at = {1_000_010.0: fail, 1_000_025.0: mend}
    shell = world.shell(controller, duration_s=40.0)
    asyncio.run(shell.run())
    assert [seen.now_s % 100 for seen in controller.seen] == [5, 25, 30, 35, 40]
    assert controller.seen[1].results == (result,)
    assert shell.cycle.skipped == 3
    assert world.notes.kinds("infrastructure") == ["trouble_started", "trouble_ended"]
    # How it is is noted after each step, made or not, as whoever asks is shown it.
    noted = [(status["steps"], bool(status["troubles"])) for status in world.notes.statuses]
    assert noted == [(1, False), *3 * [(1, True)], (2, False), (3, False), (4, False), (5, False)]
    assert json.loads(json.dumps(world.notes.statuses[-1])) == world.status()


def test_an_infrastructure_that_hangs_is_not_asked_again_before_it_has_answered(
    world: Any, scripted: Any
) -> None:
    controller = scripted()
    world.pool.hangs = gate = asyncio.Event()
    world.pool.results.append(ActionResult("a", Status.COMPLETED, 1_000_001.0))

    def answer() -> None:
        world.pool.hangs = None
        gate.set()

    world.clock.at[1_000_015.0] = answer
    shell = world.shell(controller, duration_s=25.0, **world.in_memory())
    simulated(shell.run())
    assert shell.cycle.skipped == 2
    assert len(controller.seen) == 3
    assert world.pool.looks == 4  # not while it hangs
    # What it said too late is not lost.
    assert [r.decision_id for seen in controller.seen for r in seen.results] == ["a"]


def test_metrics_in_trouble_are_noted_when_it_begins_and_when_it_ends(
    world: Any, scripted: Any
) -> None:
    def fail() -> None:
        world.source.troubles = ("cpu: no answer within 2 s",)

    def mend() -> None:
        world.source.troubles = ()

    world.clock.at = {1_000_010.0: fail, 1_000_020.0: mend}
    asyncio.run(world.shell(scripted(), duration_s=30.0).run())
    assert len(world.notes.steps) == 6
    assert world.notes.kinds("metrics") == ["trouble_started", "trouble_ended"]


def test_old_samples_are_shown_as_old_and_never_made_new(world: Any, scripted: Any) -> None:
    controller = scripted()
    world.source.stopped_s = 1_000_010.0
    asyncio.run(world.shell(controller, duration_s=60.0).run())
    newest = [float(seen.services[0].window["time_s"][-1]) for seen in controller.seen]
    assert newest[-1] == 1_000_007.0
    assert controller.seen[-1].now_s - newest[-1] == 53.0


def test_a_broken_schedule_leaves_the_last_outlook_in_force(world: Any, scripted: Any) -> None:
    controller = scripted()

    def fail() -> None:
        world.calendar.broken = "schedule: the file is gone"

    world.clock.at[1_000_010.0] = fail
    asyncio.run(world.shell(controller, duration_s=20.0).run())
    assert len(controller.seen) == 4
    assert controller.seen[3].outlook is controller.seen[0].outlook
    assert world.notes.kinds("schedule") == ["trouble_started"]


def test_a_controller_that_raises_is_put_back_to_what_it_saved_and_asked_again(
    world: Any, scripted: Any, act: Act
) -> None:
    controller = scripted(Plan(), Plan(cycle=False), ZeroDivisionError("oh"))
    shell = world.shell(controller, duration_s=15.0)
    asyncio.run(shell.run())
    assert shell.cycle.skipped == 1
    assert controller.count == 1  # as saved after the first step, which was a cycle
    assert world.notes.kinds("controller") == ["trouble_started"]


@pytest.mark.parametrize("service", [("api", 4, 101), ("api", 4, 1), ("nobody", 4, 5)])
def test_nonsense_is_not_carried_out(
    world: Any, scripted: Any, act: Act, service: tuple[str, int, int]
) -> None:
    name, before, after = service
    wrong = replace(act("a", before, after), service=name)
    asyncio.run(world.shell(scripted(Plan(actions=(wrong,))), duration_s=10.0).run())
    assert world.pool.asked == []
    assert world.notes.kinds("controller") == ["trouble_started"]


def test_a_command_that_cannot_be_given_has_failed(world: Any, scripted: Any, act: Act) -> None:
    controller = scripted(Plan(actions=(act("a", 4, 5),)))
    world.pool.refuses = OSError("no route")
    asyncio.run(world.shell(controller, duration_s=10.0).run())
    (result,) = controller.seen[1].results
    assert (result.status, result.detail) == (Status.FAILED, "no route")


def test_a_command_that_hangs_has_failed_until_it_is_accepted_after_all(
    world: Any, scripted: Any, act: Act
) -> None:
    controller = scripted(Plan(actions=(act("a", 4, 5),)))
    gate, plain = asyncio.Event(), world.pool.apply

    async def slow(actions: Any, fence: Any) -> Any:
        await gate.wait()
        return await plain(actions, fence)

    world.pool.apply = slow

    async def run() -> None:
        shell = world.shell(controller, duration_s=None, **world.in_memory())
        await shell.step(1_000_005.0)
        gate.set()
        await asyncio.sleep(0.01)
        await shell.step(1_000_010.0)

    simulated(run())
    assert [r.status for r in controller.seen[1].results] == [Status.FAILED, Status.ACCEPTED]
    assert "no answer within" in controller.seen[1].results[0].detail


def test_recommending_only_never_touches_the_infrastructure(
    world: Any, scripted: Any, act: Act
) -> None:
    controller = scripted(Plan(actions=(act("a", 4, 5),), awaiting=(act("b", 4, 9),)))
    asyncio.run(world.shell(controller, acts=False).run())
    assert world.pool.asked == []
    noted = world.notes.steps[0][2]
    assert [a.decision_id for a in noted.dry] == ["a", "b"]
    assert noted.actions == noted.awaiting == ()


def test_advice_reaches_an_infrastructure_that_shows_it_and_no_step_depends_on_that(
    world: Any, scripted: Any, act: Act
) -> None:
    shown: list[str] = []

    async def advise(actions: Sequence[Action]) -> None:
        shown.extend(action.decision_id for action in actions)
        if len(shown) > 1:
            raise ConnectionError("events are refused")

    world.pool.advise = advise
    plans = [Plan(actions=(act("a", 4, 5),)), Plan(actions=(act("b", 4, 6),)), Plan()]
    asyncio.run(world.shell(scripted(*plans), acts=False).run())
    assert shown == ["a", "b"]
    assert len(world.notes.steps) > len(plans)
    assert world.notes.kinds("advice") == ["trouble_started", "trouble_ended"]


def test_an_engine_that_acts_gives_no_advice(world: Any, scripted: Any, act: Act) -> None:
    shown: list[str] = []

    async def advise(actions: Sequence[Action]) -> None:
        shown.extend(action.decision_id for action in actions)

    world.pool.advise = advise
    asyncio.run(world.shell(scripted(Plan(actions=(act("a", 4, 5),)))).run())
    assert world.pool.desired == 5
    assert shown == []


def test_who_goes_by_the_engines_steps_hears_of_each_and_no_step_depends_on_that(
    world: Any, scripted: Any, act: Act
) -> None:
    heard: list[tuple[int, int]] = []

    async def affirm(fence: int) -> None:
        heard.append((fence, world.pool.desired))
        if len(heard) == 2:
            raise ConnectionError("the API server is away")

    world.pool.affirm = affirm
    shell = world.shell(scripted(Plan(actions=(act("a", 4, 5),)), Plan()))
    asyncio.run(shell.run())
    assert heard[0] == (1, 5)  # under the lead's fence, and after the commands were given
    assert len(heard) == shell.cycle.steps > 2
    assert world.notes.kinds("pulse") == ["trouble_started", "trouble_ended"]


def test_an_engine_that_only_recommends_is_not_heard_of(
    world: Any, scripted: Any, act: Act
) -> None:
    heard: list[int] = []

    async def affirm(fence: int) -> None:
        heard.append(fence)

    world.pool.affirm = affirm
    asyncio.run(world.shell(scripted(Plan(actions=(act("a", 4, 5),))), acts=False).run())
    assert heard == []


def test_the_engine_itself_recommends_only_when_it_is_told_so(world: Any) -> None:
    world.calendar.rate = world.source.rate = 2000.0
    settings = EngineSettings(mode="recommend_only")
    asyncio.run(world.shell(Autoscaler(settings), acts=False).run())
    assert world.pool.asked == []
    assert any(plan.dry for _, _, plan in world.notes.steps)


def test_a_floor_and_a_pause_hold_from_the_next_step_on_and_until_they_expire(
    world: Any, scripted: Any
) -> None:
    controller = scripted()
    floor = ManualFloor("api", 9, 1_000_020.0, "ada")
    pause = Pause("api", Direction.IN, math.inf)
    world.clock.at = {
        1_000_008.0: lambda: world.desk.ask(floor),
        1_000_012.0: lambda: world.desk.ask(pause),
        1_000_022.0: lambda: world.desk.withdraw("pause", "api"),
    }
    asyncio.run(world.shell(controller, duration_s=25.0).run())
    assert [len(seen.floors) for seen in controller.seen] == [0, 1, 1, 0, 0]
    assert [len(seen.pauses) for seen in controller.seen] == [0, 0, 1, 1, 0]


def test_a_floor_of_a_person_is_reached_and_a_pause_stops_it(world: Any) -> None:
    world.desk.ask(ManualFloor("api", 6, math.inf))
    world.desk.ask(Pause(expires_s=1_000_030.0))
    asyncio.run(world.shell(Autoscaler(), duration_s=120.0).run())
    (step,) = [(time_s, plan) for time_s, _, plan in world.notes.steps if plan.actions]
    assert step[0] >= 1_000_030.0
    assert step[1].actions[0].reason is Reason.MANUAL
    assert world.pool.desired == 6


def test_an_action_that_needs_approval_waits_for_a_person(
    world: Any, scripted: Any, act: Act
) -> None:
    controller = scripted(Plan(awaiting=(act("api-1", 4, 90),)))
    answer = Approval("api-1", True, 1_000_011.0, "ada")
    seen: list[list[str]] = []
    world.clock.at = {
        1_000_008.0: lambda: seen.append(world.status()["awaiting"]),
        1_000_011.0: lambda: world.desk.answer(answer),
    }
    asyncio.run(world.shell(controller, duration_s=25.0, approver="never").run())
    assert seen == [["api-1"]]
    assert [step.approvals for step in controller.seen] == [(), (), (answer,), (), ()]


@pytest.mark.parametrize(("approver", "step"), [("automatic", 1), (12.0, 4)])
def test_an_approver_answers_at_once_or_after_a_while_also_after_a_restart(
    world: Any, scripted: Any, act: Act, approver: Any, *, step: int
) -> None:
    first = scripted(Plan(awaiting=(act("api-1", 4, 90),)))
    asyncio.run(world.shell(first, duration_s=5.0, approver=approver).run())
    second = scripted()
    second.plans = (Plan(), Plan(), Plan())
    asyncio.run(world.shell(second, duration_s=30.0, approver=approver).run())
    answered = [len(seen.approvals) for seen in second.seen]
    assert answered.index(1) + 1 == max(step - 1, 1)
    assert sum(answered) == 1


def test_a_clock_that_is_set_back_an_hour_does_not_stop_it(world: Any, scripted: Any) -> None:
    controller = scripted()

    def set_back() -> None:
        world.clock.time_s -= 3600.0

    world.clock.at[1_000_010.0] = set_back

    async def run() -> None:
        shell = world.shell(controller, duration_s=None)
        task = asyncio.create_task(shell.run())
        while len(controller.seen) < 6:
            await asyncio.sleep(0)
        shell.stop()
        await task

    asyncio.run(run())
    assert max(world.clock.waited) <= 5.0
    assert controller.seen[2].now_s < controller.seen[0].now_s


def test_a_stop_finishes_the_step_and_saves(world: Any, scripted: Any, act: Act) -> None:
    controller = scripted(Plan(cycle=False), Plan(cycle=False, actions=(act("a", 4, 5),)))
    shell = world.shell(controller, duration_s=None)
    plain = world.pool.apply

    async def stop_meanwhile(actions: Any, fence: Any) -> Any:
        shell.stop()
        return await plain(actions, fence)

    world.pool.apply = stop_meanwhile
    asyncio.run(shell.run())
    assert world.pool.writes == [(4, 5)]
    kept = json.loads(world.memory())
    assert json.loads(kept["snapshot"]) == {"count": 2}


def test_what_is_remembered_is_on_the_disk_after_each_cycle_and_each_action(
    world: Any, scripted: Any, act: Act
) -> None:
    controller = scripted(
        Plan(cycle=True), Plan(cycle=False), Plan(cycle=False, actions=(act("a", 4, 5),)),
        Plan(cycle=False),
    )  # fmt: skip
    kept: list[int] = []

    def look() -> None:
        text = world.memory()
        kept.append(json.loads(json.loads(text)["snapshot"])["count"])

    for k in range(1, 5):
        world.clock.at[1_000_000.0 + 5.0 * k + 1.0] = look

    async def run() -> None:
        shell = world.shell(controller, duration_s=None)
        for k in range(1, 5):
            await shell.step(1_000_000.0 + 5.0 * k)
            look()

    asyncio.run(run())
    assert kept == [1, 1, 3, 3]


def test_an_engine_that_goes_on_with_a_memory_decides_as_if_it_had_never_stopped(
    world: Any,
) -> None:
    world.calendar.rate = world.source.rate = 700.0

    async def steps(shell: Any, begin: int, end: int) -> None:
        for k in range(begin, end):
            await shell.step(1_000_000.0 + 5.0 * k)

    async def whole() -> None:
        await steps(world.shell(Autoscaler()), 0, 60)

    asyncio.run(whole())
    expected = [plan for _, _, plan in world.notes.steps]
    writes = list(world.pool.writes)
    assert writes

    for cut in (7, 16, 31):
        world.put_memory("")
        world.pool.desired, world.pool.writes = 4, []
        world.pool.seen.clear()
        world.notes.steps.clear()

        async def broken(cut: int = cut) -> None:
            await steps(world.shell(Autoscaler()), 0, cut)
            second = world.shell(Autoscaler())
            await steps(second, cut, 60)

        asyncio.run(broken())
        assert world.pool.writes == writes
        full = [plan.actions for _, _, plan in world.notes.steps]
        assert full == [plan.actions for plan in expected]


def test_a_memory_that_cannot_be_read_is_kept_aside_and_the_engine_begins_afresh(
    world: Any, scripted: Any
) -> None:
    world.put_memory('{"snapshot": "half of')
    controller = scripted()
    asyncio.run(world.shell(controller, duration_s=10.0).run())
    assert len(controller.seen) == 2
    assert world.notes.events[0][1] == "memory_lost"
    assert [row.content for row in world.rows(RowKind.MEMORY)] == ['{"snapshot": "half of']
    assert json.loads(world.memory())["controller"] == "Scripted"


def test_the_memory_of_another_controller_is_not_taken_over(world: Any, scripted: Any) -> None:
    asyncio.run(world.shell(Autoscaler(), duration_s=5.0).run())
    controller = scripted()
    asyncio.run(world.shell(controller, duration_s=5.0).run())
    assert world.notes.events[0][1] == "memory_lost"
    assert controller.count == 1
