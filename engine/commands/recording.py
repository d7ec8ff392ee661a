"""The records of a live run: the journal while it runs, a record at its end, and one a day.

An engine that runs for months leaves a record for each day (`live.record_every_s`), so none grows
without bound and each can be looked at the morning after.  An action that is completed in the next
record's time stays accepted in the one in which it was decided.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import structlog

from engine.model import Action, ActionResult, Observation, Plan, Status
from engine.ports.metrics import MetricsSource, Reading
from engine.record.files import remove
from engine.record.journal import Journal, JournalHeading
from engine.record.live.notes import LiveRun
from engine.record.live.writing import write
from engine.record.schema.summary import PlayedDay
from engine.record.sealed import FileSealer
from engine.runtime.patience import Patience, PortError
from engine.security.audit.courier import Courier
from engine.security.audit.log import AuditLog
from engine.security.audit.noting import decided

LOOK_S = 1.0
TOTALS_S = 600.0
"""For a source to say what the whole run was like; an adapter has a limit of its own."""

_Figures = TypeVar("_Figures")

log = structlog.stdlib.get_logger(__name__)


class RecordPlace(NamedTuple):
    """Where records go: the folder, what makes the reports in each, and what seals them."""

    output: Path
    report: Callable[[Path], None]
    sealer: FileSealer | None = None


class Recording:
    """Notes of the shell: into the journal, and what one wants to know at once to the log.

    `run` is what the records say of the run, apart from its times and figures.  What the engine
    does the store stages for the audit log before it is done, and a `courier` carries it there;
    what cannot be staged goes to the log itself.  The journal is sealed as the `records` are.
    """

    def __init__(
        self,
        state: Path,
        heading: JournalHeading,
        run: LiveRun,
        records: RecordPlace,
        *,
        every_s: float | None,
        audit: AuditLog,
        courier: Courier,
    ) -> None:
        self._audit = audit
        self._courier = courier
        self._records = records
        self._state = state
        self._run = run
        self._every_s = every_s
        self._journal = Journal(state, heading, records.sealer)
        self._played: Callable[[float, float], PlayedDay] | None = None

    @property
    def started_s(self) -> float:
        """When the present record begins: also of an engine that was killed since."""
        return self._journal.heading.started_s

    def about(
        self, played: Callable[[float, float], PlayedDay], awaited_s: tuple[float, ...]
    ) -> None:
        """`played` says what is booked between two times; major ones begin at `awaited_s`.

        All are epoch seconds.
        """
        self._played = played
        self._run = dataclasses.replace(self._run, awaited_s=awaited_s)

    def step(
        self,
        time_s: float,
        observation: Observation,
        plan: Plan,
        compute_s: float,
        *,
        reading: Reading,
    ) -> None:
        """Note a step."""
        self._journal.step(time_s, observation, plan, compute_s, reading=reading)
        for word, actions in (("", plan.actions), ("would: ", plan.dry)):
            for action in actions:
                _log_action(word, action, time_s)
        for action in plan.awaiting:
            _log_action("waits for approval: ", action, time_s)

    def without_store(self, actions: Sequence[Action], time_s: float) -> None:
        """Say in the audit log itself what is done; the store may have it later, under one id."""
        self._audit.append(*(decided(action, time_s) for action in actions))

    def result(self, result: ActionResult) -> None:
        """Note what became of an action."""
        self._journal.result(result)
        detail = f": {result.detail}" if result.detail else ""
        level = log.warning if result.status is Status.FAILED else log.info
        level(
            f"{result.status.value}{detail}",
            time_s=result.time_s,
            decision_id=result.decision_id,
            status=result.status.value,
        )

    def event(self, time_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Note something that is no decision."""
        self._journal.event(time_s, kind, name, what, detail=detail)
        log.info(f"{kind.replace('_', ' ')}: {what}: {detail}", time_s=time_s, kind=kind, name=name)

    def status(self, status: Mapping[str, Any]) -> None:  # noqa: ARG002 (nobody asks a record)
        """Raises OSError while the audit log lags behind the store."""
        if self._courier.trouble:
            raise OSError(0, self._courier.trouble)

    async def roll_over(self, metrics: MetricsSource, done: asyncio.Event) -> None:
        """Until `done`, close the record whenever it is time to, and begin the next."""
        while self._every_s is not None and not done.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await done.wait()
            if not done.is_set() and time.time() >= self.started_s + self._every_s:
                await self._next(metrics)

    async def finish(self, metrics: MetricsSource, *, partial: bool) -> Path:
        """Write the last record; returns its folder.  Raises OutputError and keeps the journal."""
        journal, ended_s = self._journal, time.time()
        self._close()
        return await self._write(journal.path, self.started_s, ended_s, metrics, partial=partial)

    async def _next(self, metrics: MetricsSource) -> None:
        begun_s, now_s = self.started_s, time.time()
        self._close()
        over = self._journal.put_aside()
        self._journal = Journal(
            self._state,
            dataclasses.replace(self._journal.heading, started_s=now_s),
            self._records.sealer,
        )
        try:
            folder = await self._write(over, begun_s, now_s, metrics, partial=False)
        except OSError as error:
            log.error(f"{error}; its journal stays", journal=str(over))
        else:
            print(folder, flush=True)

    async def _write(
        self,
        journal: Path,
        begun_s: float,
        ended_s: float,
        metrics: MetricsSource,
        *,
        partial: bool,
    ) -> Path:
        run = dataclasses.replace(
            self._run,
            started_s=begun_s,
            ended_s=ended_s,
            partial=partial,
            played=None if self._played is None else self._played(begun_s, ended_s),
            totals=await _if_known(functools.partial(metrics.totals, begun_s, ended_s)),
            first_served=await _if_known(functools.partial(metrics.first_served, begun_s, ended_s)),
        )
        # In a thread: the engine goes on meanwhile.
        folder = await asyncio.to_thread(
            write,
            run,
            journal,
            self._records.output,
            self._records.report,
            sealer=self._records.sealer,
        )
        remove(journal)  # the record is on the disk
        return folder

    def _close(self) -> None:
        with contextlib.suppress(OSError):
            self._journal.close()
        if lost := self._journal.lost:
            log.error("lines of the journal were lost: it could not be written", lines=lost)


async def _if_known(ask: Callable[[], Awaitable[Mapping[str, _Figures]]]) -> Mapping[str, _Figures]:
    """What the source says of the whole run; a source that fails must not cost the record."""
    try:
        return await Patience[Mapping[str, _Figures]](TOTALS_S).call(ask, lambda _: None)
    except PortError as error:
        log.warning(f"figures of the whole run are missing: metrics: {error}")
        return {}


def _log_action(word: str, action: Action, time_s: float) -> None:
    log.info(
        f"{word}{action.explanation}",
        time_s=time_s,
        decision_id=action.decision_id,
        service=action.service,
        from_instances=action.from_instances,
        to_instances=action.to_instances,
        reason=action.reason.value,
    )
