"""The contract of each port, as tests that an adapter passes: the project's own and anybody else's.

Each function takes what it needs of a *bench*: how to make the adapter, and how to make its world
fail.  It raises AssertionError with words that say what does not hold.  There is no framework in
it, so it runs in any:

    def test_my_cloud_keeps_the_contract():
        asyncio.run(infrastructure(MyBench()))

What a bench cannot do (a database that cannot be made to lie) it leaves as it is inherited, and
that part is not asked for.  The five ways in which an adapter may meet trouble are asked for
everywhere as far as they apply: it is killed in the middle of a call, its world answers late,
answers twice, lies, or is gone.

It is long because each port has its contract in it, in one place for who writes an adapter.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Protocol, TypeVar

import numpy as np

from engine.config.recurrence import Recurrence
from engine.model import (
    SAMPLE_DTYPE,
    Action,
    ActionResult,
    Approval,
    Category,
    Direction,
    ManualFloor,
    ManualScale,
    Pause,
    Quantity,
    Reason,
    Rollback,
    Status,
    WeddingContext,
)
from engine.ports.bookings import Bookings, booked
from engine.ports.credentials import Credentials, Texts
from engine.ports.desk import Asked, Desk, RequestError, SoFar, request_id
from engine.ports.infrastructure import Infrastructure, Sighting, Unreachable, seen_there
from engine.ports.lease import NO_FENCE, Fence, FencedOffError, Lease, NotLeadingError
from engine.ports.metrics import MetricsSource, checked
from engine.ports.store import HistoryRow, Kept, RowKind, Staged, Store

PATIENCE_S = 120.0
"""Longest that an adapter may take for one call of a test, wherever its world is: a call that takes
longer hangs, also on a busy machine."""

_Result = TypeVar("_Result")


class InfrastructureBench(ABC):
    """A world with at least one service whose count can be changed; subclass it.

    `service` names it, `low` and `high` are two counts that it may have; it has `low` at first.
    `warm` instances of it can be held warm; at first there are none.
    """

    service: str
    low: int
    high: int
    warm: int = 0
    tells_ceremonies: bool = False
    """Whether its infrastructure says which ready instances of `service` carry a ceremony."""

    @abstractmethod
    async def connect(self) -> Infrastructure:
        """Another adapter on the same world, as an engine that was started again makes one."""

    async def settle(self) -> None:  # noqa: B027 (most worlds have nothing to do)
        """Let what was asked for be done, as far as a result is concerned."""

    async def break_off(self) -> bool:
        """Make the world unreachable; False if this world cannot be."""
        return False

    async def mend(self) -> None:  # noqa: B027 (what cannot be broken needs no mending)
        """Make it reachable again."""


class StagingDesk(Desk, Staged, Protocol):
    """Both of what a store's database gives besides the leader's half."""


class StoreBench(ABC):
    """A store that several adapters can open."""

    @abstractmethod
    async def connect(self) -> Store:
        """Another adapter on the same store."""

    @abstractmethod
    def desk(self) -> StagingDesk:
        """Where people ask the engine of this store."""

    async def break_off(self) -> bool:
        """Make every write fail; False if this store cannot be made to."""
        return False

    async def mend(self) -> None:  # noqa: B027 (what cannot be broken needs no mending)
        """Make it work again."""


def action(
    service: str,
    before: int,
    after: int,
    decision_id: str,
    *,
    decided_s: float = 0.0,
    quantity: Quantity = Quantity.INSTANCES,
) -> Action:
    """What an engine would send."""
    return Action(
        decision_id=decision_id,
        service=service,
        from_instances=before,
        to_instances=after,
        reason=Reason.CPU,
        category=Category.AUTOMATIC,
        confidence=1.0,
        cost_per_hour=0.0,
        rollback=Rollback(before),
        weddings=WeddingContext(),
        evidence={},
        trigger_s=decided_s,
        decided_s=decided_s,
        explanation=f"{service}: {before} → {after}",
        quantity=quantity,
    )


async def infrastructure(bench: InfrastructureBench) -> None:
    """What `engine.ports.infrastructure` promises."""
    first = await bench.connect()
    name, low, high = bench.service, bench.low, bench.high
    sighting = await _soon("observe", first.observe())
    seen_there(sighting, [name])
    _holds(sighting.services[name].desired == low, f"{name} does not begin with {low} desired")
    tells = name in sighting.locks
    _holds(tells or not bench.tells_ceremonies, f"of ceremonies on {name} nothing is told")
    _holds(bench.tells_ceremonies or not tells, f"{name}: what cannot tell tells of ceremonies")
    fence = Fence(sighting.fence + 1)

    _holds(await _soon("apply", first.apply((), fence)) == (), "no command, yet a result")
    await _accepted(bench, first, action(name, low, high, "contract-1"), fence)
    _holds(await _desired(bench, first) == high, "a command that was accepted changed nothing")

    # Answers twice: the same command again, also from an engine that was started anew, is accepted
    # at the most and changes nothing; not even after somebody else has changed the count back.
    await first.apply((action(name, low, high, "contract-1"),), fence)
    await bench.settle()
    _holds(await _desired(bench, first) == high, "a command that was sent twice counted twice")
    await _accepted(bench, first, action(name, high, low, "contract-2"), fence)
    await first.apply((action(name, low, high, "contract-1"),), fence)
    await bench.settle()
    _holds(await _desired(bench, first) == low, "an old command, sent again, counted once more")

    # Late: what was decided on another count is refused.
    why = await _refused(bench, first, action(name, high, low, "contract-3"), fence)
    _holds("conflict" in why or str(low) in why, f"a conflict is not said to be one: {why!r}")

    # A fence that is over is refused, whoever carries it, and by a new adapter as well.
    newer = Fence(fence + 1)
    second = await bench.connect()
    await _accepted(bench, second, action(name, low, high, "contract-4"), newer)
    await _refused(bench, first, action(name, high, low, "contract-5"), fence)
    third = await bench.connect()
    await _refused(bench, third, action(name, high, low, "contract-6"), fence)
    _holds((await _observe(third)).fence >= newer, "the newest fence is not told")
    _holds(await _desired(bench, third) == high, "a command under an old fence counted")

    # Killed in the middle of a call: the next adapter finds the command done or not done.
    call = asyncio.ensure_future(third.apply((action(name, high, low, "contract-7"),), newer))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await bench.settle()
    fourth = await bench.connect()
    _holds(await _desired(bench, fourth) in (low, high), "half of a command was carried out")
    await fourth.apply((action(name, high, low, "contract-7"),), newer)
    await bench.settle()
    _holds(await _desired(bench, fourth) == low, "a command that was cut off cannot be repeated")

    # Nonsense is refused by a result, not by an exception.
    await _refused(bench, fourth, action("no-such-service", 1, 2, "contract-8"), newer)

    await _warm(bench, fourth, newer)

    # Gone: `observe` raises Unreachable, a command fails by a result; both work again afterwards.
    if await bench.break_off():
        try:
            await _soon("observe", fourth.observe())
        except Unreachable as error:
            _holds(bool(str(error)), "Unreachable does not say why")
        else:
            raise AssertionError("what cannot be seen was seen")
        await _refused(bench, fourth, action(name, low, high, "contract-9"), newer)
        await bench.mend()
        _holds(await _desired(bench, fourth) == low, "a command to what was gone counted")
    for adapter in (first, second, third, fourth):
        await _soon("close", adapter.close())


async def _warm(bench: InfrastructureBench, adapter: Infrastructure, fence: Fence) -> None:
    """What is held warm is a count of its own; where nothing is, whoever asks for it is refused."""
    name, most = bench.service, bench.warm
    before = (await _observe(adapter)).services[name]
    _holds(before.warm == before.warm_desired == 0, "instances are held warm, unasked")
    hold = action(name, 0, max(most, 1), "contract-warm-1", quantity=Quantity.WARM)
    if most == 0:
        await _refused(bench, adapter, hold, fence)
    else:
        _holds(getattr(adapter, "holds_warm", False) is True, "it does not say holds_warm")
        await _accepted(bench, adapter, hold, fence)
        held = (await _observe(adapter)).services[name]
        _holds(
            held.warm_desired == most, "what was to be held warm, and accepted, is not asked for"
        )
        await adapter.apply((hold,), fence)
        again = action(name, 0, most, "contract-warm-2", quantity=Quantity.WARM)
        await _refused(bench, adapter, again, fence)
        fewer = action(name, most, 0, "contract-warm-3", quantity=Quantity.WARM)
        await _accepted(bench, adapter, fewer, fence)
        await adapter.apply((hold,), fence)
        await bench.settle()
        over = (await _observe(adapter)).services[name]
        _holds(over.warm_desired == 0, "an old command on what is held warm counted once more")
    _holds(await _desired(bench, adapter) == before.desired, "it changed the count of instances")


async def store(bench: StoreBench) -> None:
    """What `engine.ports.store` and `engine.ports.desk` promise."""
    await _store_lasts(bench)
    await asyncio.to_thread(_desk_serves, bench)
    await _answers_are_taken(bench)
    await _store_breaks(bench)


async def _store_lasts(bench: StoreBench) -> None:
    first = await bench.connect()
    _holds(await _soon("memory", first.memory()) == "", "a new store has a memory")
    _holds(await _soon("newest", first.newest()) == NO_FENCE, "a new store has seen a fence")
    fence = Fence(1)
    row = HistoryRow(RowKind.INTENT, "contract-1", 5.0, '{"to_instances": 2}', _audit(1))
    await _soon("keep", first.keep(Kept('{"a": 1}', (), (row,)), fence))
    second = await bench.connect()
    _holds(await second.memory() == '{"a": 1}', "what was kept is not there")
    _holds(
        await asyncio.to_thread(bench.desk().memory) == '{"a": 1}', "the desk has another memory"
    )
    _holds(await second.newest() == fence, "the newest fence is not told")

    # What is kept again is there once, as it was; what is kept without a memory leaves that.
    again = HistoryRow(RowKind.INTENT, "contract-1", 6.0, "{}", _audit(2))
    more = HistoryRow(RowKind.RESULT, "contract-1", 7.0, "{}", _audit(3))
    await _soon("keep", second.keep(Kept(rows=(again, more, more)), fence))
    _holds(await second.memory() == '{"a": 1}', "a memory is gone that was not replaced")
    _holds(_rows(bench) == [(fence, row), (fence, more)], f"the history is {_rows(bench)}")

    # A fence that is over is refused, and nothing is changed by it.
    newer = Fence(2)
    await second.keep(Kept('{"b": 2}'), newer)
    late = Kept('{"old": 1}', (), (HistoryRow(RowKind.GAP, "contract-2", 8.0, "{}", _audit(4)),))
    writes: dict[str, Callable[[Store], Awaitable[object]]] = {
        "keep": lambda s: s.keep(late, fence),
        "show_status": lambda s: s.show_status("{}", fence),
        "put_memory_aside": lambda s: s.put_memory_aside(fence),
    }
    third = await bench.connect()
    for adapter in (first, third):
        for name, write in writes.items():
            try:
                await _soon(name, write(adapter))
            except FencedOffError as error:
                _holds((error.fence, error.newest) == (fence, newer), f"{name}: which fences?")
            else:
                raise AssertionError(f"{name} wrote under a fence that is over")
    _holds(await second.memory() == '{"b": 2}', "a refused write changed the memory")
    _holds(len(_rows(bench)) == 2, "a refused write is in the history")

    await asyncio.to_thread(_rows_are_staged_once, bench)

    # Many at once, from several adapters: each is there, once, under a position of its own.
    many = [HistoryRow(RowKind.DECISION, f"contract-{k}", float(k), "{}") for k in range(40)]
    await asyncio.gather(
        *(_soon("keep", (second, third)[k % 2].keep(Kept(rows=(row,)), newer))
          for k, row in enumerate(many))
    )  # fmt: skip
    kept = [row for _, row in _rows(bench)[2:]]
    back = await asyncio.to_thread(_rows_back, bench)
    _holds([row.id for row in back[:40]] == [row.id for row in reversed(kept)], "not from its end")
    _holds(sorted(row.id for row in kept) == sorted(row.id for row in many), "rows are missing")

    # Killed in the middle of a write: the old or the new text, never a mixture.
    long = '{"c": "' + "x" * 200_000 + '"}'
    call = asyncio.ensure_future(second.keep(Kept(long), newer))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    fourth = await bench.connect()
    _holds(await fourth.memory() in ('{"b": 2}', long), "half of a memory was kept")
    for adapter in (first, second, third, fourth):
        await _soon("close", adapter.close())


def _rows(bench: StoreBench) -> list[tuple[Fence, HistoryRow]]:
    """The history, which has to rise."""
    desk = bench.desk()
    rows = desk.history(limit=1000)
    positions = [row.position for row in rows]
    _holds(positions == sorted(set(positions)), "positions do not rise")
    for row in rows:
        _holds(desk.row(row.row.kind, row.row.id) == row, f"{row.row.id} cannot be had by its key")
    desk.close()
    return [(row.fence, row.row) for row in rows]


def _rows_back(bench: StoreBench) -> list[HistoryRow]:
    """The history from its end on, in pages."""
    desk = bench.desk()
    rows = desk.history_back(limit=7)
    while page := desk.history_back(rows[-1].position, 7):
        rows += page
    kinds = [row.row.kind for row in desk.history_back(None, 100, [RowKind.RESULT])]
    _holds(kinds == [RowKind.RESULT], f"of one kind there are {kinds}")
    desk.close()
    positions = [row.position for row in rows]
    _holds(positions == sorted(set(positions), reverse=True), f"its positions are {positions}")
    return [row.row for row in rows]


def _audit(number: int) -> str:
    """A row of the audit log with an id of its own."""
    return json.dumps({"action": "try", "id": f"{number:016x}"})


def _rows_are_staged_once(bench: StoreBench) -> None:
    """After `_store_lasts` has kept two rows, one of them three times, and was refused a third."""
    desk = bench.desk()
    waiting = [row.id for row in desk.staged()]
    _holds(waiting == [f"{k:016x}" for k in (1, 3)], f"there wait {waiting} for the audit log")
    _holds(desk.staged()[0].text == _audit(1), "a staged row is another one")
    _holds([row.id for row in desk.staged(1)] == waiting[:1], "more are told than were asked for")
    desk.unstage(waiting[:1])
    desk.unstage(waiting[:1])
    other = bench.desk()
    _holds([row.id for row in other.staged()] == waiting[1:], "what the log has waits")
    other.unstage(waiting)
    _holds(desk.staged() == [], "what the log has waits")
    desk.close()
    other.close()


def _people_are_staged(desk: StagingDesk) -> None:
    """What people do is staged with it, and what is refused is not; all together or none."""
    floor = ManualFloor("staged", 3, math.inf, "ada")
    scale = ManualScale("contract-scale-2", "staged", 7, 900.0, "ada", "a fair", 4)
    desk.ask(floor, audit=_audit(11))
    together = [(Asked(floor, None), _audit(12)), (Asked(scale, None), _audit(13))]
    _holds(desk.ask_together(together) == [request_id(floor), request_id(scale)], "which ids?")
    standing = desk.asked()[0]
    _holds(all(one in standing for one, _ in together), f"it has {standing}")
    bad = [(Asked(replace(floor, instances=99), None), _audit(14)),
           (Asked(Pause("no such"), None), _audit(15))]  # fmt: skip
    try:
        desk.ask_together(bad)
    except RequestError:
        _holds(desk.asked()[0] == standing, "a part of what was refused as a whole stands")
    else:
        raise AssertionError("what cannot be meant was taken among others")
    desk.ask(replace(scale, before=5), audit=_audit(16))  # the same again is the one before
    _holds(desk.asked()[0] == standing, "a count that was asked for again has another before it")
    desk.answer(Approval("contract-9", False, 1.0, "ada"), audit=_audit(17))
    with contextlib.suppress(RequestError):
        desk.answer(Approval("contract-9", True, 1.0, "bob"), audit=_audit(18))
    desk.withdraw("floor", "staged", audit=_audit(19))
    desk.withdraw("scale", "staged", audit=_audit(20))
    waiting = [int(row.id, 16) for row in desk.staged()]
    _holds(waiting == [11, 12, 13, 17, 19, 20], f"there wait {waiting} for the audit log")
    desk.unstage([row.id for row in desk.staged()])


def _desk_serves(bench: StoreBench) -> None:
    desk, other = bench.desk(), bench.desk()
    six = Recurrence(cron="0 6 * * *", time_zone="UTC", duration_s=60.0)
    floor, pause = ManualFloor("api", 3, math.inf, "ada"), Pause("", Direction.IN, 500.0, 4)
    scale = ManualScale("contract-scale-1", "api", 7, 900.0, "ada", "a fair")
    _holds(desk.asked() == ([], []), "people have asked for something already")
    names = [desk.ask(floor), desk.ask(floor, six), desk.ask(pause), desk.ask(scale)]
    _holds(names == [request_id(floor), request_id(floor, six), request_id(pause),
                     request_id(scale)], f"its ids are {names}")  # fmt: skip
    wanted = [Asked(floor, None), Asked(floor, six), Asked(pause, None), Asked(scale, None)]
    standing, complaints = other.asked()
    _holds(all(one in standing for one in wanted) and len(standing) == 4, f"it has {standing}")
    _holds(complaints == [], f"it complains: {complaints}")

    # A later one takes the place of the one before it; what is taken back is gone.
    desk.ask(replace(floor, instances=9))
    _holds(Asked(replace(floor, instances=9), None) in other.asked()[0], "it was not replaced")
    _holds(len(other.asked()[0]) == 4, "there are two of one kind")
    _holds(other.withdraw("floor", "api"), "a floor that stands is not there")
    _holds(not other.withdraw("floor", "api"), "a floor that was taken back is there")
    _holds(len(desk.asked()[0]) == 2, "what was taken back stands, or more is gone")
    _people_are_staged(desk)

    # A count that a person asked for is found by its id, and no id is used twice.
    noted = other.row(RowKind.SCALE, scale.id)
    _holds(noted is not None and noted.fence == NO_FENCE, "a person's count is not in the history")
    _holds(desk.ask(scale) == request_id(scale), "the same count cannot be asked for again")
    for refused in (
        lambda: desk.ask(replace(scale, instances=8)),
        lambda: desk.ask(Pause("no such")),
        lambda: desk.answer(Approval("a/b", True, 1.0, "ada")),
        lambda: desk.answer(Approval("a/b", True, 1.0, "ada"), complete=False),
    ):
        try:
            refused()
        except RequestError as error:
            _holds(bool(str(error)), "it is not said why a request is refused")
        else:
            raise AssertionError("what cannot be meant was taken")

    # A no stays a no.
    desk.answer(Approval("contract-9", False, 1.0, "ada"))
    try:
        other.answer(Approval("contract-9", True, 2.0, "bob"))
    except RequestError as error:
        _holds("ada" in str(error), "it is not said who has refused")
    else:
        raise AssertionError("a refusal was overruled")
    _holds(desk.status() == "", "there is a status before any was shown")
    desk.close()
    other.close()


async def _answers_are_taken(bench: StoreBench) -> None:
    store, fence = await bench.connect(), Fence(2)
    await store.show_status('{"steps": 1}', fence)
    _holds(await asyncio.to_thread(_status, bench) == '{"steps": 1}', "the status is not shown")
    asked = await store.requests(499.0)
    _holds([pause.pinned for pause in asked.pauses] == [4], "a pause that stands does not hold")
    _holds([scale.instances for scale in asked.scales] == [7], "a count that stands does not hold")
    _holds((await store.requests(900.0)).pauses == (), "a pause that is over holds")

    # An answer stands until it is taken in; taking it in twice is no trouble.
    given = Approval("contract-9", False, 1.0, "ada")
    for _ in range(2):
        _holds((await store.requests(20.0)).answers == (given,), "an answer does not stand")
    await store.keep(Kept(None, (given,)), fence)
    await store.keep(Kept(None, (given,)), fence)
    _holds((await store.requests(20.0)).answers == (), "an answer that was taken in stands")

    # One that was given anew since is another one.
    await asyncio.to_thread(_answer, bench, given)
    await store.keep(Kept("{}", (replace(given, time_s=9.0),)), fence)
    _holds((await store.requests(20.0)).answers == (given,), "another answer was taken in")
    await store.keep(Kept(None, (given,)), fence)
    second = await asyncio.to_thread(_two_approve, bench)
    answers = (await store.requests(20.0)).answers
    _holds(answers == (second,), f"of two who approved the engine is told {answers}")
    await store.keep(Kept(None, (second,)), fence)
    aside = await store.put_memory_aside(fence)
    _holds(bool(aside), "it is not said where the memory is now")
    _holds(await store.memory() == "", "a memory that was put aside is there")
    await _soon("close", store.close())


async def _store_breaks(bench: StoreBench) -> None:
    store, fence = await bench.connect(), Fence(3)
    await store.keep(Kept("{}"), fence)
    if await bench.break_off():
        row = HistoryRow(RowKind.RESULT, "contract-broken", 1.0, "{}")
        writes: dict[str, Callable[[], Awaitable[object]]] = {
            "keep": lambda: store.keep(Kept('{"d": 4}', (), (row,)), fence),
            "show_status": lambda: store.show_status("{}", fence),
        }
        for name, write in writes.items():
            try:
                await _soon(name, write())
            except Exception as error:
                _holds(bool(str(error)), f"{name} does not say why it failed")
            else:
                raise AssertionError(f"{name} says it wrote what it cannot have written")
        await bench.mend()
        await store.keep(Kept('{"e": 5}', (), (row,)), fence)
        _holds(await store.memory() == '{"e": 5}', "it does not work again")
        _holds((fence, row) in await asyncio.to_thread(_rows, bench), "a row is not there")
    await _soon("close", store.close())


def _status(bench: StoreBench) -> str:
    desk = bench.desk()
    status = desk.status()
    desk.close()
    return status


def _answer(bench: StoreBench, approval: Approval) -> None:
    desk = bench.desk()
    desk.answer(approval)
    desk.close()


def _two_approve(bench: StoreBench) -> Approval:
    """What takes two people, one at each of two desks; returns the answer that completes it."""
    desk, other = bench.desk(), bench.desk()
    _holds(desk.so_far("contract-8") == SoFar(), "somebody has said something already")
    yes = Approval("contract-8", True, 1.0, "ada")
    desk.answer(yes, seen=SoFar(), complete=False, audit=_audit(21))
    first = SoFar(("ada",))
    _holds(other.so_far("contract-8") == first, "the first who approved is not known elsewhere")
    for approved, complete in ((True, False), (True, True), (False, True)):
        late = Approval("contract-8", approved, 2.0, "bob")
        try:
            other.answer(late, seen=SoFar(), complete=complete, audit=_audit(22))
        except RequestError as error:
            _holds(bool(str(error)), "it is not said why an answer is not taken")
        else:
            raise AssertionError("somebody was heard who did not know of the first")
    _holds(other.so_far("contract-8") == first, "a part of what was not taken is there")
    second = Approval("contract-8", True, 2.0, "bob")
    other.answer(second, seen=first, audit=_audit(23))
    _holds(desk.so_far("contract-8") == SoFar(("ada", "bob")), "the second is not known")
    waiting = [int(row.id, 16) for row in desk.staged()]
    _holds(waiting == [21, 23], f"of those who approved there wait {waiting} for the audit log")
    desk.unstage([row.id for row in desk.staged()])

    # A refusal is known everywhere, and whose it is stays as it was.
    desk.answer(Approval("contract-7", True, 1.0, "ada"), complete=False)
    for name in ("kim", "lee"):
        other.answer(Approval("contract-7", False, 2.0, name), complete=False)
    _holds(desk.so_far("contract-7") == SoFar(("ada",), "kim"), "the first refusal is not known")
    desk.close()
    other.close()
    return second


async def lease(connect: Callable[[], Awaitable[Lease]]) -> None:
    """What `engine.ports.lease` promises; `connect` makes another adapter on the same lease."""
    first, second = await connect(), await connect()
    fence = await _soon("hold", first.hold(0.0))
    _holds(fence > NO_FENCE, "a fence is above NO_FENCE")
    _holds(await first.hold(1.0) == fence, "the fence changes while the lead is kept")
    try:
        await _soon("hold", second.hold(2.0))
    except NotLeadingError as error:
        _holds(bool(error.holder), "it is not said who leads")
    else:
        raise AssertionError("two lead at once")
    await _soon("release", first.release())
    newer = await second.hold(3.0)
    _holds(newer > fence, "a later lead has no higher fence")
    above = Fence(newer + 10)
    _holds(await second.hold(4.0, above) > above, "the fence is not raised above what was asked")
    highest = await second.hold(5.0)
    _holds(highest > above, "the fence went back")
    await second.release()
    await second.release()
    _holds(await first.hold(6.0) > highest, "a fence was used twice")
    await first.release()


def credentials(connect: Callable[[], Credentials]) -> None:
    """What `engine.ports.credentials` promises; `connect` opens the same empty ones again."""
    one, other = connect(), connect()
    nothing = one.glimpse(None)
    _holds(nothing is not None and not nothing.texts, "something is there before anything was put")
    assert nothing is not None
    _holds(one.glimpse(nothing.mark) is None, "nothing has changed, and something is told")
    one.change(lambda _: {"a": "1", "b": "2"})
    both = _glimpsed(other, nothing.mark, {"a": "1", "b": "2"})
    _holds(other.glimpse(both) is None, "nothing has changed, and something is told")
    other.change(lambda texts: {name: text + "0" for name, text in texts.items() if name != "a"})
    changed = _glimpsed(one, both, {"b": "20"})

    def fails(_: Texts) -> Texts:
        raise KeyError("refused")

    try:
        one.change(fails)
    except KeyError:
        _holds(other.glimpse(changed) is None, "a change that failed has changed something")
    else:
        raise AssertionError("what a change raised is not raised")
    other.change(lambda _: {"a": "1", "b": "2"})
    _glimpsed(one, changed, {"a": "1", "b": "2"})

    names = [f"contract-{number}" for number in range(12)]

    def add(number: int) -> None:
        (one, other)[number % 2].change(lambda texts: {**texts, names[number]: ""})

    with ThreadPoolExecutor(len(names)) as together:
        list(together.map(add, range(len(names))))
    one.close()
    other.close()
    again = connect()
    _glimpsed(again, None, {"a": "1", "b": "2", **dict.fromkeys(names, "")})
    again.change(lambda _: {})
    _glimpsed(again, None, {})
    again.close()


def _glimpsed(adapter: Credentials, mark: str | None, texts: Texts) -> str:
    """The mark of a glimpse that is due, and shows `texts`."""
    _holds(not adapter.is_unchanged(), "what has changed elsewhere is said to be unchanged")
    seen = adapter.glimpse(mark)
    _holds(seen is not None, "what has changed elsewhere is not seen")
    assert seen is not None
    _holds(dict(seen.texts) == texts, f"{dict(seen.texts)} is there instead of {texts}")
    return seen.mark


async def metrics(source: MetricsSource, services: list[str], now_s: float) -> None:
    """What `engine.ports.metrics` promises of one reading, whatever state its world is in."""
    for _ in range(2):
        reading = await _soon("read", source.read(now_s))
        windows, complaints = checked(reading.windows, services)
        _holds(not complaints, f"its windows cannot be used: {complaints}")
        for name, window in windows.items():
            times = window["time_s"]
            _holds(window.dtype == SAMPLE_DTYPE, f"{name}: no samples")
            _holds(bool(np.all(np.diff(times) > 0.0)), f"{name}: a time comes twice")
            _holds(bool(np.all(times <= now_s)), f"{name}: samples from the future")
        _holds(all(isinstance(t, str) and t for t in reading.troubles), "troubles are words")
    totals = await _soon("totals", source.totals(now_s - 60.0, now_s))
    _holds(
        all(math.isfinite(v) for figures in totals.values() for v in figures.values()),
        "a total that is not known is there all the same",
    )


async def bookings(source: Bookings, services: list[str], now_s: float) -> None:
    """What `engine.ports.bookings` promises while its world answers."""
    outlook = booked(await _soon("outlook", source.outlook(now_s)), services)
    _holds(outlook.issued_s <= now_s, "it knows what is booked later")
    _holds(outlook.load.shape[1] > 0, "it looks at no time at all")
    again = await source.outlook(now_s)
    _holds(again is outlook, "another object although nothing has changed")


# --- under what they help


async def _soon(name: str, call: Awaitable[_Result]) -> _Result:
    _holds(isinstance(call, Awaitable), f"{name} is not asynchronous")
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await call
    except TimeoutError:
        raise AssertionError(f"{name} took more than {PATIENCE_S:g} s") from None


def _holds(true: bool, otherwise: str) -> None:
    if not true:
        raise AssertionError(otherwise)


async def _observe(adapter: Infrastructure) -> Sighting:
    return await _soon("observe", adapter.observe())


async def _desired(bench: InfrastructureBench, adapter: Infrastructure) -> int:
    return (await _observe(adapter)).services[bench.service].desired


async def _statuses(
    bench: InfrastructureBench, adapter: Infrastructure, asked: Action, fence: Fence
) -> list[ActionResult]:
    """All results of a command, whether known at once or later."""
    results = [*await _soon("apply", adapter.apply((asked,), fence))]
    await bench.settle()
    with contextlib.suppress(Unreachable):
        results += (await _observe(adapter)).results
    return [result for result in results if result.decision_id == asked.decision_id]


async def _accepted(
    bench: InfrastructureBench, adapter: Infrastructure, asked: Action, fence: Fence
) -> None:
    results = await _statuses(bench, adapter, asked, fence)
    _holds(bool(results), f"{asked.decision_id}: no result")
    _holds(
        results[0].status is Status.ACCEPTED,
        f"{asked.decision_id} under fence {fence}: {[(r.status, r.detail) for r in results]}",
    )


async def _refused(
    bench: InfrastructureBench, adapter: Infrastructure, asked: Action, fence: Fence
) -> str:
    results = await _statuses(bench, adapter, asked, fence)
    failed = [result for result in results if result.status is Status.FAILED]
    _holds(bool(failed), f"{asked.decision_id} under fence {fence} was not refused")
    _holds(bool(failed[0].detail), f"{asked.decision_id}: it is not said why it failed")
    return failed[0].detail
