"""How any command asks a running engine, and what all that ask take on their command line.

They write into the store of the engine's state folder and return at once; the engine reads it
before its next step, five seconds later at the most, and also when it is started only then.  What
is asked for and its row of the audit log are one transaction.  With `--api` an engine elsewhere is
asked (`engine.commands.remote`).
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.adapters.store.sealed import desk_of
from engine.commands.failing import failed
from engine.model import AlertAnswer, MonitoringSession, Occasion
from engine.monitoring.sessions import said as session_said
from engine.ports.desk import EVERYTHING, Desk, RequestError, check_decision, check_service
from engine.ports.engine_time import engine_s
from engine.ports.occasions import said as occasion_said
from engine.security import local
from engine.security.roles import Permission, Situation, refusal

if TYPE_CHECKING:
    from engine.client import EngineClient

STATE = Path("state/engine")
ANSWERS = ("approve", "reject")
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What somebody asks for: its row in the audit log, and what it takes."""

    action: str
    target: str
    permission: Permission
    service: str
    situation: Situation = field(default_factory=Situation)


def ask(
    given: argparse.Namespace,
    asked: CommandRequest,
    after: Mapping[str, Any],
    write: Callable[[Desk, str], str | None],
    *,
    what: str,
) -> int:
    """Ask, and stage in the same transaction what the audit log is to have of it.

    A refusal is in the log too: who may not has no way around the table of roles here either.
    """
    from engine.adapters.audit_place import audit_of
    from engine.security.audit.courier import Courier
    from engine.security.audit.noting import new_id, staged
    from engine.security.audit.rows import AuditEntry

    who = local.principal(given.state)

    def entry(outcome: str, why: str, row_id: str = "") -> AuditEntry:
        return AuditEntry(
            at_ms=round(time.time() * 1000.0), actor=who.name, action=asked.action,
            target=asked.target or EVERYTHING, outcome=outcome, why=why, after=after, id=row_id,
        )  # fmt: skip

    try:
        # What cannot be meant is no request, and leaves nothing behind.
        check = check_decision if asked.action in ANSWERS else check_service
        check(asked.target)
        audit = audit_of(given.state)
        against = refusal(who, asked.permission, asked.service, asked.situation, now_s=time.time())
        if against:
            audit.append(entry("refused", against))
            raise RequestError(against)
        accepted = entry("accepted", given.why, new_id())
        try:
            with closing(desk_of(given.state)) as desk:
                request_id = write(desk, staged(accepted))
                try:
                    Courier(desk, audit).carry()
                except (OSError, ValueError) as error:
                    say(f"its row of the audit log waits in the store: {error}")
        except (RequestError, OSError) as error:
            audit.append(entry("refused", str(error)))
            raise
    except (ValueError, OSError) as error:
        return failed(error)
    if what:
        say(what)
    if request_id is not None:
        print(request_id)
    return 0


def answer_incident(
    given: argparse.Namespace, answer: AlertAnswer, permission: Permission, said: str
) -> int:
    """Say something of an incident; returns the exit code."""
    asked = CommandRequest(permission.value, answer.service, permission, answer.service)
    after = {"incident": answer.incident}

    def write(desk: Desk, audit: str) -> None:
        desk.ask(answer, audit=audit)

    return ask(given, asked, after, write, what=said)


def ask_session(
    given: argparse.Namespace, session: MonitoringSession, permission: Permission, what: str
) -> int:
    """Let a monitoring session stand, begun or ended; returns the exit code."""
    asked = CommandRequest(permission.value, session.service, permission, session.service)

    def write(desk: Desk, audit: str) -> None:
        desk.ask(session, audit=audit)

    return ask(given, asked, session_said(session), write, what=what)


def ask_occasion(
    given: argparse.Namespace,
    occasion: Occasion,
    permission: Permission,
    what: str,
    *,
    situation: Situation,
) -> int:
    """Let an occasion stand, proposed, approved or taken back; returns the exit code.

    Who asks may do so for each of its services.
    """
    who = local.principal(given.state)
    for name in occasion.services[1:]:
        if reason := refusal(who, permission, name, situation, now_s=time.time()):
            return failed(reason)
    service = occasion.services[0]
    asked = CommandRequest(f"{permission.value}_occasion", service, permission, service, situation)

    def write(desk: Desk, audit: str) -> None:
        desk.ask(occasion, audit=audit)

    return ask(given, asked, occasion_said(occasion), write, what=what)


def ask_remote(
    given: argparse.Namespace, request: Callable[[EngineClient], object], said: str
) -> int:
    """Ask the engine that `--api` names, and print what is said of it ("": nothing)."""
    from engine.commands import remote

    return remote.done(given, request, said)


def local_name(state: Path) -> str:
    """Who runs this process."""
    return local.principal(state).name


def say(text: str) -> None:
    """What people are told beside the answer: on stderr."""
    print(text, file=sys.stderr)


def engine_now_s(state: Path) -> float:
    """The time (epoch seconds) of the engine that stepped last with this state folder."""
    try:
        with closing(desk_of(state)) as desk:
            status = json.loads(desk.status() or "{}")
    except (OSError, ValueError):
        return time.time()  # whoever asks is told below that it cannot be read
    return engine_s(status if isinstance(status, dict) else {}, time.time())


def parser_of(name: str, purpose: str) -> argparse.ArgumentParser:
    """With what all requests take."""
    parser = argparse.ArgumentParser(
        prog=f"python -m engine {name}", description=purpose, allow_abbrev=False
    )
    parser.add_argument("--state", type=folder, default=STATE, metavar="DIR",
                        help=f"the engine's state folder (default: {STATE})")  # fmt: skip
    parser.add_argument("--why", default="", metavar="TEXT", help="a reason, for the audit log")
    parser.add_argument("--api", default="", metavar="URL",
                        help="ask the engine there, with the token in WEDTWIN_TOKEN")  # fmt: skip
    parser.add_argument("--token-file", type=Path, metavar="FILE", help="with the token for --api")
    parser.add_argument("--ca", type=Path, metavar="FILE",
                        help="certificates that --api is trusted by")  # fmt: skip
    return parser


def duration(text: str) -> float:
    """Seconds of an argument such as 30m; raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None or float(match[1]) <= 0.0:
        raise argparse.ArgumentTypeError(f'"{text}" is not allowed (such as 90s, 30m, 2h, 1d)')
    return float(match[1]) * UNITS[match[2]]


def folder(text: str) -> Path:
    """A folder, perhaps one to be made; raises ArgumentTypeError."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f'"{text}" is not a folder')
    return path
