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
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import numpy as np

from engine.model import (
    SAMPLE_DTYPE,
    Action,
    ActionResult,
    Approval,
    Category,
    Reason,
    Rollback,
    Status,
    WeddingContext,
)
from engine.ports.bookings import Bookings, booked
from engine.ports.infrastructure import Infrastructure, Sighting, Unreachable, seen_there
from engine.ports.lease import NO_FENCE, Fence, FencedOffError, Lease, NotLeadingError
from engine.ports.metrics import MetricsSource, checked
from engine.ports.store import Store

PATIENCE_S = 10.0
"""Longest that an adapter may take for one call of a test, wherever its world is."""

_Result = TypeVar("_Result")


class InfrastructureBench:
    """A world with at least one service whose count can be changed; subclass it.

    `service` names it, `low` and `high` are two counts that it may have; it has `low` at first.
    """

    service: str
    low: int
    high: int

    async def connect(self) -> Infrastructure:
        """Another adapter on the same world, as an engine that was started again makes one."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Let what was asked for be done, as far as a result is concerned."""

    async def break_off(self) -> bool:
        """Make the world unreachable; False if this world cannot be."""
        return False

    async def mend(self) -> None:
        """Make it reachable again."""


class StoreBench:
    """A store that several adapters can open."""

    async def connect(self) -> Store:
        """Another adapter on the same store."""
        raise NotImplementedError

    async def answer(self, approval: Approval) -> None:
        """Let a person answer, as people do with this store."""
        raise NotImplementedError

    async def break_off(self) -> bool:
        """Make every write fail; False if this store cannot be made to."""
        return False

    async def mend(self) -> None:
        """Make it work again."""


def action(
    service: str, before: int, after: int, decision_id: str, decided_s: float = 0.0
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
    )


async def infrastructure(bench: InfrastructureBench) -> None:
    """What `engine.ports.infrastructure` promises."""
    first = await bench.connect()
    name, low, high = bench.service, bench.low, bench.high
    sighting = await _soon("observe", first.observe())
    seen_there(sighting, [name])
    _holds(sighting.services[name].desired == low, f"{name} does not begin with {low} desired")
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


async def store(bench: StoreBench) -> None:
    """What `engine.ports.store` promises."""
    first = await bench.connect()
    _holds(await _soon("memory", first.memory()) == "", "a new store has a memory")
    fence = Fence(1)
    await _soon("keep_memory", first.keep_memory('{"a": 1}', fence))
    second = await bench.connect()
    _holds(await second.memory() == '{"a": 1}', "what was kept is not there")

    # A fence that is over is refused, and nothing is changed by it.
    newer = Fence(2)
    await second.keep_memory('{"b": 2}', newer)
    writes: dict[str, Callable[[Store], Awaitable[object]]] = {
        "keep_memory": lambda s: s.keep_memory('{"old": 1}', fence),
        "remove_answers": lambda s: s.remove_answers((), fence),
        "show_status": lambda s: s.show_status("{}", fence),
        "put_memory_aside": lambda s: s.put_memory_aside(fence),
    }
    for adapter in (first, await bench.connect()):
        for name, write in writes.items():
            try:
                await _soon(name, write(adapter))
            except FencedOffError as error:
                _holds((error.fence, error.newest) == (fence, newer), f"{name}: which fences?")
            else:
                raise AssertionError(f"{name} wrote under a fence that is over")
    _holds(await second.memory() == '{"b": 2}', "a refused write changed the memory")

    # Killed in the middle of a write: the old or the new text, never a mixture.
    long = '{"c": "' + "x" * 200_000 + '"}'
    call = asyncio.ensure_future(second.keep_memory(long, newer))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    third = await bench.connect()
    _holds(await third.memory() in ('{"b": 2}', long), "half of a memory was kept")

    # An answer stands until it is removed; removing it twice is no trouble.
    given = Approval("contract-1", True, 10.0, "ada")
    await bench.answer(given)
    for _ in range(2):
        _holds((await third.requests(20.0)).answers == (given,), "an answer does not stand")
    await third.remove_answers((given,), newer)
    await third.remove_answers((given,), newer)
    _holds((await third.requests(20.0)).answers == (), "an answer that was removed stands")

    # One that was given anew since is another one.
    await bench.answer(given)
    await third.remove_answers((replace(given, time_s=9.0),), newer)
    _holds((await third.requests(20.0)).answers == (given,), "another answer was removed")
    await third.remove_answers((given,), newer)

    await third.put_memory_aside(newer)
    _holds(await third.memory() == "", "a memory that was put aside is there")
    if await bench.break_off():
        for name in ("keep_memory", "show_status"):
            try:
                await _soon(name, getattr(third, name)("{}", newer))
            except Exception as error:
                _holds(bool(str(error)), f"{name} does not say why it failed")
            else:
                raise AssertionError(f"{name} says it wrote what it cannot have written")
        await bench.mend()
        await third.keep_memory("{}", newer)
        _holds(await third.memory() == "{}", "it does not work again")
    for adapter in (first, second, third):
        await _soon("close", adapter.close())


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
