"""`python -m engine alerts list|ack|escalate`: what is wrong, and who takes it on.

As what people ask otherwise, an answer goes into the store, and the engine takes it in at its next
step; with `--api` an engine elsewhere is asked.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import secrets
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.adapters.store.sealed import desk_of
from engine.commands import asking
from engine.commands.failing import failed
from engine.config.complaints import close
from engine.model import AlertAnswer
from engine.ports.engine_time import engine_s
from engine.security.roles import Permission
from engine.security.sealing import SealError

STANDS_S = 86_400.0
ANSWERS = {"ack": Permission.ACKNOWLEDGE, "escalate": Permission.ESCALATE}


def run(arguments: Sequence[str]) -> int:
    """List incidents and findings, or answer an incident; returns the exit code."""
    parser = asking.parser_of(
        "alerts", "List what the monitor finds wrong, take an incident on, or tell the next people."
    )
    parser.add_argument("what", metavar="list|ack|escalate", nargs="?", default="list",
                        choices=("list", *ANSWERS))  # fmt: skip
    parser.add_argument("incident", metavar="INCIDENT", nargs="?", default="",
                        help="its id, as list shows it")  # fmt: skip
    given = parser.parse_args(arguments)
    if given.what == "list":
        if given.incident:
            parser.error("list takes no INCIDENT")
        return _list(given)
    if not given.incident:
        parser.error(f"{given.what} needs an INCIDENT, as list shows it")
    return _answer(given)


def _list(given: argparse.Namespace) -> int:
    if given.api:
        from engine.client import EngineClient

        shown: dict[str, Any] = {}

        def ask(engine: EngineClient) -> None:
            shown["alerts"] = engine.alerts().model_dump()["items"]
            shown["findings"] = engine.findings().model_dump()["items"]

        code = asking.ask_remote(given, ask, "")
        if code == 0:
            _print(shown)
        return code
    try:
        _print(monitor_of(given.state))
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    return 0


def _answer(given: argparse.Namespace) -> int:
    escalates = given.what == "escalate"
    said = f"{given.incident}: {'the next people are told' if escalates else 'acknowledged'}"
    if given.api:
        return asking.ask_remote(
            given,
            lambda engine: (engine.escalate if escalates else engine.acknowledge)(
                given.incident, why=given.why
            ),
            said,
        )
    try:
        monitor = monitor_of(given.state)
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    own = next((one for one in monitor["alerts"] if one["id"] == given.incident), None)
    if own is None:
        names = [str(one["id"]) for one in monitor["alerts"]]
        allowed = ", ".join(names) or "there is none"
        return failed(
            f'INCIDENT: "{given.incident}" is not allowed ({allowed}){close(given.incident, names)}'
        )
    answer = AlertAnswer(
        id=secrets.token_hex(8),
        service=str(own["service"]),
        incident=given.incident,
        escalates=escalates,
        # An engine that lives through another day has its own time.
        expires_s=max(time.time(), float(monitor["time_s"])) + STANDS_S,
        requested_by=asking.local_name(given.state),
        why=given.why,
    )
    return asking.answer_incident(given, answer, ANSWERS[given.what], said)


def monitor_of(state: Path) -> dict[str, Any]:
    """What the engine of the state folder showed last; raises ValueError, OSError, SealError."""
    if not state.is_dir():
        raise ValueError(f"{state} is not a folder of an engine's state")
    with closing(desk_of(state)) as desk:
        status = json.loads(desk.status() or "{}")
    monitor = status.get("monitor")
    if monitor is None:
        raise ValueError(f"the engine of {state} runs without the monitor, or has not stepped yet")
    return {**monitor, "time_s": status["time_s"], "now_s": engine_s(status, time.time())}


def _print(monitor: Mapping[str, Any]) -> None:
    for one in monitor["alerts"]:
        by = one["acknowledged_by"]
        state = f"acknowledged by {by}" if by else f"told up to level {one['level']}"
        if not one["level"]:
            state = "not told yet"
        print(f"{one['id']}: {one['severity']}, since {_time(one['opened_s'])}, {state}")
        for words in one["words"]:
            print(f"    {words}")
    if not monitor["alerts"]:
        print("no incident")
    for one in monitor["findings"]:
        cause = one["causes"][0]["words"] if one["causes"] else ""
        print(
            f"  {one['service']}: {one['severity']} {one['kind']}, since {_time(one['since_s'])}"
            + (f" ({cause})" if cause else "")
        )


def _time(time_s: float | None) -> str:
    if time_s is None or not math.isfinite(time_s):
        return "?"
    return f"{dt.datetime.fromtimestamp(time_s, dt.UTC):%Y-%m-%d %H:%M:%S} UTC"
