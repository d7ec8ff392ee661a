"""`pause`, `resume`, `floor`, `approve`, `reject`, and how any command asks a running engine.

They write into the store of the engine's state folder and return at once; the engine reads it
before its next step, five seconds later at the most, and also when it is started only then.  What
commands of other modules ask for (incidents, monitoring sessions, occasions) goes the same way.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.adapters import cabinet_files
from engine.adapters.store.sealed import desk_of
from engine.commands.clocks import engine_s
from engine.commands.failing import failed
from engine.config.complaints import close
from engine.config.recurrence import Recurrence
from engine.config.strict import ConfigError, validated
from engine.model import (
    AlertAnswer,
    Approval,
    Direction,
    ManualFloor,
    MonitoringSession,
    Occasion,
    Pause,
)
from engine.monitoring.sessions import said
from engine.ports.desk import (
    EVERYTHING,
    Desk,
    Kind,
    RequestError,
    check_decision,
    check_service,
)
from engine.ports.occasions import said as occasion_said
from engine.security import local
from engine.security.four_eyes import Approvals, question
from engine.security.roles import Permission, Situation, approvals_needed, refusal

if TYPE_CHECKING:
    from engine.client import EngineClient

STATE = Path("state/engine")
ANSWERS = ("approve", "reject")
UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


@dataclass(frozen=True, slots=True)
class _Asked:
    """What somebody asks for: its row in the audit log, and what it takes."""

    action: str
    target: str
    permission: Permission
    service: str
    situation: Situation = field(default_factory=Situation)


def pause(arguments: Sequence[str]) -> int:
    """Hold still: one service or all, in one direction or both, for a time or until `resume`."""
    parser = parser_of("pause", "Let the engine leave a service, or all of them, as they are.")
    _service(parser)
    parser.add_argument("--direction", choices=[d.value for d in Direction], default="all",
                        help="which way not to scale (default: neither)")  # fmt: skip
    parser.add_argument("--pin", type=_count, metavar="N", help="hold the service at N instances")
    _when(parser)
    given = parser.parse_args(arguments)
    schedule = _scheduled(parser, given)
    if given.pin is not None and not given.service:
        parser.error("--pin needs a SERVICE")
    if given.api:
        return ask_remote(
            given, lambda engine: engine.pause(
                given.service, direction=Direction(given.direction), pinned=given.pin,
                for_s=None if schedule else given.duration, schedule=schedule, why=given.why,
            ), f"{given.service or 'all services'}: paused",
        )  # fmt: skip
    if refusal := _refusal(given.state, given.service):
        return failed(refusal)
    now_s = _engine_s(given.state)
    expires_s = math.inf if schedule or given.duration is None else now_s + given.duration
    request = Pause(given.service, Direction(given.direction), expires_s, given.pin)
    what = f"{given.service or 'all services'}: paused"
    after = {"direction": given.direction, "pinned": given.pin}
    return _ask(given, request, what, schedule, after)


def resume(arguments: Sequence[str]) -> int:
    """Take a pause back."""
    parser = parser_of("resume", "Take back a pause of a service, or the one of all services.")
    _service(parser)
    given = parser.parse_args(arguments)
    if given.api:
        return ask_remote(
            given, lambda engine: engine.resume(given.service, why=given.why),
            f"{given.service or 'all services'}: the pause is taken back",
        )  # fmt: skip
    return _withdraw(given, "resume", "pause")


def floor(arguments: Sequence[str]) -> int:
    """Keep at least so many instances of a service."""
    parser = parser_of("floor", "Keep at least N instances of a service; N = 0 takes it back.")
    parser.add_argument("service", metavar="SERVICE")
    parser.add_argument("instances", metavar="N", type=_count)
    parser.add_argument("--wedding", metavar="ID",
                        help="on whose behalf; it is written down under a pseudonym, and can be "
                             "erased (python -m engine privacy)")  # fmt: skip
    _when(parser)
    given = parser.parse_args(arguments)
    schedule = _scheduled(parser, given)
    if given.instances == 0:
        if schedule is not None:
            parser.error("N = 0 takes all floors of the service back, it has no --cron")
        if given.api:
            return ask_remote(
                given, lambda engine: engine.drop_floor(given.service, why=given.why),
                f"{given.service}: the floor is taken back",
            )  # fmt: skip
        return _withdraw(given, "floor", "floor")
    if given.api:
        if given.wedding is not None:
            parser.error("--wedding is for the engine's own machine, not with --api")
        return ask_remote(
            given, lambda engine: engine.keep_floor(
                given.service, given.instances, for_s=None if schedule else given.duration,
                schedule=schedule, why=given.why,
            ), f"{given.service}: at least {given.instances} instances",
        )  # fmt: skip
    if refusal := _refusal(given.state, given.service):
        return failed(refusal)
    now_s = _engine_s(given.state)
    expires_s = math.inf if schedule or given.duration is None else now_s + given.duration
    who = local.principal(given.state).name
    request = ManualFloor(given.service, given.instances, expires_s, requested_by=who)
    what = f"{given.service}: at least {given.instances} instances"
    try:
        behalf = _on_behalf(given, request)
    except (OSError, ValueError) as error:
        return failed(error)
    return _ask(given, request, what, schedule, {"instances": given.instances, **behalf})


def _on_behalf(given: argparse.Namespace, request: ManualFloor) -> dict[str, Any]:
    """What the audit log holds of the wedding that it is for, sealed; raises OSError, ValueError.

    Nothing is held on it for somebody who may not ask.
    """
    who = local.principal(given.state)
    if given.wedding is None or refusal(
        who, Permission.FLOOR, request.service, Situation(), time.time()
    ):
        return {}
    from engine.security.weddings import Held, WeddingRegister

    until = None if math.isinf(request.expires_s) else request.expires_s
    name, sealed = WeddingRegister(cabinet_files.opened(given.state)).keep(
        given.wedding, Held.REQUEST,
        {"service": request.service, "instances": request.instances, "until_s": until},
        purpose="capacity stands ready for its guests", now_s=time.time(),
    )  # fmt: skip
    return {"wedding": name, "held": Held.REQUEST.value, "sealed": sealed}


def approve(arguments: Sequence[str]) -> int:
    """Let an action pass that waits for approval."""
    purpose = "Let an action pass that waits for approval."
    return _answer("approve", purpose, arguments, approved=True)


def reject(arguments: Sequence[str]) -> int:
    """Refuse an action that waits for approval."""
    purpose = "Refuse an action that waits for approval."
    return _answer("reject", purpose, arguments, approved=False)


def _answer(name: str, purpose: str, arguments: Sequence[str], *, approved: bool) -> int:
    parser = parser_of(name, purpose)
    parser.add_argument("decision", metavar="DECISION", help="its id, as the engine's log says it")
    given = parser.parse_args(arguments)
    if given.api:
        return ask_remote(
            given, lambda engine: (
                engine.approve(given.decision, why=given.why) if approved
                else engine.reject(given.decision, given.why)
            ), f"{given.decision}: {'approved' if approved else 'rejected'}",
        )  # fmt: skip
    who = local.principal(given.state)
    permission = Permission.APPROVE if approved else Permission.REJECT
    try:
        check_decision(given.decision)
        approvals = Approvals(cabinet_files.opened(given.state))
        with closing(desk_of(given.state)) as desk:
            service, situation = question(desk, given.decision, approvals.so_far(given.decision))
    except (OSError, ValueError) as error:
        return failed(error)
    left = approvals_needed(situation) - len(situation.approved_by) - 1 if approved else 0

    def give(desk: Desk, audit: str) -> None:
        approvals.add(given.decision, who.name, approved=approved, now_s=time.time())
        if left > 0:
            _say(f"{given.decision}: takes instances away on the day of a wedding, "
                 "so somebody else has to approve it as well")  # fmt: skip
            return
        answer = Approval(given.decision, approved, _engine_s(given.state), who.name)
        desk.answer(answer, audit=audit)
        _say(f"{given.decision}: {'approved' if approved else 'rejected'}")

    asked = _Asked(name, given.decision, permission, service, situation)
    return _done(given, asked, {}, give, "", stages=left <= 0)


def _refusal(state: Path, service: str) -> str:
    """Why nothing can be asked for `service`, empty if something can.

    The services are those of the engine that stepped last with this state folder.  Before any has,
    nobody can say which there are: the request is kept, and what was not checked is said.
    """
    if not service:
        return ""
    try:
        with closing(desk_of(state)) as desk:
            status = desk.status()
        services = list(json.loads(status)["services"]) if status else None
    except (OSError, ValueError, KeyError, TypeError) as error:
        _say(f"the status of {state} cannot be read ({error}), so {service} is not checked")
        return ""
    if services is None:
        _say(f"no engine has stepped in {state} yet, so nobody knows whether there is a {service}")
        return ""
    if service in services:
        return ""
    return f'SERVICE: "{service}" is not allowed ({", ".join(services)}){close(service, services)}'


def _ask(
    given: argparse.Namespace,
    request: ManualFloor | Pause,
    what: str,
    schedule: Recurrence | None,
    after: dict[str, Any],
) -> int:
    if schedule is not None:
        next_s = schedule.after(_engine_s(given.state), 1)[0]
        until = f"at {schedule}; next {schedule.local(next_s)}"
    elif math.isinf(request.expires_s):
        until = "until it is taken back"
    else:
        expires = dt.datetime.fromtimestamp(request.expires_s, dt.UTC)
        until = f"until {expires:%Y-%m-%d %H:%M:%S} UTC"
    is_floor = isinstance(request, ManualFloor)
    permission = Permission.FLOOR if is_floor else Permission.PAUSE
    asked = _Asked(permission.value, request.service, permission, request.service)
    return _done(
        given, asked, {**after, "until": until},
        lambda desk, audit: desk.ask(request, schedule, audit=audit), f"{what} {until}",
    )  # fmt: skip


def answer_incident(
    given: argparse.Namespace, answer: AlertAnswer, permission: Permission, said: str
) -> int:
    """Say something of an incident; returns the exit code."""
    asked = _Asked(permission.value, answer.service, permission, answer.service)
    after = {"incident": answer.incident}

    def write(desk: Desk, audit: str) -> None:
        desk.ask(answer, audit=audit)

    return _done(given, asked, after, write, said)


def ask_session(
    given: argparse.Namespace, session: MonitoringSession, permission: Permission, what: str
) -> int:
    """Let a monitoring session stand, begun or ended; returns the exit code."""
    asked = _Asked(permission.value, session.service, permission, session.service)

    def write(desk: Desk, audit: str) -> None:
        desk.ask(session, audit=audit)

    return _done(given, asked, said(session), write, what)


def ask_occasion(
    given: argparse.Namespace,
    occasion: Occasion,
    permission: Permission,
    what: str,
    situation: Situation,
) -> int:
    """Let an occasion stand, proposed, approved or taken back; returns the exit code.

    Who asks may do so for each of its services.
    """
    who = local.principal(given.state)
    for name in occasion.services[1:]:
        if reason := refusal(who, permission, name, situation, time.time()):
            return failed(reason)
    service = occasion.services[0]
    asked = _Asked(f"{permission.value}_occasion", service, permission, service, situation)

    def write(desk: Desk, audit: str) -> None:
        desk.ask(occasion, audit=audit)

    return _done(given, asked, occasion_said(occasion), write, what)


def local_name(state: Path) -> str:
    """Who runs this process."""
    return local.principal(state).name


def _withdraw(given: argparse.Namespace, action: str, kind: Kind) -> int:
    name = given.service or "all services"

    def withdraw(desk: Desk, audit: str) -> None:
        there = desk.withdraw(kind, given.service, audit=audit)
        _say(f"{name}: the {kind} is taken back" if there else f"{name}: there is no {kind}")

    permission = Permission.DROP_FLOOR if kind == "floor" else Permission.RESUME
    asked = _Asked(action, given.service, permission, given.service)
    return _done(given, asked, {"withdrawn": True}, withdraw, "")


def _done(
    given: argparse.Namespace,
    asked: _Asked,
    after: Mapping[str, Any],
    write: Callable[[Desk, str], str | None],
    what: str,
    *,
    stages: bool = True,
) -> int:
    """Ask, and stage in the same transaction what the audit log is to have of it.

    Where `write` stages nothing, the log has it before.  A refusal is in the log too: who may not
    has no way around the table of roles here either.
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
        against = refusal(who, asked.permission, asked.service, asked.situation, time.time())
        if against:
            audit.append(entry("refused", against))
            raise RequestError(against)
        accepted = entry("accepted", given.why, new_id() if stages else "")
        if not stages:
            audit.append(accepted)
        try:
            with closing(desk_of(given.state)) as desk:
                request_id = write(desk, staged(accepted) if stages else "")
                try:
                    Courier(desk, audit).carry()
                except (OSError, ValueError) as error:
                    _say(f"its row of the audit log waits in the store: {error}")
        except (RequestError, OSError) as error:
            audit.append(entry("refused", str(error)))
            raise
    except (ValueError, OSError) as error:
        return failed(error)
    if what:
        _say(what)
    if request_id is not None:
        print(request_id)
    return 0


