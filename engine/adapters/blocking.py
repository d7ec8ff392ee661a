"""Blocking libraries behind asynchronous ports: each call in a thread, one at a time.

A call that hangs is left to itself: whoever waits for it may stop waiting, and the next call waits
until the one before has come back.  So what hangs is never asked twice at once, and costs one
thread, however long it hangs.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar, cast

from engine.model import Action, ActionResult, Outlook
from engine.ports.infrastructure import Sighting
from engine.ports.lease import Fence

_Result = TypeVar("_Result")


class BlockingCalls:
    """Makes blocking calls in a thread, one at a time, in the order of asking."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._before: asyncio.Future[None] | None = None

    async def call(self, function: Callable[[], _Result]) -> _Result:
        """The function's result; raises whatever the function raises.

        When whoever waits is cancelled, a call that has begun goes on and its result is dropped.
        """
        loop = asyncio.get_running_loop()
        before, over = self._before, loop.create_future()
        self._before = over
        try:
            if before is not None:
                await asyncio.shield(before)
        except asyncio.CancelledError:
            # It was never begun; the next in the row waits for the one before it instead.
            _hand_on(cast(asyncio.Future[None], before), over)
            raise
        came: asyncio.Future[_Result] = loop.create_future()
        # A daemon: a call that never comes back must not keep the process from ending.
        threading.Thread(
            target=_work, args=(loop, came, over, function), name=self._name, daemon=True
        ).start()
        return await came


def _hand_on(before: asyncio.Future[None], over: asyncio.Future[None]) -> None:
    def done(_: asyncio.Future[None]) -> None:
        if not over.done():
            over.set_result(None)

    before.add_done_callback(done)


def _work(
    loop: asyncio.AbstractEventLoop,
    came: asyncio.Future[_Result],
    over: asyncio.Future[None],
    function: Callable[[], _Result],
) -> None:
    result: _Result | None = None
    failure: BaseException | None = None
    try:
        result = function()
    except BaseException as error:  # also a SystemExit of the library: it ends no thread of ours
        failure = error

    def settle() -> None:
        if not over.done():
            over.set_result(None)
        if came.done():
            return
        if isinstance(failure, Exception) and not isinstance(failure, StopIteration):
            came.set_exception(failure)
        elif failure is not None:
            came.set_exception(RuntimeError(repr(failure)))
        else:
            came.set_result(cast(_Result, result))

    with contextlib.suppress(RuntimeError):  # the loop is closed: nobody waits any more
        loop.call_soon_threadsafe(settle)


class BlockingPool(Protocol):
    """An infrastructure whose methods block; as `engine.ports.infrastructure` otherwise."""

    def observe(self) -> Sighting:
        """The counts now, and the results since this was last asked for."""
        ...

    def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for each action."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class BlockingInfrastructure:
    """An infrastructure made of a blocking one: it looks and asks at the same time, in two threads.

    A look that hangs must not keep a command from being sent, nor the other way round.
    """

    def __init__(self, pool: BlockingPool) -> None:
        self.pool = pool
        self._looks, self._commands = BlockingCalls("observe"), BlockingCalls("apply")

    async def observe(self) -> Sighting:
        """The counts now, and the results since this was last asked for."""
        return await self._looks.call(self.pool.observe)

    async def apply(self, actions: Sequence[Action], fence: Fence) -> tuple[ActionResult, ...]:
        """Ask for each action under `fence`."""
        return await self._commands.call(lambda: self.pool.apply(actions, fence))

    async def close(self) -> None:
        """Let go of it."""
        await self._looks.call(self.pool.close)


class Booked(Protocol):
    """A source of outlooks that blocks until it has one."""

    def outlook(self, now_s: float) -> Outlook:
        """The outlook as known at `now_s` (epoch seconds)."""
        ...


class BlockingBookings:
    """Bookings made of a blocking source of outlooks."""

    def __init__(self, booked: Booked) -> None:
        self._booked = booked
        self._calls = BlockingCalls("bookings")

    async def outlook(self, now_s: float) -> Outlook:
        """The outlook as known at `now_s` (epoch seconds)."""
        return await self._calls.call(lambda: self._booked.outlook(now_s))

    async def close(self) -> None:
        """Nothing to let go of."""
