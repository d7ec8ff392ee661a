"""The port of people: what they ask of an engine, through whatever they ask it.

It is one half of the store; `engine.ports.store` is the other, which only the leader writes to.
The command line and the API ask through here, also while no engine leads: what is asked for stands
until the engine has seen it.  Everything in it blocks: a command ends at once, and a server calls
it in a thread.  What is asked for is checked here, the same for each way of asking.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from engine.config.recurrence import Recurrence
from engine.config.standing import ends_s
from engine.model import (
    AlertAnswer,
    Approval,
    ManualFloor,
    ManualScale,
    MonitoringSession,
    Occasion,
    Pause,
)
from engine.ports.lease import Fence
from engine.ports.store import HistoryRow, RowKind

Kind = Literal["floor", "pause", "scale", "alert", "monitor", "occasion"]
"""Of a standing request."""

Request = ManualFloor | Pause | ManualScale | AlertAnswer | MonitoringSession | Occasion
"""What may stand; a schedule is for floors and pauses."""

EVERYTHING = "all-services"
"""What a request is about that names no service."""


class RequestError(ValueError):
    """A request that cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was asked for; with a schedule it holds whenever that says so."""

    request: Request
    schedule: Recurrence | None

    def at(self, now_s: float) -> Request | None:
        """The request until it next ends, if it holds at `now_s` (epoch seconds)."""
        until_s = min(ends_s(self.schedule, now_s), self.request.expires_s)
        return replace(self.request, expires_s=until_s) if now_s < until_s else None


@dataclass(frozen=True, slots=True)
class SoFar:
    """Who has approved something so far, and who has refused it, "" if nobody has."""

    approved_by: tuple[str, ...] = ()
    rejected_by: str = ""


@dataclass(frozen=True, slots=True)
class KeptRow:
    """A row of the history; `position` only grows, and `fence` is the lead's that wrote it.

    What people wrote has the fence 0.
    """

    position: int
    fence: Fence
    row: HistoryRow


class Desk(Protocol):
    """Takes what people ask for, and shows what became of it.

    Each method raises OSError if the store cannot be reached, read or written.  Whatever changes
    something takes `audit`, the row that the audit log is to have of it ("": none): it is staged in
    the same transaction.
    """

    def ask(self, request: Request, schedule: Recurrence | None = None, *, audit: str = "") -> str:
        """Let `request` stand, for good, in place of the earlier one of the same id.

        Returns its id, which is `request_id`'s.  A ManualScale is in the history as well, under its
        own id.  Raises RequestError for a name that no service can have, and for a ManualScale
        whose id another one has.
        """
        ...

    def ask_together(self, asked: Sequence[tuple[Asked, str]]) -> list[str]:
        """Let all of them stand or none, each with its row of the audit log; as `ask`."""
        ...

    def withdraw(self, kind: Kind, service: str, *, audit: str = "") -> bool:
        """Take all requests `kind` for `service` ("": for all) back; whether there was one."""
        ...

    def answer(
        self,
        approval: Approval,
        *,
        seen: SoFar | None = None,
        complete: bool = True,
        audit: str = "",
    ) -> None:
        """Answer an action that waits for approval, and remember who has said so.

        Where it is not `complete`, somebody else has to approve as well, and the engine is told
        nothing yet.  Raises RequestError for what is no decision's id, for a yes to what was
        refused, and where something else was said so far than whoever answers had `seen`.
        """
        ...

    def so_far(self, decision_id: str) -> SoFar:
        """Who has said what of an action; nothing a week after the last has spoken."""
        ...

    def asked(self) -> tuple[list[Asked], list[str]]:
        """All that stands, whether it holds now or not, and what cannot be read of it."""
        ...

    def status(self) -> str:
        """What the engine that stepped last showed of itself (JSON), "" before any has."""
        ...

    def memory(self) -> str:
        """What the leader remembered last, "" without any."""
        ...

    def history(
        self, after: int = 0, limit: int = 100, kinds: Collection[RowKind] = ()
    ) -> list[KeptRow]:
        """The first `limit` rows beyond the position `after`, rising; of some `kinds` or all."""
        ...

    def history_back(
        self, below: int | None = None, limit: int = 100, kinds: Collection[RowKind] = ()
    ) -> list[KeptRow]:
        """The last `limit` rows below the position `below` (None: the end), falling."""
        ...

    def row(self, kind: RowKind, id: str) -> KeptRow | None:  # noqa: A002 (a row's word)
        """The row with this key, if there is one."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def request_id(request: Request, schedule: Recurrence | None = None) -> str:
    """What `request` is stored under: one of a kind and service, and one more for each schedule.

    Raises RequestError for a name that no service can have.
    """
    check_service(request.service)
    kind = kind_of(request)
    at = ""
    if isinstance(request, AlertAnswer | MonitoringSession | Occasion):
        at = "@" + hashlib.sha256(request.id.encode()).hexdigest()[:16]
    if schedule is not None:
        when = f"{schedule.cron} {schedule.time_zone}".encode()
        at = "@" + hashlib.sha256(when).hexdigest()[:8]
    return f"{kind}-{request.service or EVERYTHING}{at}"


def kind_of(request: Request) -> Kind:
    """What sort of request it is."""
    match request:
        case ManualFloor():
            return "floor"
        case ManualScale():
            return "scale"
        case AlertAnswer():
            return "alert"
        case MonitoringSession():
            return "monitor"
        case Occasion():
            return "occasion"
        case Pause():
            return "pause"


def check_service(name: str) -> None:
    """Raises RequestError for what cannot be a service's name; "" stands for all of them."""
    if name and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise RequestError(f'"{name}" is not a name of a service')


def check_decision(decision_id: str) -> None:
    """Raises RequestError for what cannot be a decision's id."""
    if not re.fullmatch(r"[\w.-]+", decision_id):
        raise RequestError(f'"{decision_id}" is no decision\'s id')
