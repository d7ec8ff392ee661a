"""What the shell tells people: the status, the log, alerts and notes, and how it ends.

It is long because it is one table after the other about one module.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from pydantic import ValidationError

from engine.model import ActionResult, Plan, Status
from engine.ports.infrastructure import Counts, Sighting, Unreachable
from engine.ports.lease import NO_FENCE, Fence, NotLeadingError
from engine.ports.notifier import Alert, AlertState
from engine.runtime.own_load import OwnLoad
from engine.runtime.shell import MEMORY_TRIES, LiveSettings
from tests.unit.engine.runtime.conftest import START_S, LiveWorld, simulated

Act = Callable[..., Any]


def failing(error: Exception) -> Callable[..., Any]:
    async def fail(*_: Any) -> Any:
        raise error

    return fail


def answering(answer: object) -> Callable[..., Any]:
    async def answered(*_: Any) -> Any:
        return answer

    return answered


def status_of(world: LiveWorld) -> dict[str, Any]:
    return world.status()


def steps(world: LiveWorld, controller: Any, *times_s: float, **options: Any) -> Any:
    """A shell that has made a step at each of these times."""
    shell = world.shell(controller, duration_s=None, **options)

    async def run() -> None:
        for time_s in times_s:
            world.clock.time_s = time_s
            await shell.step(time_s)

    asyncio.run(run())
    return shell


def test_the_status_says_all_that_people_ask_for(world: LiveWorld, scripted: Any, act: Act) -> None:
    async def observe() -> Sighting:
        return Sighting({"api": Counts(9, 4, 3, 2)}, ages_s={"api": 1.5})

    world.pool.observe = observe  # type: ignore[method-assign]
    plan = Plan(awaiting=(act("api-1", 4, 90),), floors={"api": 7})
    shell = steps(world, scripted(plan), START_S + 5.0, approver="never")
    assert status_of(world) == {
        "time_s": START_S + 5.0,
        "pid": os.getpid(),
        "lead": shell.fence,
        "acts": True,
        "steps": 1,
        "skipped": 0,
        "troubles": {},
        "services": {
            "api": {
                "desired": 9, "ready": 4, "booting": 3, "draining": 2,
                "newest_sample_s": START_S + 2.0,
            }
        },
        "counted_s": {"api": START_S + 3.5},
        "floors": {"api": 7},
        "awaiting": ["api-1"],
        "standing": shell.cycle.standing.model_dump(mode="json"),
        "load": OwnLoad().shown(),  # of the steps before
    }  # fmt: skip


def test_how_busy_it_is_counts_each_sample_and_the_steps_that_were_left_out(
    world: LiveWorld, scripted: Any
) -> None:
    def busy() -> None:
        world.clock.time_s += 12.0  # the step is over when two more were due

    world.clock.at[START_S + 10.0] = busy
    shell = world.shell(scripted(), duration_s=41.0)
    asyncio.run(shell.run())
    loads = [status["load"] for status in world.notes.statuses]
    times_s = [status["time_s"] - START_S for status in world.notes.statuses]
    assert times_s == [5.0, 10.0, 25.0, 30.0, 35.0, 40.0]
    assert [load["samples"] for load in loads] == [0, 1, 2, 5, 6, 7]
    assert [load["waiting"] for load in loads] == [0, 0, 0, 2, 0, 0]
    assert loads[2]["sum_s"] == 12.0
    assert [load["per_s"] for load in loads] == [0.0, *[1 / 5.0] * 5]
    assert shell.load.samples == 8


def test_the_status_of_a_platform_that_is_out_of_sight_says_when_it_was_counted(
    world: LiveWorld, scripted: Any
) -> None:
    there = True

    async def observe() -> Sighting:
        if there:
            return Sighting({"api": Counts(9, 4, 3, 2)}, ages_s={"api": 1.5})
        raise Unreachable("no route")

    world.pool.observe = observe  # type: ignore[method-assign]
    shell = steps(world, scripted(), START_S + 5.0)
    there = False
    world.clock.time_s = START_S + 60.0
    asyncio.run(shell.step(START_S + 60.0))
    status = status_of(world)
    assert (status["services"], status["counted_s"]) == ({}, {"api": START_S + 3.5})


def test_the_status_without_samples_or_a_plan_says_so(world: LiveWorld, scripted: Any) -> None:
    world.source.cpu = None
    steps(world, scripted(ValueError("no")), START_S + 5.0)
    status = status_of(world)
    assert status["services"]["api"]["newest_sample_s"] is None
    assert (status["steps"], status["skipped"], status["floors"]) == (0, 1, {})
    assert list(status["troubles"]) == ["controller"]


def test_the_status_of_an_unseen_platform_has_no_services(world: LiveWorld, scripted: Any) -> None:
    world.pool.unreachable = "no route"
    steps(world, scripted(), START_S + 5.0)
    status = status_of(world)
    assert (status["services"], status["skipped"]) == ({}, 1)
    assert status["troubles"] == {"infrastructure": ["no route"]}


def test_who_does_not_lead_makes_no_step_and_counts_it(world: LiveWorld, scripted: Any) -> None:
    controller = scripted()
    lease: Any = type("Taken", (), {})()
    lease.hold = failing(NotLeadingError("the engine next door leads", "the engine next door"))
    shell = steps(world, controller, START_S + 5.0, START_S + 10.0, lease=lease)
    assert (shell.cycle.steps, shell.cycle.skipped, controller.seen) == (0, 2, [])
    assert shell.fence == NO_FENCE
    assert (world.pool.looks, world.desk.status()) == (0, "")
    assert shell.cycle.troubles.all == {"lease": ("the engine next door leads",)}


def test_a_step_that_nobody_foresaw_is_counted_and_logged(
    world: LiveWorld, scripted: Any, logged: StringIO
) -> None:
    shell = world.shell(scripted(), duration_s=None)

    def raise_(*_: Any) -> Any:
        raise ZeroDivisionError("oh")

    shell.cycle.observe = raise_  # type: ignore[method-assign]
    asyncio.run(shell.step(START_S + 5.0))
    assert (shell.cycle.steps, shell.cycle.skipped) == (0, 1)
    assert shell.cycle.troubles.all == {"engine": ("ZeroDivisionError: oh",)}
    line = json.loads(logged.getvalue())
    assert (line["level"], line["event"]) == ("error", "a step came to nothing")
    assert "ZeroDivisionError: oh" in line["exception"]


# --- alerts


def test_alerts_that_cannot_be_sent_are_sent_later_in_their_order_and_once(
    world: LiveWorld, scripted: Any
) -> None:
    shell = world.shell(scripted(), duration_s=None)

    async def run() -> None:
        world.pager.broken = OSError("the mail server is gone")
        world.source.troubles = ("late",)
        await shell.step(START_S + 5.0)
        world.pool.unreachable = "no route"
        await shell.step(START_S + 10.0)
        assert shell.cycle.troubles.all["notifier"] == ("the mail server is gone",)
        assert world.pager.alerts == []
        world.pager.broken = None
        await shell.step(START_S + 15.0)
        await shell.step(START_S + 20.0)

    asyncio.run(run())
    assert [(alert.time_s, alert.source) for alert in world.pager.alerts] == [
        (START_S + 5.0, "metrics"), (START_S + 10.0, "infrastructure"),
    ]  # fmt: skip
    assert "notifier" not in shell.cycle.troubles.all
    assert world.notes.kinds("notifier") == ["trouble_started", "trouble_ended"]


def test_of_the_alerts_that_wait_for_the_notifier_the_oldest_go_first(
    world: LiveWorld, scripted: Any
) -> None:
    shell = world.shell(scripted(), duration_s=None, **world.in_memory())

    async def run() -> None:
        world.pager.broken = OSError("the mail server is gone")
        for k in range(103):
            world.source.troubles = (f"late by {k} s",)
            await shell.step(START_S + 5.0 * k)
        world.pager.broken = None
        await shell.step(START_S + 5000.0)

    simulated(run())
    details = [alert.detail for alert in world.pager.alerts]
    assert details == [f"late by {k} s" for k in range(3, 103)]


def test_an_alert_that_was_sent_late_is_not_sent_again(world: LiveWorld, scripted: Any) -> None:
    gate, sent = asyncio.Event(), []

    async def notify(alert: Alert) -> None:
        sent.append(alert)
        await gate.wait()

    world.pager.notify = notify  # type: ignore[method-assign]
    shell = world.shell(scripted(), duration_s=None, **world.in_memory())

    async def run() -> None:
        world.source.troubles = ("late",)
        await shell.step(START_S + 5.0)
        assert shell.cycle.troubles.all["notifier"] == ("no answer within 4 s",)
        gate.set()
        await asyncio.sleep(1.0)
        await shell.step(START_S + 10.0)

    simulated(run())
    assert [alert.state for alert in sent] == [AlertState.STARTED]


def test_an_alert_is_noted_with_its_time_its_source_and_its_words(
    world: LiveWorld, scripted: Any
) -> None:
    world.source.troubles = ("late",)
    steps(world, scripted(), START_S + 5.0)
    assert world.notes.events == [(START_S + 5.0, "trouble_started", "metrics", "late")]


def test_what_the_infrastructure_notices_is_a_trouble_for_as_long_as_it_does(
    world: LiveWorld, scripted: Any
) -> None:
    noticed: list[tuple[str, ...]] = [(), ("api-1: MAINT",), ("api-1: MAINT", "api-2: DRAIN"), ()]
    shell = world.shell(scripted(), duration_s=None, **world.in_memory())

    async def run() -> None:
        for k, notices in enumerate(noticed):
            sighting = Sighting({"api": Counts(4, 3, 0, 1)}, notices=notices)
            world.pool.observe = answering(sighting)  # type: ignore[method-assign]
            await shell.step(START_S + 5.0 * k)

    simulated(run())
    assert shell.cycle.steps == 4  # it goes on all the same
    assert [(time_s - START_S, kind, text) for time_s, kind, _, text in world.notes.events] == [
        (5.0, "trouble_started", "api-1: MAINT"),
        (10.0, "trouble_changed", "api-1: MAINT; api-2: DRAIN"),
        (15.0, "trouble_ended", "api-1: MAINT; api-2: DRAIN"),
    ]


@pytest.mark.parametrize("notices", [None, 3, "MAINT", ["MAINT"], ("MAINT", None), ("",)])
def test_what_is_no_notice_is_a_trouble_and_loses_no_result(
    world: LiveWorld, scripted: Any, notices: Any
) -> None:
    result = ActionResult("a", Status.COMPLETED, START_S + 1.0)
    sighting = Sighting({"api": Counts(4, 3, 0, 1)}, (result,), notices=notices)
    world.pool.observe = answering(sighting)  # type: ignore[method-assign]
    shell = steps(world, scripted(), START_S + 5.0)
    ((said,),) = shell.cycle.troubles.all.values()
    assert said == f"TypeError: {notices!r} are no notices"
    assert world.notes.results == [result]


# --- notes


@pytest.mark.parametrize("method", ["step", "result", "event"])
def test_what_cannot_be_noted_is_a_trouble_and_ends_when_it_can(
    world: LiveWorld, scripted: Any, act: Act, method: str
) -> None:
    plans = [Plan(actions=(act("a", 4, 5),)), Plan(actions=(act("b", 5, 6),))]
    shell = world.shell(scripted(*plans), duration_s=None)

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    async def run() -> list[Any]:
        setattr(world.notes, method, full)
        world.source.troubles = ("late",)
        for k in (1, 2):
            await shell.step(START_S + 5.0 * k)
        during = shell.cycle.troubles.all.get("record")
        delattr(world.notes, method)
        for k in (3, 4):
            await shell.step(START_S + 5.0 * k)
        return [during, shell.cycle.troubles.all.get("record")]

    assert asyncio.run(run()) == [("No space left on device",), None]
    assert world.pool.desired == 6


def test_a_step_is_noted_with_what_was_seen_and_when(world: LiveWorld, scripted: Any) -> None:
    noted: list[tuple[Any, ...]] = []
    world.notes.step = lambda *a, reading: noted.append((*a, reading))  # type: ignore[method-assign, assignment]
    world.source.troubles = ("late",)
    plan = Plan()
    shell = world.shell(scripted(plan), duration_s=None)
    world.clock.time_s = START_S + 6.5
    asyncio.run(shell.step(START_S + 5.0))
    ((time_s, observation, decided, compute_s, reading),) = noted
    assert time_s == START_S + 6.5
    assert observation.now_s == START_S + 5.0
    assert decided is plan
    assert 0.0 <= compute_s < 3600.0
    assert reading.troubles == ("late",)
    assert len(reading.windows["api"]) == 12


def test_what_is_no_result_is_a_trouble_of_the_record(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    async def apply(*_: Any) -> Any:
        return ["accepted"]

    world.pool.apply = apply  # type: ignore[method-assign]
    controller = scripted(Plan(actions=(act("a", 4, 5),)))
    shell = steps(world, controller, START_S + 5.0)
    assert shell.cycle.troubles.all == {"record": ("TypeError: ['accepted'] are no results",)}
    assert world.notes.results == []


# --- remembering


def test_a_memory_that_cannot_be_put_aside_is_a_trouble_and_the_engine_goes_on(
    world: LiveWorld, scripted: Any
) -> None:
    world.put_memory('{"snapshot": "half of')
    world.store.put_memory_aside = failing(OSError(30, "Read-only file system"))  # type: ignore[method-assign]
    world.store.keep = failing(OSError(30, "Read-only file system"))  # type: ignore[method-assign]
    shell = steps(world, scripted(Plan(cycle=False)), START_S + 5.0)
    said = "it cannot be put aside: Read-only file system"
    assert shell.cycle.troubles.all["memory"] == (said,)
    assert shell.cycle.steps == 1


def test_a_memory_that_cannot_be_read_is_tried_again_and_a_new_lead_tries_anew(
    world: LiveWorld, scripted: Any
) -> None:
    asked = [0]

    async def unreadable() -> str:
        asked[0] += 1
        raise OSError(5, "Input/output error")

    world.store.memory = unreadable  # type: ignore[method-assign]
    times_s = [START_S + 5.0 * k for k in range(1, MEMORY_TRIES + 2)]
    shell = steps(world, scripted(), *times_s[:2])
    assert (shell.cycle.steps, shell.cycle.skipped) == (0, 2)
    assert shell.cycle.troubles.all["memory"] == ("it cannot be read: Input/output error",)
    asked[0] = 0
    lease: Any = type("Losable", (), {"fence": 1})()

    async def hold(now_s: float, above: Fence = NO_FENCE) -> Fence:
        return Fence(lease.fence)

    lease.hold = hold
    shell = world.shell(scripted(), duration_s=None, lease=lease)

    async def run() -> list[int]:
        made = []
        for k, time_s in enumerate(times_s * 2):
            if k == 2:
                lease.fence = 2
            await shell.step(time_s)
            made.append(shell.cycle.steps)
        return made

    # Twice in vain under the first lead, then as often as is tried under the second, and as often
    # again while the store takes what is new.
    assert asyncio.run(run()) == [0, 0, 0, 0, 1, 2, 3, 4]
    assert asked[0] == 2 + 2 * MEMORY_TRIES


def test_a_memory_that_can_be_read_again_is_no_trouble_any_more(
    world: LiveWorld, scripted: Any
) -> None:
    prompt = world.in_memory()
    plain, broken = prompt["store"].memory, failing(OSError(5, "Input/output error"))
    prompt["store"].memory = broken
    shell = world.shell(scripted(Plan(cycle=False)), duration_s=None, **prompt)

    async def run() -> None:
        await shell.step(START_S + 5.0)
        assert list(shell.cycle.troubles.all) == ["memory"]
        prompt["store"].memory = plain
        await shell.step(START_S + 10.0)

    simulated(run())
    assert (shell.cycle.steps, shell.cycle.troubles.all) == (1, {})


def test_an_engine_that_has_not_read_the_memory_does_not_write_over_it(
    world: LiveWorld, scripted: Any
) -> None:
    prompt = world.in_memory()
    prompt["store"].memory = failing(OSError(5, "Input/output error"))
    prompt["store"].text = "of the engine before"
    simulated(world.shell(scripted(), duration_s=5.0, **prompt).run())
    assert prompt["store"].text == "of the engine before"


def test_what_cannot_be_kept_at_the_end_is_noted(world: LiveWorld, scripted: Any) -> None:
    prompt = world.in_memory()
    prompt["store"].keep = failing(OSError(28, "No space left on device"))
    simulated(world.shell(scripted(Plan(cycle=False)), duration_s=5.0, **prompt).run())
    assert world.notes.kinds("store") == ["trouble_started"]


# --- the ports


def test_a_command_that_cannot_be_given_is_noted_as_failed(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    world.pool.refuses = OSError("no route")
    steps(world, scripted(Plan(actions=(act("a", 4, 5),))), START_S + 5.0)
    noted = [(result.decision_id, result.status, result.detail) for result in world.notes.results]
    assert noted == [("a", Status.FAILED, "no route")]


def test_the_results_in_a_sighting_that_makes_no_sense_are_not_lost(
    world: LiveWorld, scripted: Any
) -> None:
    plain, controller = world.pool.observe, scripted()
    result = ActionResult("a", Status.COMPLETED, START_S + 1.0)
    shell = world.shell(controller, duration_s=None, **world.in_memory())

    async def lying() -> Sighting:
        return Sighting({}, (result,))

    async def run() -> None:
        world.pool.observe = lying  # type: ignore[method-assign]
        await shell.step(START_S + 5.0)
        world.pool.observe = plain  # type: ignore[method-assign]
        await shell.step(START_S + 10.0)

    simulated(run())
    assert [seen.results for seen in controller.seen] == [(result,)]
    assert world.notes.results == [result]


def test_where_nothing_was_ever_measured_the_step_is_noted_without_samples(
    world: LiveWorld, scripted: Any
) -> None:
    noted: list[Any] = []
    world.notes.step = lambda *_, reading: noted.append(reading)  # type: ignore[method-assign, assignment]
    world.source.read = failing(OSError("no route"))  # type: ignore[method-assign]
    steps(world, scripted(), START_S + 5.0)
    (reading,) = noted
    assert {name: len(window) for name, window in reading.windows.items()} == {"api": 0}
    assert reading.troubles == ("no route",)


@pytest.mark.parametrize(("there", "leads"), [(0, 1), (1, 2), (6, 7)])
def test_it_leads_above_a_fence_as_high_as_its_own(
    world: LiveWorld, scripted: Any, there: int, leads: int
) -> None:
    async def observe() -> Sighting:
        return Sighting({"api": Counts(4, 4, 0, 0)}, (), Fence(there))

    world.pool.observe = observe  # type: ignore[method-assign]
    prompt = world.in_memory()
    shell = world.shell(scripted(), duration_s=None, **prompt)
    simulated(shell.step(START_S + 5.0))
    assert shell.fence == prompt["lease"].fence == leads


def test_a_lease_that_cannot_be_raised_is_a_trouble(world: LiveWorld, scripted: Any) -> None:
    async def observe() -> Sighting:
        return Sighting({"api": Counts(4, 4, 0, 0)}, (), Fence(6))

    world.pool.observe = observe  # type: ignore[method-assign]
    prompt = world.in_memory()
    plain = prompt["lease"].hold

    async def hold(now_s: float, above: Fence = NO_FENCE) -> Fence:
        if above:
            raise OSError(28, "No space left on device")
        return await plain(now_s)

    prompt["lease"].hold = hold
    shell = world.shell(scripted(), duration_s=None, **prompt)
    simulated(shell.step(START_S + 5.0))
    assert shell.cycle.troubles.all == {"lease": ("No space left on device",)}
    assert (shell.fence, shell.cycle.steps) == (1, 1)


def test_the_settings_are_those_of_an_engine_alone_that_runs_for_ever() -> None:
    plain = LiveSettings()
    assert (plain.duration_s, plain.wait_for_lead) == (None, False)
    assert LiveSettings(state="s").state == "s"
    with pytest.raises(ValidationError, match="state"):
        LiveSettings(state="")


# --- the end


class Closing:
    """Notes in which order the ports are closed."""

    def __init__(self, world: LiveWorld, broken: tuple[str, ...] = ()) -> None:
        self.closed: list[str] = []
        self.broken = broken
        parts = {
            "metrics": world.source, "infrastructure": world.pool, "schedule": world.calendar,
            "store": world.store, "notifier": world.pager,
        }  # fmt: skip
        for name, part in parts.items():
            part.close = self.closes(name)  # type: ignore[attr-defined]
        world.lease.release = self.closes("lease")  # type: ignore[method-assign]

    def closes(self, name: str) -> Callable[[], Any]:
        async def close() -> None:
            self.closed.append(name)
            if name in self.broken:
                raise OSError("it is stuck")

        return close


@pytest.mark.parametrize("broken", [(), ("metrics", "store")])
def test_each_port_is_let_go_of_and_the_lead_last(
    world: LiveWorld, scripted: Any, logged: StringIO, broken: tuple[str, ...]
) -> None:
    closing = Closing(world, broken)
    asyncio.run(world.shell(scripted()).close())
    assert sorted(closing.closed) == [
        "infrastructure", "lease", "metrics", "notifier", "schedule", "store",
    ]  # fmt: skip
    assert closing.closed[-1] == "lease"
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", f"{name} could not be closed: it is stuck") for name in broken
    ]


def test_a_port_that_hangs_is_let_go_of_and_its_call_is_cancelled(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    cancelled: list[str] = []

    def hanging(name: str) -> Callable[..., Any]:
        async def hang(*_: Any) -> Any:
            try:
                await asyncio.get_running_loop().create_future()
            except asyncio.CancelledError:
                cancelled.append(name)
                raise

        return hang

    hung = {
        "metrics": (world.source, "read"), "infrastructure": (world.pool, "observe"),
        "schedule": (world.calendar, "outlook"),
    }  # fmt: skip
    for name, (part, method) in hung.items():
        setattr(part, method, hanging(name))
    world.pool.close = hanging("close")  # type: ignore[method-assign]
    prompt = world.in_memory()
    prompt["store"].requests = hanging("requests")
    shell = world.shell(scripted(), duration_s=None, **prompt)

    async def run() -> None:
        await shell.step(START_S + 5.0)
        assert set(shell.cycle.troubles.all) == {*hung, "requests"}
        await shell.close()
        assert sorted(cancelled) == sorted([*hung, "requests"])
        assert prompt["lease"].released

    # What is looked at is waited for once, at the same time; and then what does not close.
    assert simulated(run()) == 4.0 + 10.0


def test_an_engine_that_never_led_keeps_no_memory_when_it_ends(
    world: LiveWorld, scripted: Any
) -> None:
    lease: Any = type("Taken", (), {})()
    lease.hold = failing(NotLeadingError("the engine next door leads", "the engine next door"))
    asyncio.run(world.shell(scripted(), duration_s=10.0, lease=lease).run())
    assert world.memory() == ""
    assert world.notes.kinds("lease") == ["trouble_started"]


def test_what_it_knows_at_its_end_is_kept(world: LiveWorld, scripted: Any) -> None:
    result = ActionResult("a", Status.COMPLETED, START_S + 7.0)
    shell = world.shell(scripted(Plan(cycle=False), Plan(cycle=False)), duration_s=12.0)
    world.clock.at[START_S + 11.0] = lambda: shell.cycle.take([result])
    asyncio.run(shell.run())
    kept = json.loads(world.memory())
    assert kept["saved_s"] == START_S + 12.0
    assert kept["lead"] == shell.fence
    assert kept["results"] == [["a", "completed", START_S + 7.0, "", True]]
    assert json.loads(kept["snapshot"]) == {"count": 2}
