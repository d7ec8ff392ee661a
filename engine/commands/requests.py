"""`pause`, `resume`, `floor`, `approve`, `reject`: what people ask of a running engine."""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import re
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.adapters import cabinet_files
from engine.adapters.store.sealed import desk_of
from engine.commands.asking import (
    CommandRequest,
    ask,
    ask_remote,
    duration,
    engine_now_s,
    parser_of,
    say,
)
from engine.commands.failing import failed
from engine.config.complaints import close
from engine.config.recurrence import Recurrence
from engine.config.strict import ConfigError, validated
from engine.model import (
    Approval,
    Direction,
    ManualFloor,
    Pause,
)
from engine.ports.desk import (
    Desk,
    Kind,
    check_decision,
)
from engine.security import local
from engine.security.four_eyes import Approvals, question
from engine.security.roles import Permission, Situation, approvals_needed, refusal


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
    now_s = engine_now_s(given.state)
    expires_s = math.inf if schedule or given.duration is None else now_s + given.duration
    request = Pause(given.service, Direction(given.direction), expires_s, given.pin)
    what = f"{given.service or 'all services'}: paused"
    after = {"direction": given.direction, "pinned": given.pin}
    return _ask(given, request, what, schedule, after=after)


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
    now_s = engine_now_s(given.state)
    expires_s = math.inf if schedule or given.duration is None else now_s + given.duration
    who = local.principal(given.state).name
    request = ManualFloor(given.service, given.instances, expires_s, requested_by=who)
    what = f"{given.service}: at least {given.instances} instances"
    try:
        behalf = _on_behalf(given, request)
    except (OSError, ValueError) as error:
        return failed(error)
    return _ask(given, request, what, schedule, after={"instances": given.instances, **behalf})


def _on_behalf(given: argparse.Namespace, request: ManualFloor) -> dict[str, Any]:
    """What the audit log holds of the wedding that it is for, sealed; raises OSError, ValueError.

    Nothing is held on it for somebody who may not ask.
    """
    who = local.principal(given.state)
    if given.wedding is None or refusal(
        who, Permission.FLOOR, request.service, Situation(), now_s=time.time()
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
        cabinet = cabinet_files.opened(given.state)
        with closing(desk_of(given.state)) as desk:
            so_far = Approvals(desk, cabinet).so_far(given.decision)
            service, situation = question(desk, given.decision, so_far)
    except (OSError, ValueError) as error:
        return failed(error)
    left = approvals_needed(situation) - len(situation.approved_by) - 1 if approved else 0

    def give(desk: Desk, audit: str) -> None:
        answer = Approval(given.decision, approved, engine_now_s(given.state), who.name)
        Approvals(desk, cabinet).give(answer, complete=left <= 0, seen=so_far, audit=audit)
        if left > 0:
            say(f"{given.decision}: takes instances away on the day of a wedding, "
                 "so somebody else has to approve it as well")  # fmt: skip
            return
        say(f"{given.decision}: {'approved' if approved else 'rejected'}")

    asked = CommandRequest(name, given.decision, permission, service, situation)
    return ask(given, asked, {}, give, what="")


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
        say(f"the status of {state} cannot be read ({error}), so {service} is not checked")
        return ""
    if services is None:
        say(f"no engine has stepped in {state} yet, so nobody knows whether there is a {service}")
        return ""
    if service in services:
        return ""
    return f'SERVICE: "{service}" is not allowed ({", ".join(services)}){close(service, services)}'


def _ask(
    given: argparse.Namespace,
    request: ManualFloor | Pause,
    what: str,
    schedule: Recurrence | None,
    *,
    after: dict[str, Any],
) -> int:
    if schedule is not None:
        next_s = schedule.after(engine_now_s(given.state), 1)[0]
        until, words = str(schedule), f"at {schedule}; next {schedule.local(next_s)}"
    else:
        until = "it is taken back"
        if math.isfinite(request.expires_s):
            expires = dt.datetime.fromtimestamp(request.expires_s, dt.UTC)
            until = f"{expires:%Y-%m-%d %H:%M:%S} UTC"
        words = f"until {until}"
    is_floor = isinstance(request, ManualFloor)
    permission = Permission.FLOOR if is_floor else Permission.PAUSE
    asked = CommandRequest(permission.value, request.service, permission, request.service)
    return ask(
        given, asked, {**after, "until": until},
        lambda desk, audit: desk.ask(request, schedule, audit=audit), what=f"{what} {words}",
    )  # fmt: skip


def _withdraw(given: argparse.Namespace, action: str, kind: Kind) -> int:
    name = given.service or "all services"

    def withdraw(desk: Desk, audit: str) -> None:
        there = desk.withdraw(kind, given.service, audit=audit)
        say(f"{name}: the {kind} is taken back" if there else f"{name}: there is no {kind}")

    permission = Permission.DROP_FLOOR if kind == "floor" else Permission.RESUME
    asked = CommandRequest(action, given.service, permission, given.service)
    return ask(given, asked, {"withdrawn": True}, withdraw, what="")


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


def _count(text: str) -> int:
    if not re.fullmatch(r"\d{1,8}", text):
        raise argparse.ArgumentTypeError(f'"{text}" is not allowed (a whole number from 0 on)')
    return int(text)
