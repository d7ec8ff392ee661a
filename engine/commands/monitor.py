"""`python -m engine monitor start|list|end`: what is watched, how often and since when.

As what people ask otherwise, a session goes into the store, and the engine takes it in at its next
step; with `--api` an engine elsewhere is asked.
"""

from __future__ import annotations

import argparse
import datetime as dt
import math
import secrets
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any

from engine.adapters.store.sealed import desk_of
from engine.commands import asking
from engine.commands.alerts import monitor_of
from engine.commands.failing import failed
from engine.config.complaints import close
from engine.model import MonitoringSession
from engine.monitoring.sessions import (
    MOST_SESSIONS,
    SHOWN_S,
    STEP_S,
    ended,
    session_document,
    session_of,
    wrong_with,
)
from engine.security.roles import Permission
from engine.security.sealing import SealError


def run(arguments: Sequence[str]) -> int:
    """Start, list or end monitoring sessions; returns the exit code."""
    parser = asking.parser_of(
        "monitor", "Say what the monitor is to watch and how often, or see what it watches."
    )
    parser.add_argument("what", metavar="start|list|end", nargs="?", default="list",
                        choices=("start", "list", "end"))  # fmt: skip
    parser.add_argument("names", metavar="SERVICE|SESSION", nargs="*",
                        help="for start: none are all; for end: as list shows it")  # fmt: skip
    parser.add_argument("--every", type=asking.duration, metavar="TIME",
                        help="between two looks: 5s, 30s, 10m (default: 5s)")  # fmt: skip
    parser.add_argument("--kinds", metavar="KIND,…",
                        help="of findings: errors,response_time (default: all)")  # fmt: skip
    parser.add_argument("--for", dest="duration", type=asking.duration, metavar="TIME",
                        help="how long: 30m, 2h (default: until it is ended)")  # fmt: skip
    given = parser.parse_args(arguments)
    if given.what != "start":
        for option in ("every", "kinds", "duration"):
            if getattr(given, option) is not None:
                name = "for" if option == "duration" else option
                parser.error(f"--{name} is for start")
    if given.what == "start":
        return _start(given)
    if given.what == "list":
        if given.names:
            parser.error("list takes no name")
        return _list(given)
    if len(given.names) != 1:
        parser.error("end needs one SESSION, as list shows it")
    return _end(given, given.names[0])


def _start(given: argparse.Namespace) -> int:
    services = tuple(dict.fromkeys(given.names))
    every_s = STEP_S if given.every is None else given.every
    kinds = tuple(dict.fromkeys(given.kinds.split(","))) if given.kinds else ()
    if given.api:
        return asking.ask_remote(
            given, lambda engine: print(engine.start_monitoring(
                services, every_s=every_s, kinds=kinds, for_s=given.duration, why=given.why,
            ).id), _begun(services, every_s),
        )  # fmt: skip
    try:
        monitor, there = _sessions(given)
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    now_s = float(monitor["now_s"])
    there_are = [*monitor["services"], *monitor["unwatched"]]
    if what := wrong_with(services, every_s, kinds, there_are):
        return failed(str(what))
    if sum(one.runs(now_s) for one in there.values()) >= MOST_SESSIONS:
        return failed(f"{MOST_SESSIONS} monitoring sessions run; end one first")
    until_s = math.inf if given.duration is None else now_s + given.duration
    session = MonitoringSession(
        f"s-{secrets.token_hex(4)}", services, every_s, kinds, now_s, until_s, until_s + SHOWN_S,
        asking.local_name(given.state), given.why,
    )  # fmt: skip
    code = asking.ask_session(given, session, Permission.WATCH, _begun(services, every_s))
    if code == 0:
        print(session.id)
    return code


def _end(given: argparse.Namespace, name: str) -> int:
    said = f"{name}: ended"
    if given.api:
        return asking.ask_remote(
            given, lambda engine: engine.end_monitoring(name, why=given.why), said
        )
    try:
        monitor, there = _sessions(given)
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    now_s = float(monitor["now_s"])
    names = [one.id for one in there.values() if one.runs(now_s)]
    if name not in names:
        allowed = ", ".join(names) or "none runs"
        return failed(f'SESSION: "{name}" is not allowed ({allowed}){close(name, names)}')
    over = ended(there[name], asking.local_name(given.state), now_s)
    return asking.ask_session(given, over, Permission.END_WATCH, said)


def _list(given: argparse.Namespace) -> int:
    if given.api:
        from engine.client import EngineClient

        shown: dict[str, Any] = {}

        def ask(engine: EngineClient) -> None:
            shown.update(engine.monitoring_sessions().model_dump())

        code = asking.ask_remote(given, ask, "")
        if code == 0:
            _print(shown["items"], shown["unwatched"])
        return code
    try:
        monitor, there = _sessions(given)
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    looks = {one["id"]: one for one in monitor["sessions"]}
    now_s = float(monitor["now_s"])
    items = []
    for session in there.values():
        own = looks.get(session.id, {})
        items.append(session_document(session, now_s) | {"looks": own.get("looks", 0)})
    _print(items, monitor["unwatched"])
    return 0


def _sessions(
    given: argparse.Namespace,
) -> tuple[dict[str, Any], dict[str, MonitoringSession]]:
    """What the monitor showed last, and the sessions by id; raises as `monitor_of`."""
    monitor = monitor_of(given.state)
    with closing(desk_of(given.state)) as desk:
        asked, _ = desk.asked()
    there = {str(one["id"]): session_of(one) for one in monitor["sessions"]}
    there |= {
        one.request.id: one.request for one in asked if isinstance(one.request, MonitoringSession)
    }
    now_s = float(monitor["now_s"])
    return monitor, {name: one for name, one in there.items() if now_s < one.expires_s}


def _print(items: Sequence[Mapping[str, Any]], unwatched: Sequence[str]) -> None:
    for one in items:
        services = ", ".join(one["services"]) or "all services"
        kinds = ", ".join(one["kinds"]) or "all findings"
        until = "" if one["until_s"] is None else f", until {_time(one['until_s'])}"
        by = f" by {one['ended_by']}" if one["ended_by"] else ""
        print(
            f"{one['id']}: {one['status']}{by}, {services} every {one['every_s']:g} s, {kinds}, "
            f"since {_time(one['since_s'])}{until}, {one['looks']} looks, "
            f"asked for by {one['requested_by']}"
        )
    if unwatched:
        print(f"no session watches {', '.join(unwatched)}")


def _begun(services: Sequence[str], every_s: float) -> str:
    return f"{', '.join(services) or 'all services'}: watched every {every_s:g} s"


def _time(time_s: float) -> str:
    return f"{dt.datetime.fromtimestamp(time_s, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
