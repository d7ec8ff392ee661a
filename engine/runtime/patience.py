"""Waiting for a port, but not for ever: each call in a task of its own, one at a time.

What hangs is not asked again before it has come back, and what comes late is not lost.  After
`GIVE_UP` times its limit a call is cancelled: a connection that nobody answers on is then given up,
and the next call may make a new one.  Whatever a port raises, of whatever type, arrives as a
`PortError` with words that people can read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar, cast

from engine.ports.infrastructure import Unreachable
from engine.ports.lease import FencedOffError, NotLeadingError

GIVE_UP = 10.0

_Result = TypeVar("_Result")


class PortError(Exception):
    """A call of a port that came to nothing; `cause` is what it raised, None if it takes long."""

    def __init__(self, message: str, cause: BaseException | None = None) -> None:
        super().__init__(message)
        self.cause = cause


class Patience(Generic[_Result]):
    """Waits for one sort of call, for `limit_s` at the most."""

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._busy: asyncio.Task[_Result] | None = None

    async def call(
        self, ask: Callable[[], Awaitable[_Result]], late: Callable[[_Result], object]
    ) -> _Result:
        """What `ask` comes to; `late` is given a result that comes after the time is over.

        Raises PortError, and CancelledError only if it is itself cancelled.
        """
        loop = asyncio.get_running_loop()
        if self._busy is not None and not self._busy.done():
            # It was waited for once; the step must not be late for it again.
            raise PortError(self._late_words())
        task = loop.create_task(_asked(ask))
        task.add_done_callback(_retrieve)
        self._busy = task
        await asyncio.wait([task], timeout=self._limit_s)
        if task.done():
            return _outcome(task)
        give_up = loop.call_later((GIVE_UP - 1.0) * self._limit_s, task.cancel)

        def over(task: asyncio.Task[_Result]) -> None:
            give_up.cancel()
            if not task.cancelled() and task.exception() is None:
                late(task.result())

        task.add_done_callback(over)
        raise PortError(self._late_words())

    def _late_words(self) -> str:
        return f"no answer within {self._limit_s:g} s"

    async def finished(self) -> None:
        """Wait, up to the limit, for a call that is still under way."""
        if self._busy is not None and not self._busy.done():
            await asyncio.wait([self._busy], timeout=self._limit_s)

    def abandon(self) -> None:
        """Cancel a call that is still under way."""
        if self._busy is not None:
            self._busy.cancel()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Whoever waited may be gone: what the call raised is then nobody's trouble."""
    if not task.cancelled():
        task.exception()


class _EscapedError(Exception):
    """What was raised would have ended the event loop."""


_CLEAR = (Unreachable, FencedOffError, NotLeadingError, OSError, ValueError, _EscapedError)
"""Their words say enough."""


async def _asked(ask: Callable[[], Awaitable[_Result]]) -> _Result:
    try:
        answer: Any = ask()
        if not isinstance(answer, Awaitable):
            raise TypeError(f"{type(answer).__name__} is not awaitable: the port is asynchronous")
        return cast(_Result, await answer)
    except (Exception, asyncio.CancelledError, KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:  # a library that calls sys.exit(), a panic of a foreign one
        raise _EscapedError(repr(error)) from error


def _outcome(task: asyncio.Task[_Result]) -> _Result:
    if task.cancelled():
        raise PortError("the call was cancelled")
    error = task.exception()
    if error is None:
        return task.result()
    raise PortError(words(error), error)


def words(error: BaseException) -> str:
    """What an exception says, for people; its type where the words alone would say little."""
    text = str(error)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if isinstance(error, _CLEAR):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
