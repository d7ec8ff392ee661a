"""Waiting for a port, in simulated time: how long, what comes of it, and what is said."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from engine.ports.infrastructure import Unreachable
from engine.ports.lease import Fence, FencedOffError, NotLeadingError
from engine.runtime.patience import Patience, PortError, words
from tests.unit.engine.runtime.conftest import simulated

LIMIT_S = 4.0


class Port:
    """Answers with how often it was asked, each time after `takes_s`, unless it raises."""

    def __init__(self, takes_s: float = 0.0, error: BaseException | None = None) -> None:
        self.takes_s = takes_s
        self.error = error
        self.asked_s: list[float] = []
        self.cancelled_s: list[float] = []
        self.late: list[int] = []

    async def ask(self) -> int:
        time_s = asyncio.get_running_loop().time
        self.asked_s.append(time_s())
        number = len(self.asked_s)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.cancelled_s.append(time_s())
            raise
        if self.error is not None:
            raise self.error
        return number


async def refused(patience: Patience[int], port: Port) -> PortError:
    with pytest.raises(PortError) as error:
        await patience.call(port.ask, port.late.append)
    return error.value


@pytest.mark.parametrize("takes_s", [0.0, 3.9])
def test_what_answers_in_time_has_answered_and_is_not_late(takes_s: float) -> None:
    port = Port(takes_s)

    async def run() -> None:
        patience = Patience[int](LIMIT_S)
        assert [await patience.call(port.ask, port.late.append) for _ in range(3)] == [1, 2, 3]
        await asyncio.sleep(100.0)

    simulated(run())
    assert port.late == []


def test_it_is_waited_for_until_the_limit_and_its_answer_is_taken_when_it_comes() -> None:
    port = Port(9.0)

    async def run() -> None:
        patience = Patience[int](LIMIT_S)
        error = await refused(patience, port)
        assert (str(error), error.cause) == ("no answer within 4 s", None)
        assert asyncio.get_running_loop().time() == LIMIT_S
        # It is under way yet: not asked again, and not waited for again.
        assert str(await refused(patience, port)) == "no answer within 4 s"
        assert asyncio.get_running_loop().time() == LIMIT_S
        assert port.late == []
        await asyncio.sleep(6.0)
        assert port.late == [1]
        port.takes_s = 0.0
        assert await patience.call(port.ask, port.late.append) == 2

    simulated(run())
    assert port.asked_s == [0.0, 10.0]
    assert (port.late, port.cancelled_s) == ([1], [])


def test_what_hangs_is_given_up_after_ten_times_its_limit_and_then_asked_anew() -> None:
    port = Port(1e6)

    async def run() -> None:
        patience = Patience[int](LIMIT_S)
        for _ in range(3):
            await refused(patience, port)
        await asyncio.sleep(40.0)
        assert len(port.asked_s) == 1
        await refused(patience, port)
        patience.abandon()

    simulated(run())
    assert port.asked_s == [0.0, 44.0]
    assert port.cancelled_s == [40.0, 48.0]
    assert port.late == []


def complaints_of(run: Callable[[], Coroutine[Any, Any, None]]) -> list[Any]:
    """What the loop says that nobody has dealt with."""
    complaints: list[Any] = []

    async def listening() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *said: complaints.append(said))
        await run()
        gc.collect()  # an exception that nobody asked for is complained of when its task goes

    simulated(listening())
    return complaints


def test_what_fails_late_is_nobodys_trouble_and_no_answer() -> None:
    port = Port(6.0, KeyError("x"))

    async def run() -> None:
        await refused(Patience[int](LIMIT_S), port)
        await asyncio.sleep(6.0)

    assert complaints_of(run) == []
    assert port.late == []


def test_what_fails_when_nobody_waits_any_more_is_nobodys_trouble() -> None:
    async def run() -> None:
        patience = Patience[int](LIMIT_S)
        port = Port(2.0, KeyError("x"))
        waiting = asyncio.create_task(patience.call(port.ask, port.late.append))
        await asyncio.sleep(1.0)
        waiting.cancel()
        await asyncio.sleep(2.0)

    assert complaints_of(run) == []


def test_an_abandoned_call_is_cancelled_and_one_that_was_never_made_is_none() -> None:
    port = Port(9.0)

    async def run() -> None:
        patience = Patience[int](LIMIT_S)
        patience.abandon()
        await refused(patience, port)
        patience.abandon()
        await asyncio.sleep(1.0)

    assert complaints_of(run) == []
    assert (port.cancelled_s, port.late) == ([LIMIT_S], [])


@pytest.mark.parametrize("limit_s", [0.25, 600.0])
def test_the_limit_may_be_short_or_long(limit_s: float) -> None:
    async def run() -> None:
        await refused(Patience[int](limit_s), Port(1e4))

    assert simulated(run()) == limit_s


@pytest.mark.parametrize(("takes_s", "ends_s"), [(3.0, 3.0), (6.0, 6.0), (9.0, 8.0)])
def test_the_end_of_a_call_is_waited_for_up_to_the_limit(takes_s: float, ends_s: float) -> None:
    port = Port(takes_s)

    async def run() -> None:
        patience = Patience[int](LIMIT_S)
        await patience.finished()
        assert asyncio.get_running_loop().time() == 0.0
        if takes_s < LIMIT_S:
            await patience.call(port.ask, port.late.append)
        else:
            await refused(patience, port)
        await patience.finished()

    assert simulated(run()) == ends_s


def test_whoever_waits_may_be_cancelled_and_what_is_asked_goes_on() -> None:
    port = Port(2.0)

    async def run() -> None:
        patience = Patience[int](LIMIT_S)
        waiting = asyncio.create_task(patience.call(port.ask, port.late.append))
        await asyncio.sleep(1.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await patience.finished()

    assert simulated(run()) == 2.0
    assert port.cancelled_s == []


def test_what_is_cancelled_from_elsewhere_has_come_to_nothing() -> None:
    port = Port(2.0, asyncio.CancelledError())

    async def run() -> None:
        error = await refused(Patience[int](LIMIT_S), port)
        assert str(error) == "the call was cancelled"

    simulated(run())


def test_what_was_raised_is_the_cause() -> None:
    cause = NotLeadingError("the engine next door leads", "the engine next door")

    async def run() -> None:
        error = await refused(Patience[int](LIMIT_S), Port(1.0, cause))
        assert (str(error), error.cause) == ("the engine next door leads", cause)
        error = await refused(Patience[int](LIMIT_S), Port(1.0, SystemExit(3)))
        assert str(error) == "SystemExit(3)"

    simulated(run())


def test_a_port_that_does_not_answer_asynchronously_is_named() -> None:
    async def run() -> None:
        with pytest.raises(PortError, match="int is not awaitable: the port is asynchronous"):
            await Patience[int](LIMIT_S).call(lambda: 7, lambda _: None)  # type: ignore[arg-type, return-value]

    simulated(run())


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(28, "No space left on device"), "No space left on device"),
        (OSError(2, "No such file", "/x/memory.json"), "/x/memory.json: No such file"),
        (OSError("the socket is gone"), "the socket is gone"),
        (OSError(), "OSError"),
        (Unreachable("no route"), "no route"),
        (Unreachable(), "Unreachable"),
        (FencedOffError(Fence(1), Fence(7)), "fence 1 is over, 7 leads"),
        (ValueError("schedule: the file is gone"), "schedule: the file is gone"),
        (KeyError("load"), "KeyError: 'load'"),
        (AssertionError(), "AssertionError"),
    ],
)
def test_an_exception_is_told_with_its_type_where_its_words_say_little(
    error: BaseException, said: str
) -> None:
    assert words(error) == said
