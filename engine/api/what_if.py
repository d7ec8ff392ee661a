"""What if: the hours to come, tried out from the state of this moment, beside the present plan.

What can try them out is a simulator and lies outside the engine; it is found by configuration
(`api.what_if.factory`) and works in a process of its own (`engine.api.apart`).  It is handed a
`Moment`, which is all that the engine knows now, its memory included, and a `TriedChange`.  Nothing
comes of it but an answer.  Few may wait at one time, and one who waits for too long ends the
process, so that what hangs is not waited for by the next.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any, Protocol

import structlog

from engine.api.apart import ProcessBeside, WorkerPlace
from engine.api.predictions import as_problem
from engine.api.problems import Problem, ProblemError
from engine.api.snapshot import StepLook
from engine.model import (
    Direction,
    FloatArray,
    Forecast,
    ManualFloor,
    ManualScale,
    Outlook,
    Pause,
)

SEEN_S = 300.0
"""The samples of so long go with a moment: what a step looks at."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class ServiceMoment:
    """One service now: its counts, its newest samples (rows as `SAMPLE_FIELDS`), its forecasts."""

    desired: int
    ready: int
    samples: FloatArray
    forecasts: tuple[Forecast, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Moment:
    """All that the engine knows now; times are epoch seconds of its clock.

    `memory` is the newest that it has kept, "" if none; `forecast_s` is NaN before any forecast.
    """

    time_s: float
    services: Mapping[str, ServiceMoment]
    outlook: Outlook
    forecast_s: float
    floors: tuple[ManualFloor, ...]
    pauses: tuple[Pause, ...]
    scales: tuple[ManualScale, ...]
    memory: str


@dataclass(frozen=True, slots=True)
class TriedChange:
    """What is tried out, from `after_s` on; what is "" is left as it is.

    `zone` is lost; `load_service` gets `load_factor` times its requests; scaling of `pause_service`
    (None: of none, "": of all) in `pause_direction` is paused; `floor_service` keeps at least
    `floor_instances`; `controller` decides in place of the present one, from the beginning.
    """

    zone: str = ""
    load_service: str = ""
    load_factor: float = 1.0
    pause_service: str | None = None
    pause_direction: Direction = Direction.ALL
    floor_service: str = ""
    floor_instances: int = 0
    controller: str = ""
    after_s: float = 60.0

    @property
    def is_none(self) -> bool:
        """Whether nothing is changed."""
        return self == TriedChange(after_s=self.after_s)


class WhatIf(Protocol):
    """Tries the hours to come out; it blocks.  Raises ValueError, whose text names a field."""

    def choices(self) -> Mapping[str, Any]:
        """What may be chosen: `zones` and `controllers`, the present one first."""
        ...

    def tried(self, moment: Moment, change: TriedChange, for_s: float) -> Mapping[str, Any]:
        """`for_s` seconds from `moment` on: as planned, and with the change."""
        ...


def moment_of(look: StepLook, memory: str) -> Moment:
    """What `look` shows, as it is handed over."""
    services = {
        name: ServiceMoment(
            service.desired, service.ready, service.samples.since(look.time_s - SEEN_S),
            service.forecasts,
        )
        for name, service in look.services.items()
    }  # fmt: skip
    return Moment(
        look.time_s, services, look.outlook, look.forecast_s, look.floors, look.pauses,
        look.scales, memory,
    )  # fmt: skip


class Trials:
    """Asks a `WhatIf` in another process; `factory` "" means that there is none.

    `most` may wait at one time, each for `patience_s`.
    """

    def __init__(
        self, factory: str, options: Mapping[str, Any], patience_s: float, most: int
    ) -> None:
        self._factory = factory
        self._patience_s = patience_s
        self._most = most
        self._waiting = 0
        self._apart = ProcessBeside(
            WorkerPlace(factory, dict(options), "api.what_if", ("choices", "tried"))
        )

    @property
    def is_there(self) -> bool:
        """Whether there is anything to ask."""
        return bool(self._factory)

    async def ask(self, method: str, *given: Any) -> Mapping[str, Any]:
        """The answer of `method`, with the wall seconds that it took; raises ProblemError."""
        if not self._factory:
            raise ProblemError(
                Problem.NOT_THERE, "api.what_if: nothing is configured that tries it out"
            )
        if self._waiting >= self._most:
            raise ProblemError(
                Problem.BUSY, f"{self._waiting} wait for an answer already",
                headers={"retry-after": "5"},
            )  # fmt: skip
        self._waiting += 1
        began = time.monotonic()
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await self._answer(method, given)
        except TimeoutError:
            if self._apart.is_beginning:
                raise ProblemError(
                    Problem.BUSY,
                    "what tries it out is still being started",
                    headers={"retry-after": "5"},
                ) from None
            self._apart.close()
            raise ProblemError(
                Problem.BUSY, f"it takes longer than {self._patience_s:g} s, so it was given up",
                headers={"retry-after": "30"},
            ) from None  # fmt: skip
        except BrokenProcessPool:
            self._apart.close()
            raise ProblemError(
                Problem.BUSY, "what tries it out has ended; ask again", headers={"retry-after": "5"}
            ) from None
        except ValueError as error:
            raise as_problem(error) from None
        except (ProblemError, asyncio.CancelledError):
            raise
        except Exception as error:
            log.error(f"{method} of what-if failed: {error!r}")
            raise ProblemError(Problem.INTERNAL, "it could not be tried out") from error
        finally:
            self._waiting -= 1
        return {**answer, "took_s": round(time.monotonic() - began, 3)}

    async def _answer(self, method: str, given: Sequence[Any]) -> Mapping[str, Any]:
        future = self._apart.submit(method, given)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if future.cancelled() and task is not None and not task.cancelling():
                raise BrokenProcessPool from None  # it was ended for somebody who waited too long
            raise

    def close(self) -> None:
        """End the other process, whatever it is doing."""
        self._apart.close()
