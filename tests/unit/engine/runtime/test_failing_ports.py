"""Whatever a port raises, whenever: a trouble that begins and ends, and the scaling goes on."""

from __future__ import annotations

import asyncio
import json
import math
import sys
from collections.abc import Callable
from typing import Any

import pytest

from engine.adapters.blocking import BlockingCalls
from engine.adapters.store import statements
from engine.adapters.store.halves import SqlStore
from engine.adapters.store.sqlite import SqliteFile
from engine.model import ActionResult, Approval, Plan, Status
from engine.ports.infrastructure import Counts, Sighting
from engine.ports.lease import NO_FENCE, Fence
from engine.ports.metrics import Reading
from engine.ports.notifier import AlertState
from engine.ports.store import Kept
from tests.unit.engine.runtime.conftest import LiveWorld, LosableLease, simulated

Act = Callable[..., Any]


class Panic(BaseException):
    """No Exception, as a foreign library may raise it."""


RAISED = [
    RuntimeError("Cannot send a request, as the client has been closed."),
    KeyError("load"), OSError(5, "Input/output error"), ValueError(), AssertionError(),
    MemoryError(), StopAsyncIteration(), asyncio.CancelledError(), TimeoutError(),
    SystemExit(3), Panic("unwrap() on None"), ExceptionGroup("two", [OSError(), ValueError()]),
]  # fmt: skip

UNAGED = Sighting({"api": Counts(1, 1, 0, 0)}, ages_s={"api": math.nan})


def raising(error: BaseException) -> Callable[..., Any]:
    async def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


def at_once(error: BaseException) -> Callable[..., Any]:
    def call(*_: Any, **__: Any) -> Any:
        raise error

    return call


PORTS: dict[str, tuple[str, str]] = {
    "metrics": ("source", "read"),
    "infrastructure": ("pool", "observe"),
    "schedule": ("calendar", "outlook"),
    "requests": ("store", "requests"),
    "store": ("store", "keep"),
    "status": ("store", "show_status"),
    "notifier": ("pager", "notify"),
    "record": ("notes", "step"),
}


@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("source", PORTS)
def test_a_port_that_raises_is_a_trouble_and_not_the_end(
    world: LiveWorld, scripted: Any, source: str, error: BaseException
) -> None:
    if source == "record" and not isinstance(error, Exception):
        pytest.skip("notes are no port: they are called, not awaited")
    part, method = PORTS[source]
    prompt = world.in_memory()
    port = prompt[part] if part in prompt else getattr(world, part)
    broken = (at_once if source == "record" else raising)(error)

    def fail() -> None:
        setattr(port, method, broken)
        if source == "notifier":  # it has something to say only when there is trouble
            world.source.troubles = ("late",)

    def mend() -> None:
        delattr(port, method)
        world.source.troubles = ()

    world.clock.at = {1_000_017.0: fail, 1_000_027.0: mend}
    shell = world.shell(scripted(), duration_s=40.0, **prompt)
    simulated(shell.run())
    assert world.notes.kinds(source) == ["trouble_started", "trouble_ended"]
    assert shell.cycle.troubles.all == {}
    missing = 2 if source == "infrastructure" else 0
    assert shell.cycle.skipped == missing
    assert shell.cycle.steps == 8 - missing


@pytest.mark.parametrize("method", ["read", "observe", "outlook"])
def test_a_port_that_is_not_asynchronous_or_raises_before_it_is_awaited_is_one_as_well(
    world: LiveWorld, scripted: Any, method: str
) -> None:
    for broken in (at_once(KeyError("x")), lambda *_: 7):
        for part in (world.source, world.pool, world.calendar):
            if hasattr(part, method):
                setattr(part, method, broken)
        asyncio.run(world.shell(scripted(), duration_s=20.0).run())
    assert any(kind == "trouble_started" for _, kind, _, _ in world.notes.events)


