"""`python -m engine occasion propose|list|approve|drop`: what is in no calendar.

    python -m engine occasion propose "TV spot" api=3 --from 2027-06-19T20:15Z --for 30m
    python -m engine occasion approve o-1a2b3c4d

Somebody proposes, somebody else approves; then the engine expects so many times the usual load, has
the capacity ready as for a major event, and goes back by itself.  With `--api` an engine elsewhere
is asked, which also shows what it would take.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import secrets
import time
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from engine.adapters.store.sealed import desk_of
from engine.commands import asking
from engine.commands.failing import failed
from engine.config.complaints import close
from engine.model import Occasion
from engine.ports.engine_time import engine_s
from engine.ports.occasions import (
    MOST_OCCASIONS,
    SHOWN_S,
    OccasionState,
    approved,
    fault_of,
    state_of,
    taken_back,
)
from engine.security.roles import Permission, Situation
from engine.security.sealing import SealError

VERBS = ("propose", "list", "approve", "drop")


def run(arguments: Sequence[str]) -> int:
    """Propose, list, approve or take back an occasion; returns the exit code."""
    parser = asking.parser_of(
        "occasion", "Say what load is expected that no calendar knows: a launch, a TV spot, a test."
    )
    parser.add_argument("what", metavar="propose|list|approve|drop", nargs="?", default="list",
                        choices=VERBS)  # fmt: skip
    parser.add_argument("words", metavar="NAME SERVICE=TIMES …|ID", nargs="*",
                        help="for propose: what it is called, and how many times the usual load "
                             "comes to which services; else its id, as list shows it")  # fmt: skip
    parser.add_argument("--from", dest="starts_s", type=_moment, metavar="TIME",
                        help="when it begins: 2027-06-19T20:15Z")  # fmt: skip
    parser.add_argument("--for", dest="duration", type=asking.duration, metavar="TIME",
                        help="how long: 30m, 2h")  # fmt: skip
    parser.add_argument("--sure", type=float, metavar="SHARE",
                        help="how sure you are, 0 to 1 (default: 1)")  # fmt: skip
    parser.add_argument("--ramp", type=asking.duration, metavar="TIME",
                        help="in which it rises before it begins (default: 5m)")  # fmt: skip
    given = parser.parse_args(arguments)
    if given.what != "propose":
        for option, name in (("starts_s", "from"), ("duration", "for"), ("sure", "sure"),
                             ("ramp", "ramp")):  # fmt: skip
            if getattr(given, option) is not None:
                parser.error(f"--{name} is for propose")
    if given.what == "list":
        return _list(given)
    if given.what == "propose":
        if not given.words or given.starts_s is None or given.duration is None:
            parser.error("propose needs NAME, SERVICE=TIMES, --from and --for")
        return _propose(given, given.words[0], _times(parser, given.words[1:]))
    if len(given.words) != 1:
        parser.error(f"{given.what} needs one ID, as list shows it")
    return _change(given, given.words[0])


def _moment(text: str) -> float:
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise argparse.ArgumentTypeError(
            f'"{text}" is not allowed (a time with an offset, such as 2027-06-19T20:15Z)'
        )
    return moment.timestamp()


def _times(parser: argparse.ArgumentParser, words: Sequence[str]) -> tuple[tuple[str, float], ...]:
    times: dict[str, float] = {}
    for word in words:
        name, equals, text = word.partition("=")
        try:
            times[name] = float(text)
        except ValueError:
            equals = ""
        if not equals or not name:
            parser.error(f'"{word}" is not allowed (SERVICE=TIMES, such as api=3)')
    return tuple(times.items())


def _propose(given: argparse.Namespace, name: str, times: tuple[tuple[str, float], ...]) -> int:
    sure = 1.0 if given.sure is None else given.sure
    ramp_s = 300.0 if given.ramp is None else given.ramp
    if given.api:
        return asking.ask_remote(
            given, lambda engine: print(engine.propose_occasion(
                name, dict(times), given.starts_s, given.starts_s + given.duration, sure=sure,
                ramp_s=ramp_s, why=given.why,
            ).id), f"{name}: proposed; somebody else approves it",
        )  # fmt: skip
    try:
        status, there = _standing(given)
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    now_s = engine_s(status, time.time())
    ends_s = given.starts_s + given.duration
    occasion = Occasion(
        f"o-{secrets.token_hex(4)}", name, times, given.starts_s, ends_s, sure, ramp_s,
        ends_s + SHOWN_S, asking.local_name(given.state), given.why,
    )  # fmt: skip
    services = list(status.get("services", {})) or None
    if fault := fault_of(occasion, now_s, services):
        return failed(str(fault))
    if sum(now_s < one.ends_s for one in there.values()) >= MOST_OCCASIONS:
        return failed(f"{MOST_OCCASIONS} occasions are to come; drop one first")
    code = asking.ask_occasion(
        given, occasion, Permission.FLOOR, f"{name}: proposed; somebody else approves it",
        situation=Situation(),
    )  # fmt: skip
    if code == 0:
        print(occasion.id)
    return code


def _change(given: argparse.Namespace, name: str) -> int:
    approves = given.what == "approve"
    said = f"{name}: {'approved' if approves else 'taken back'}"
    if given.api:
        return asking.ask_remote(
            given, lambda engine: (
                engine.approve_occasion(name, why=given.why) if approves
                else engine.drop_occasion(name, why=given.why)
            ), said,
        )  # fmt: skip
    try:
        status, there = _standing(given)
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    now_s = engine_s(status, time.time())
    right = {OccasionState.PROPOSED} if approves else {
        OccasionState.PROPOSED, OccasionState.APPROVED, OccasionState.UNDER_WAY,
    }  # fmt: skip
    names = [one.id for one in there.values() if state_of(one, now_s) in right]
    if name not in names:
        allowed = ", ".join(names) or "there is none"
        return failed(f'ID: "{name}" is not allowed ({allowed}){close(name, names)}')
    own, who = there[name], asking.local_name(given.state)
    if approves:
        situation = Situation(asked_by=own.requested_by)
        return asking.ask_occasion(
            given, approved(own, who), Permission.APPROVE, said, situation=situation
        )
    over = taken_back(own, who, now_s)
    return asking.ask_occasion(given, over, Permission.DROP_FLOOR, said, situation=Situation())


def _list(given: argparse.Namespace) -> int:
    if given.api:
        shown: list[dict[str, Any]] = []
        code = asking.ask_remote(
            given, lambda engine: shown.extend(
                one.model_dump() for one in engine.occasions().items
            ), "",
        )  # fmt: skip
        for one in shown:
            print(_line(one["id"], one["name"], one["times"], one["starts_s"], state=one["status"]))
        return code
    try:
        status, there = _standing(given)
    except (OSError, ValueError, SealError) as error:
        return failed(error)
    now_s = engine_s(status, time.time())
    for own in there.values():
        state = state_of(own, now_s).value
        print(_line(own.id, own.name, dict(own.times), own.starts_s, state=state))
    return 0


def _line(name: str, title: str, times: dict[str, float], starts_s: float, *, state: str) -> str:
    begins = dt.datetime.fromtimestamp(starts_s, dt.UTC)
    load = ", ".join(f"{service} {value:g} times" for service, value in times.items())
    return f"{name}  {title}: {load}, from {begins:%Y-%m-%d %H:%M} UTC, {state.replace('_', ' ')}"


def _standing(given: argparse.Namespace) -> tuple[dict[str, Any], dict[str, Occasion]]:
    """What the engine showed last ({}: nothing yet), and the occasions by id."""
    with closing(desk_of(given.state)) as desk:
        status = json.loads(desk.status() or "{}")
        asked, _ = desk.asked()
    there = {one.request.id: one.request for one in asked if isinstance(one.request, Occasion)}
    now_s = engine_s(status, time.time())
    return status, {name: one for name, one in there.items() if now_s < one.expires_s}
