"""Seasons, days and plans: worked out in a process of their own, and kept while they are valid.

What knows the bookings of years is found by configuration (`engine.api.apart`).  Several who ask
the same wait for the same answer; who has waited for long enough is told to come again, and the
work goes on.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections import OrderedDict
from collections.abc import Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from engine.api.apart import ProcessBeside, WorkerPlace
from engine.api.problems import FieldProblem, Problem, ProblemError
from engine.api.shared_cache import NoSharedCache, SharedCache
from engine.api.snapshot import EncodedText, encoded

KEPT = 64
VALID_S = 3_600.0
"""An answer that does not say how long it is valid is worked out anew after so long."""
NOT_SHARED = NoSharedCache()

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AskedWedding:
    """One wedding that somebody asks about; `date` and `time` (HH:MM) are local to `zone`."""

    date: str
    time: str
    zone: str
    type: str
    guests: int
    vendors: int


class Predictions(Protocol):
    """Works predictions out; it blocks.  Each method raises ValueError, whose text names a field.

    `now_s` (epoch seconds) is the time as of which it is asked.
    """

    def season(self, year: int, season: str, now_s: float) -> Mapping[str, Any]:
        """A season, week by week."""
        ...

    def day(self, date: dt.date, now_s: float) -> Mapping[str, Any]:
        """All weddings of a day, hour by hour."""
        ...

    def wedding(self, wedding: AskedWedding, now_s: float) -> Mapping[str, Any]:
        """One wedding, hour by hour."""
        ...

    def plan(self, date: dt.date, months: int, risk: float) -> Mapping[str, Any]:
        """What the months from `date` on need, and what to buy."""
        ...


class Predictor:
    """Asks a `Predictions` in another process; `factory` "" means that there is none."""

    def __init__(
        self,
        factory: str,
        options: Mapping[str, Any],
        timeout_s: float,
        shared: SharedCache = NOT_SHARED,
    ) -> None:
        self._factory = factory
        self._options = dict(options)
        self._timeout_s = timeout_s
        self._shared = shared
        self._apart = ProcessBeside(
            WorkerPlace(
                factory, self._options, "api.predictions", ("season", "day", "wedding", "plan")
            )
        )
        self._answers: OrderedDict[tuple[Any, ...], tuple[float, EncodedText]] = OrderedDict()
        self._working: dict[tuple[Any, ...], asyncio.Task[EncodedText]] = {}

    @property
    def is_there(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self._factory)

    async def ask(self, method: str, *arguments: Any, now_s: float | None = None) -> EncodedText:
        """The answer of `method`, of now or still valid; raises ProblemError.

        `now_s` (epoch seconds) is given to it to the whole hour, so that an answer can be kept.
        """
        if not self._factory:
            raise ProblemError(
                Problem.NOT_READY, "api.predictions: nothing is configured that works this out"
            )
        given = arguments if now_s is None else (*arguments, now_s // VALID_S * VALID_S)
        key = (method, *given)
        kept = self._answers.get(key)
        if kept is not None and time.monotonic() < kept[0]:
            self._answers.move_to_end(key)
            return kept[1]
        working = self._working.get(key)
        if working is None:
            working = asyncio.create_task(self._work(key))
            self._working[key] = working
            working.add_done_callback(lambda task: self._done(key, task))
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(working)
        except TimeoutError:
            raise ProblemError(
                Problem.BUSY, "it is still being worked out", headers={"retry-after": "10"}
            ) from None
        except ValueError as error:
            raise as_problem(error) from None

    def close(self) -> None:
        """End the other process, whatever it is doing."""
        self._apart.close()

    async def _work(self, key: tuple[Any, ...]) -> EncodedText:
        method, *given = key
        question = repr((self._factory, self._options, key))
        text = await self._shared.get(question)
        if text is None:
            text = await self._worked_out(method, given)
            await self._shared.put(question, text, VALID_S)
        self._answers[key] = (time.monotonic() + VALID_S, text)
        while len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        return text

    async def _worked_out(self, method: str, given: list[Any]) -> EncodedText:
        try:
            future = self._apart.submit(method, given)
            document = await asyncio.wrap_future(future)
        except BrokenProcessPool:
            self.close()
            raise ProblemError(
                Problem.BUSY, "what works it out has ended; ask again", headers={"retry-after": "5"}
            ) from None
        except (ValueError, ProblemError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error(f"{method} could not be worked out: {error!r}")
            raise ProblemError(Problem.INTERNAL, "it could not be worked out") from error
        return encoded(document)

    def _done(self, key: tuple[Any, ...], task: asyncio.Task[EncodedText]) -> None:
        self._working.pop(key, None)
        if not task.cancelled():
            task.exception()  # whoever still waits is told; if nobody does, it is no news


def as_problem(error: ValueError) -> ProblemError:
    """The problem that a text says which begins with the name of a field."""
    detail = str(error)
    field, colon, _ = detail.partition(": ")
    fields = [FieldProblem(field, detail)] if colon and field.replace("_", "").isalnum() else []
    return ProblemError(Problem.INVALID, detail, fields=fields)
