"""What every handler needs, and the one way in which something is changed.

A change is allowed or refused by the table of `engine.security.roles`, and is made at the desk, as
on the command line, with its row of the audit log in the same transaction.  There is no other way.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TypeVar

import structlog

from engine.adapters.store.aside import Aside
from engine.api.board import Board
from engine.api.idempotency import Replies
from engine.api.overview import MajorNeeds
from engine.api.predictions import Predictor
from engine.api.problems import Problem, ProblemError
from engine.api.rates import Rates
from engine.api.receiving import KeptSamples, Receiving
from engine.api.records import Records
from engine.api.snapshot import ServiceLook, StepLook
from engine.api.what_if import Trials
from engine.config.api import ApiConfig, RateLimit
from engine.model import ManualScale
from engine.ports.cabinet import CabinetError
from engine.ports.desk import Desk, RequestError
from engine.security.audit.courier import Courier
from engine.security.audit.log import AuditLog
from engine.security.audit.noting import new_id, staged
from engine.security.audit.rows import AuditEntry, Value
from engine.security.break_glass import BreakGlass
from engine.security.four_eyes import Approvals
from engine.security.identity import Identity
from engine.security.roles import Permission, Principal, Situation, refusal, visible

LOGIN_S, MOST_LOGINS = 3600.0, 10_000
"""How long a login holds in the audit log, and how many are remembered."""

FAILURES = RateLimit(per_s=1.0, burst=30)
"""Of an address to show who asks: each one that fails is written down."""

NOT_LEADING = "it does not lead; GET troubles says why"

_Result = TypeVar("_Result")

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class NotedChange:
    """What somebody changes, as the audit log has it: his permission for it, where, and why."""

    permission: Permission
    service: str
    why: str
    before: Mapping[str, Value] = field(default_factory=dict)
    after: Mapping[str, Value] = field(default_factory=dict)


@dataclass(slots=True)
class ApiContext:
    """Everything that handlers use.

    `clock_s` is the engine's time, `wall_s` that of tokens and the audit log (both epoch seconds).
    """

    board: Board
    desk: Desk
    approvals: Approvals
    """Who has said what so far of what waits for two people."""
    audit: AuditLog
    courier: Courier
    """Carries into the audit log what the desk has staged."""
    identity: Identity
    predictor: Predictor
    trials: Trials
    """Tries the hours to come out."""
    config: ApiConfig
    emergency: BreakGlass
    """The book of emergency access."""
    acts: bool
    bootstrap: Callable[[float], str]
    """Makes a first token at a time (epoch seconds); "" if one is there or none may be made."""
    clock_s: Callable[[], float] = time.time
    wall_s: Callable[[], float] = time.time
    aside: Aside | None = None
    """Takes what emergency access asks for while the store takes nothing; None: nothing does."""
    records: Records | None = None
    """The run records of the output folder; None: there are none to be shown."""
    draining: bool = False
    """Whether it is about to stop: no connection is kept open any more."""
    receiving: Receiving | None = None
    """What takes samples in; None: nothing does."""
    kept: KeptSamples | None = None
    """What keeps samples; None: nothing does."""
    streams: int = 0
    """Clients of the event stream now."""
    majors: MajorNeeds = field(default_factory=MajorNeeds)
    replies: Replies = field(init=False)
    reads: Rates = field(init=False)
    writes: Rates = field(init=False)
    predictions: Rates = field(init=False)
    failures: Rates = field(init=False)
    _came_in_s: dict[tuple[str, str, str], float] = field(default_factory=dict)
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        limits = self.config.limits
        self.replies = Replies(self.wall_s)
        self.reads = Rates(limits.reads, time.monotonic)
        self.writes = Rates(limits.writes, time.monotonic)
        self.predictions = Rates(limits.predictions, time.monotonic)
        self.failures = Rates(FAILURES, time.monotonic)

    # --- looking

    def look(self) -> StepLook:
        """The newest step's; raises the problem that there was none yet."""
        look = self.board.look
        if look is None:
            why = "" if self.board.leads else f", as {NOT_LEADING}"
            raise ProblemError(
                Problem.NOT_READY, f"the engine has made no step yet{why}",
                headers={"retry-after": "5"},
            )  # fmt: skip
        return look

    def visible(self, principal: Principal) -> tuple[str, ...]:
        """The services that `principal` may be shown."""
        return visible(principal, tuple(self.board.specs))

    def service(self, principal: Principal, name: str) -> ServiceLook:
        """A service that `principal` may see; for all others there is no such thing."""
        look = self.look()
        if name not in self.visible(principal) or name not in look.services:
            raise ProblemError(Problem.NOT_THERE, f'there is no service "{name}"')
        return look.services[name]

    # --- who may

    def situation(self, service: str) -> Situation:
        """How it stands with `service` ("": the platform)."""
        spec = self.board.specs.get(service)
        return Situation(
            state=self.board.state(service), stateful=spec is not None and spec.stateful
        )

    async def check(
        self,
        principal: Principal,
        permission: Permission,
        service: str,
        situation: Situation | None = None,
        *,
        why: str = "",
    ) -> None:
        """Raises the problem that `principal` may not, after it was written down."""
        against = refusal(
            principal,
            permission,
            service,
            situation or self.situation(service),
            now_s=self.wall_s(),
        )
        if not against:
            return
        await self.note(principal.name, permission.value, service, "refused", why=against, after={
            "token": principal.token_id, "asked": why,
        })  # fmt: skip
        raise ProblemError(Problem.FORBIDDEN, against)

    async def came_in(self, principal: Principal) -> None:
        """Write down that somebody has shown who he is: once an hour for all that he asks.

        Who only looks is not kept waiting for a log that cannot be written.
        """
        key, now_s = (principal.name, principal.method, principal.token_id), self.wall_s()
        if now_s - self._came_in_s.get(key, -math.inf) < LOGIN_S:
            return
        if len(self._came_in_s) >= MOST_LOGINS:
            self._came_in_s.clear()
        self._came_in_s[key] = now_s
        with contextlib.suppress(ProblemError):
            await self.note(principal.name, "login", "engine", "accepted", after={
                "method": principal.method.value, "token": principal.token_id,
            })  # fmt: skip

    # --- changing

    async def note(
        self,
        actor: str,
        action: str,
        target: str,
        outcome: str,
        *,
        why: str = "",
        before: Mapping[str, Value] | None = None,
        after: Mapping[str, Value] | None = None,
    ) -> None:
        """Add a row to the audit log; raises the problem that it cannot be written."""
        entry = self._entry(actor, action, target, outcome, why=why, before=before, after=after)
        try:
            await self._in_thread(partial(self.audit.append, entry))
        except (OSError, ValueError) as error:
            log.error(f"the audit log cannot be written: {error}")
            raise ProblemError(
                Problem.STORE, "what is asked for cannot be written down, so it is not done"
            ) from error

    async def change(
        self, principal: Principal, change: NotedChange, write: Callable[[str], _Result]
    ) -> _Result:
        """Make one change; `write` is given its row of the audit log, and stages that as well."""
        return await self.change_together(principal, (change,), lambda rows: write(rows[0]))

    async def change_together(
        self,
        principal: Principal,
        changes: Sequence[NotedChange],
        write: Callable[[Sequence[str]], _Result],
    ) -> _Result:
        """Make all of the changes or none; `write` is given their rows, and stages them as well.

        Raises the problem that they cannot be made, after that was written down.
        """
        rows = [
            staged(replace(self._of_change(principal, change), id=new_id())) for change in changes
        ]
        try:
            result = await self._in_thread(partial(self._written, write, rows))
        except RequestError as error:
            await self._note_each(principal, changes, "refused", str(error))
            raise ProblemError(Problem.CONFLICT, str(error)) from error
        except (OSError, CabinetError) as error:
            await self._note_each(principal, changes, "failed", str(error))
            log.error(f"the store cannot be written: {error}")
            raise ProblemError(
                Problem.STORE, "the store cannot be written", headers={"retry-after": "5"}
            ) from error
        await asyncio.to_thread(self.courier.try_to_carry)
        return result

    def _written(self, write: Callable[[Sequence[str]], _Result], rows: Sequence[str]) -> _Result:
        """Write them, after what was asked for earlier and waits beside the store."""
        if self.aside is not None:
            self.aside.carry(self.desk)
        return write(rows)

    async def set_aside(
        self,
        principal: Principal,
        changes: Sequence[NotedChange],
        scales: Sequence[ManualScale],
    ) -> None:
        """Keep manual actions beside a store that takes nothing, and write them down.

        Raises the problem that they cannot be kept there either.
        """
        assert self.aside is not None
        entries = [replace(self._of_change(principal, one), id=new_id()) for one in changes]
        asked = list(zip(scales, map(staged, entries), strict=True))
        try:
            await asyncio.to_thread(self.aside.add, asked)
        except OSError as error:
            log.error(f"nothing can be kept beside the store either: {error}")
            raise ProblemError(
                Problem.STORE, "the store cannot be written", headers={"retry-after": "5"}
            ) from error
        for entry in entries:
            try:  # under the id that it is carried into the log by once the store is back
                await asyncio.to_thread(self.audit.append, entry)
            except (OSError, ValueError) as error:
                log.error(f"the audit log cannot be written: {error}")

    def _of_change(self, principal: Principal, change: NotedChange) -> AuditEntry:
        said = dict(change.after)
        if principal.token_id:
            said["token"] = principal.token_id
        return self._entry(
            principal.name, change.permission.value, change.service, "accepted", why=change.why,
            before=change.before, after=said,
        )  # fmt: skip

    async def _note_each(
        self, principal: Principal, changes: Sequence[NotedChange], outcome: str, why: str
    ) -> None:
        for change in changes:
            await self.note(
                principal.name, change.permission.value, change.service, outcome, why=why
            )

    def _entry(
        self,
        actor: str,
        action: str,
        target: str,
        outcome: str,
        *,
        why: str,
        before: Mapping[str, Value] | None,
        after: Mapping[str, Value] | None,
    ) -> AuditEntry:
        return AuditEntry(
            at_ms=round(self.wall_s() * 1000.0), actor=actor, action=action,
            target=target or "all-services", outcome=outcome, why=why,
            before=before or {}, after=after or {},
        )  # fmt: skip

    async def read(self, ask: Callable[[], _Result]) -> _Result:
        """What the desk says; raises the problem that it cannot be reached."""
        try:
            return await asyncio.to_thread(ask)
        except (OSError, CabinetError) as error:
            log.error(f"the store cannot be read: {error}")
            raise ProblemError(
                Problem.STORE, "the store cannot be read", headers={"retry-after": "5"}
            ) from error

    async def _in_thread(self, write: Callable[[], _Result]) -> _Result:
        async with self._one_at_a_time:
            return await asyncio.to_thread(write)