def ask_remote(given: argparse.Namespace, ask: Callable[[EngineClient], object], said: str) -> int:
    """Ask the engine that `--api` names, and print what is said of it ("": nothing)."""
    from engine.commands import remote

    return remote.done(given, ask, said)


def _say(text: str) -> None:
    print(text, file=sys.stderr)


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


def _service(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("service", metavar="SERVICE", nargs="?", default="",
                        help="without it: all services")  # fmt: skip


def _when(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--for", dest="duration", type=duration, metavar="TIME",
                        help="how long: 90s, 30m, 2h (default: until taken back)")  # fmt: skip
    parser.add_argument("--cron", metavar="EXPRESSION",
                        help='again and again from then on, such as "0 8 * * MON-FRI"; '
                             "--for says how long each time")  # fmt: skip
    parser.add_argument("--time-zone", metavar="ZONE",
                        help="of --cron, such as Europe/Rome (default: UTC)")  # fmt: skip


def _scheduled(parser: argparse.ArgumentParser, given: argparse.Namespace) -> Recurrence | None:
    """The schedule that --cron, --time-zone and --for say, if any; ends the program on nonsense."""
    if given.cron is None:
        if given.time_zone is not None:
            parser.error("--time-zone needs --cron")
        return None
    if given.duration is None:
        parser.error("--cron needs --for, how long each time")
    zone = "UTC" if given.time_zone is None else given.time_zone
    schedule = {"cron": given.cron, "time_zone": zone, "duration_s": given.duration}
    try:
        return validated(Recurrence, schedule)
    except ConfigError as error:
        # The keys of the configuration as they are written here.
        options = {"cron": "--cron", "time_zone": "--time-zone", "duration_s": "--for"}
        lines = [line.partition(": ") for line in str(error).splitlines()]
        parser.error("; ".join(f"{options[key]}: {reason}" for key, _, reason in lines))


def _engine_s(state: Path) -> float:
    """The time (epoch seconds) of the engine that stepped last with this state folder."""
    try:
        with closing(desk_of(state)) as desk:
            status = json.loads(desk.status() or "{}")
    except (OSError, ValueError):
        return time.time()  # whoever asks is told below that it cannot be read
    return engine_s(status if isinstance(status, dict) else {}, time.time())


def duration(text: str) -> float:
    """Seconds of an argument such as 30m; raises ArgumentTypeError."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smhd]?)", text)
    if match is None or float(match[1]) <= 0.0:
        raise argparse.ArgumentTypeError(f'"{text}" is not allowed (such as 90s, 30m, 2h, 1d)')
    return float(match[1]) * UNITS[match[2]]


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,8}", text):
        raise argparse.ArgumentTypeError(f'"{text}" is not allowed (a whole number from 0 on)')
    return int(text)


def folder(text: str) -> Path:
    """A folder, perhaps one to be made; raises ArgumentTypeError."""
    path = Path(text)
    if path.exists() and not path.is_dir():
        raise argparse.ArgumentTypeError(f'"{text}" is not a folder')
    return path