@pytest.mark.parametrize(
    "lie",
    [
        None,
        3,
        Sighting({}),
        Sighting({"api": None}),
        Sighting(None),
        UNAGED,
        Reading(None),
        Reading({}),
    ],  # type: ignore[dict-item, arg-type]
)
def test_a_port_that_answers_with_nonsense_is_in_trouble(
    world: LiveWorld, scripted: Any, lie: Any
) -> None:
    async def lying(*_: Any) -> Any:
        return lie

    for part, method in list(PORTS.values())[:4]:
        setattr(getattr(world, part), method, lying)
    shell = world.shell(scripted(), duration_s=20.0)
    asyncio.run(shell.run())
    assert {"metrics", "infrastructure", "schedule", "requests"} <= set(shell.cycle.troubles.all)
    assert "engine" not in shell.cycle.troubles.all
    assert shell.cycle.skipped == 4


def test_an_answer_that_cannot_be_taken_in_is_a_trouble_and_counts_once_in_a_life(
    world: LiveWorld, scripted: Any
) -> None:
    world.desk.answer(Approval("api-1", True, 1_000_001.0, "root"))
    shown = []
    keep = world.store.keep
    world.store.keep = raising(OSError(13, "Permission denied"))  # type: ignore[method-assign]
    for _ in range(2):
        controller = scripted()
        shell = world.shell(controller, duration_s=30.0)
        asyncio.run(shell.run())
        shown.append([len(seen.approvals) for seen in controller.seen])
        assert shell.cycle.troubles.all["store"] == ("Permission denied",)
    # Nothing was kept of the first life: the second has to be told again.
    assert shown == [[1, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0]]
    world.store.keep = keep  # type: ignore[method-assign]
    for given in (1, 0):
        controller = scripted()
        shell = world.shell(controller, duration_s=30.0)
        asyncio.run(shell.run())
        assert sum(len(seen.approvals) for seen in controller.seen) == given
        assert shell.cycle.troubles.all == {}
    assert world.file.read(lambda at: statements.requests(at, 0.0)).answers == ()


