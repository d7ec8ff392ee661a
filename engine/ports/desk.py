"""The port of people: what they ask of an engine, through whatever they ask it.

It is one half of the store; `engine.ports.store` is the other, which only the leader writes to.
The command line and the API ask through here, also while no engine leads: what is asked for stands
until the engine has seen it.  Everything in it blocks: a command ends at once, and a server calls
it in a thread.  What is asked for is checked here, the same for each way of asking.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, replace
from typing import Literal, Protocol

from engine.config.recurrence import Recurrence
from engine.config.standing import ends_s
from engine.model import Approval, ManualFloor, Pause

Kind = Literal["floor", "pause"]
"""Of a standing request."""

EVERYTHING = "all-services"
"""What a request is about that names no service."""


class RequestError(ValueError):
    """A request that cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it was asked for; with a schedule it holds whenever that says so."""

    request: ManualFloor | Pause
    schedule: Recurrence | None

    def at(self, now_s: float) -> ManualFloor | Pause | None:
        """The request until it next ends, if it holds at `now_s` (epoch seconds)."""
        until_s = min(ends_s(self.schedule, now_s), self.request.expires_s)
        return replace(self.request, expires_s=until_s) if now_s < until_s else None


class Desk(Protocol):
    """Takes what people ask for.  Each method raises OSError if it cannot be reached or written."""

    def ask(self, request: ManualFloor | Pause, schedule: Recurrence | None = None) -> str:
        """Let `request` stand, for good, in place of the earlier one of the same id.

        Returns its id, which is `request_id`'s.  Raises RequestError for a name that no service
        can have.
        """
        ...

    def withdraw(self, kind: Kind, service: str) -> bool:
        """Take all requests `kind` for `service` ("": for all) back; whether there was one."""
        ...

    def answer(self, approval: Approval) -> None:
        """Answer an action that waits for approval.

        Raises RequestError for what is no decision's id, and for a yes to what was refused.
        """
        ...

    def asked(self) -> tuple[list[Asked], list[str]]:
        """All floors and pauses, whether they hold now or not, and what cannot be read of them."""
        ...

    def status(self) -> str:
        """What the engine that stepped last showed of itself (JSON), "" before any has."""
        ...


def request_id(request: ManualFloor | Pause, schedule: Recurrence | None = None) -> str:
    """What `request` is stored under: one of a kind and service, and one more for each schedule.

    Raises RequestError for a name that no service can have.
    """
    check_service(request.service)
    kind: Kind = "floor" if isinstance(request, ManualFloor) else "pause"
    at = ""
    if schedule is not None:
        when = f"{schedule.cron} {schedule.time_zone}".encode()
        at = "@" + hashlib.sha256(when).hexdigest()[:8]
    return f"{kind}-{request.service or EVERYTHING}{at}"


def check_service(name: str) -> None:
    """Raises RequestError for what cannot be a service's name; "" stands for all of them."""
    if name and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
        raise RequestError(f'"{name}" is not a name of a service')


def check_decision(decision_id: str) -> None:
    """Raises RequestError for what cannot be a decision's id."""
    if not re.fullmatch(r"[\w.-]+", decision_id):
        raise RequestError(f'"{decision_id}" is no decision\'s id')