def test_an_engine_that_lost_the_lead_does_nothing_and_then_goes_on_with_what_was_kept(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    lease = LosableLease()
    controller = scripted()

    def lose() -> None:
        lease.taken = True

    def regain() -> None:
        # Another engine led meanwhile, and knows more.
        kept = json.loads(world.memory())
        world.put_memory(json.dumps({**kept, "snapshot": '{"count": 50}'}))
        lease.taken, lease.fence = False, 5

    world.clock.at = {1_000_011.0: lose, 1_000_026.0: regain}
    shell = world.shell(controller, duration_s=40.0, lease=lease)
    asyncio.run(shell.run())
    assert [seen.now_s % 100 for seen in controller.seen] == [5, 10, 30, 35, 40]
    assert controller.count == 53
    assert shell.fence == 5
    assert world.notes.kinds("lease") == ["trouble_started", "trouble_ended"]


def test_a_lease_that_cannot_be_asked_is_no_lost_one(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    lease = LosableLease()

    def fail() -> None:
        lease.broken = ConnectionResetError()

    world.clock.at = {1_000_008.0: fail}
    controller = scripted(Plan(), Plan(actions=(act("a", 4, 5),)))
    asyncio.run(world.shell(controller, duration_s=30.0, lease=lease).run())
    assert len(controller.seen) == 6
    assert world.pool.fences == [1]
    assert world.notes.kinds("lease") == ["trouble_started"]


def test_it_leads_above_every_fence_that_the_infrastructure_has_seen(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    plain = world.pool.observe

    async def observe() -> Sighting:
        return Sighting((await plain()).services, (), Fence(41))

    world.pool.observe = observe  # type: ignore[method-assign]
    controller = scripted(Plan(actions=(act("a", 4, 5),)))
    asyncio.run(world.shell(controller, duration_s=10.0).run())
    assert world.pool.fences == [42]
    assert asyncio.run(world.lease.hold(0.0)) == 42


def test_who_is_overtaken_later_does_not_bid_higher(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    plain, newest = world.pool.observe, [NO_FENCE]

    async def observe() -> Sighting:
        return Sighting((await plain()).services, (), newest[0])

    def overtake() -> None:
        newest[0] = Fence(9)

    world.pool.observe = observe  # type: ignore[method-assign]
    world.clock.at = {1_000_008.0: overtake}
    shell = world.shell(scripted(Plan(), Plan()), duration_s=20.0)
    asyncio.run(shell.run())
    assert shell.fence == 1


def test_it_leads_above_every_fence_that_the_store_has_seen(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    # The file that counts the leads was lost, and with it how many there were.
    world.file.write(lambda to: statements.check_fence(to, Fence(7))).result()
    shell = world.shell(scripted(Plan(actions=(act("a", 4, 5),))), duration_s=10.0)
    asyncio.run(shell.run())
    assert (world.pool.fences, shell.fence) == ([7], 7)
    assert shell.cycle.troubles.all == {}


def test_each_write_carries_the_fence_and_who_is_overtaken_sends_nothing(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    def overtake() -> None:
        world.file.write(lambda to: statements.check_fence(to, Fence(7))).result()

    world.clock.at = {1_000_008.0: overtake}
    controller = scripted(Plan(cycle=False), Plan(actions=(act("a", 4, 9),)))
    shell = world.shell(controller, duration_s=20.0, lease=LosableLease())
    asyncio.run(shell.run())
    assert shell.cycle.troubles.all["store"] == ("fence 1 is over, 7 leads",)
    assert shell.cycle.troubles.all["status"] == ("fence 1 is over, 7 leads",)
    assert (world.pool.asked, world.memory()) == ([], "")
    assert [r.detail for r in controller.seen[2].results] == ["not sent: another engine leads"]


class EndingLease(LosableLease):
    """One whose lead may be over between two looks at it."""

    def __init__(self, over: bool) -> None:
        super().__init__()
        self.over = over

    def holds(self, fence: Fence) -> bool:
        return not self.over and fence == self.fence


@pytest.mark.parametrize("over", [False, True])
def test_what_a_lead_that_is_over_had_not_sent_is_not_sent(
    world: LiveWorld, scripted: Any, act: Act, over: bool
) -> None:
    controller = scripted(Plan(actions=(act("api-1", 4, 5),)))
    asyncio.run(world.shell(controller, duration_s=20.0, lease=EndingLease(over)).run())
    assert [one.decision_id for one in world.pool.asked] == ([] if over else ["api-1"])
    (result,) = controller.seen[1].results
    if over:
        assert (result.status, result.sent) == (Status.FAILED, False)
        assert result.detail == "the lead 1 was over before it was sent"
    else:
        assert result.status == Status.ACCEPTED


def test_people_are_alerted_once_when_a_trouble_begins_and_once_when_it_ends(
    world: LiveWorld, scripted: Any
) -> None:
    def fail() -> None:
        world.source.troubles = ("cpu: late",)

    def mend() -> None:
        world.source.troubles = ()

    world.clock.at = {1_000_008.0: fail, 1_000_022.0: mend}
    asyncio.run(world.shell(scripted(), duration_s=40.0).run())
    sent = [(alert.source, alert.state, alert.detail) for alert in world.pager.alerts]
    assert sent == [
        ("metrics", AlertState.STARTED, "cpu: late"), ("metrics", AlertState.ENDED, "cpu: late"),
    ]  # fmt: skip


def test_a_memory_that_cannot_be_read_is_waited_for_a_little_and_then_done_without(
    world: LiveWorld, scripted: Any
) -> None:
    world.store.memory = raising(OSError(5, "Input/output error"))  # type: ignore[method-assign]
    controller = scripted()
    asyncio.run(world.shell(controller, duration_s=30.0).run())
    assert [seen.now_s % 100 for seen in controller.seen] == [10, 15, 20, 25, 30]


def test_an_answer_that_comes_when_the_engine_ends_is_kept(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    plain = world.pool.apply

    async def slow(actions: Any, fence: Fence) -> Any:
        await asyncio.sleep(6.0)
        return await plain(actions, fence)

    world.pool.apply = slow  # type: ignore[method-assign]
    controller = scripted(Plan(actions=(act("a", 4, 5),)))
    prompt = world.in_memory()
    shell = world.shell(controller, duration_s=5.0, apply_timeout_s=4.0, **prompt)
    simulated(shell.run())
    kept = json.loads(prompt["store"].text)["results"]
    assert [status for _, status, *_ in kept] == ["failed", "accepted"]
    assert world.notes.results[-1] == ActionResult("a", Status.ACCEPTED, kept[-1][2])


def test_questions_that_nobody_answers_do_not_pile_up(
    world: LiveWorld, scripted: Any, act: Act
) -> None:
    plans = [Plan(awaiting=(act(f"api-{k}", 4, 20 + k % 60),)) for k in range(20)]
    prompt = world.in_memory()
    shell = world.shell(scripted(*plans), duration_s=100.0, approver="never", **prompt)
    simulated(shell.run())
    status = json.loads(prompt["store"].status)
    assert status["awaiting"] == ["api-19"]


def test_a_step_that_nobody_foresaw_is_told_of_and_the_next_one_is_made(
    world: LiveWorld, scripted: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = world.shell(scripted(), duration_s=20.0)
    plain, calls = shell.cycle.observe, [0]

    def observe(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise ZeroDivisionError
        return plain(*arguments)

    monkeypatch.setattr(shell.cycle, "observe", observe)
    asyncio.run(shell.run())
    assert shell.cycle.steps == 3
    assert world.notes.kinds("engine") == ["trouble_started", "trouble_ended"]


def test_a_clock_that_cannot_be_asked_does_not_stop_the_engine(
    world: LiveWorld, scripted: Any
) -> None:
    plain, asked = world.clock.now_s, [0]

    def now_s() -> float:
        asked[0] += 1
        if asked[0] % 5 == 0:
            raise OSError("no clock")
        return plain()

    world.clock.now_s = now_s  # type: ignore[method-assign]
    shell = world.shell(scripted(), duration_s=60.0)
    asyncio.run(shell.run())
    assert shell.cycle.steps > 5
    assert "trouble_started" in world.notes.kinds("clock")


# --- waiting


@pytest.mark.parametrize("error", [SystemExit(2), StopIteration(), KeyError("x"), Panic()])
def test_what_a_blocking_library_raises_reaches_whoever_asked(error: BaseException) -> None:
    def fail() -> None:
        raise error

    async def run() -> int:
        calls = BlockingCalls("test")
        with pytest.raises((RuntimeError, KeyError)):
            await calls.call(fail)
        return await calls.call(lambda: 3)

    assert asyncio.run(run()) == 3


def test_blocking_calls_are_made_one_at_a_time_also_when_nobody_waits_for_one() -> None:
    import threading

    gate, made = threading.Event(), []

    def slow() -> None:
        gate.wait(600.0)
        made.append("slow")

    async def run() -> None:
        calls = BlockingCalls("test")
        first = asyncio.create_task(calls.call(slow))
        second = asyncio.create_task(calls.call(lambda: made.append("second")))
        third = asyncio.create_task(calls.call(lambda: made.append("third")))
        await asyncio.sleep(0.01)
        first.cancel()
        second.cancel()
        await asyncio.sleep(0.01)
        gate.set()
        await third

    asyncio.run(run())
    assert made == ["slow", "third"]


def test_the_store_names_the_file_that_cannot_be_written(tmp_path: Any) -> None:
    async def run() -> None:
        await SqlStore(SqliteFile(tmp_path / "gone")).keep(Kept("{}"), Fence(1))

    with pytest.raises(OSError, match="gone"):
        asyncio.run(run())
    assert sys.exc_info() == (None, None, None)
