"""`python -m engine status`: who leads, what is there, what is in trouble, what waits for people.

Read from the store and the lease in the state folder, or the Lease that it names, so it works
whatever the engine is busy with.
Exit codes: 0 an engine leads and steps, 1 none does, 2 the store cannot be read.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import math
import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from engine.adapters.lease_file import take_lead
from engine.adapters.lease_place import lease_place
from engine.adapters.store.halves import SqlDesk
from engine.adapters.store.leases import who_leads
from engine.adapters.store.sealed import desk_of
from engine.adapters.store.sqlite import SqliteFile
from engine.commands.asking import STATE
from engine.commands.failing import failed
from engine.config.recurrence import Recurrence
from engine.config.standing import CONFIGURATION, StandingRequests
from engine.model import AlertAnswer, ManualFloor, ManualScale, MonitoringSession, Occasion, Pause
from engine.ports.desk import Asked, Desk, Request
from engine.ports.engine_time import engine_s
from engine.ports.lease import NotLeadingError
from engine.security.sealing import SealError

NOBODY = "no engine leads"
NEXT = 3
"""So many occurrences to come are shown of what recurs."""
SILENT_S = 60.0
"""An engine that has not stepped for longer hangs."""


def run(arguments: Sequence[str]) -> int:
    """Print it; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m engine status",
        description="Say what the engine of a state folder sees and does.",
        allow_abbrev=False,
    )
    parser.add_argument("--state", type=Path, default=STATE, metavar="DIR",
                        help=f"the engine's state folder (default: {STATE})")  # fmt: skip
    state = parser.parse_args(arguments).state
    if not state.is_dir():
        return failed(f"{state} is not a folder of an engine's state")
    now_s = time.time()
    try:
        with closing(desk_of(state)) as desk:
            leads, words = _leader(state, desk, now_s)
            status, (asked, complaints) = _status(desk), desk.asked()
    except (OSError, SealError) as error:
        return failed(error)
    age_s = now_s - float(status.get("time_s", 0.0)) if status else float("inf")
    ago, its_s = f"{age_s:.0f} s ago", engine_s(status, now_s)
    if its_s != now_s:
        now_s, age_s = its_s, 0.0
        ago = (
            f"at {dt.datetime.fromtimestamp(now_s, dt.UTC):%Y-%m-%d %H:%M:%S} UTC by its own clock"
        )
    print(words)
    if status:
        doing = "acts" if status["acts"] else "only recommends"
        print(f"{doing}; last step {ago}, {status['steps']} steps, "
              f"{status['skipped']} that could not be made")  # fmt: skip
        _show(status)
        _show_standing(StandingRequests.model_validate(status.get("standing", {})), now_s)
    _show_requests(asked, complaints, now_s)
    return 0 if leads and age_s < SILENT_S else 1


def _leader(state: Path, desk: SqlDesk, now_s: float) -> tuple[bool, str]:
    """Whether an engine leads, by what the engines of the folder lead by, and which, in words."""
    if (lease := lease_place(state)) is not None:
        from engine.adapters.kubernetes.holder import holder_of

        try:
            holder = holder_of(lease)
        except OSError as error:
            return False, str(error.strerror)
        where = f"(Lease {lease.name})"
        return bool(holder), f"{holder} leads {where}" if holder else f"{NOBODY} {where}"
    if not isinstance(desk.database, SqliteFile):
        leads = desk.database.read(who_leads)
        return bool(leads), leads or NOBODY
    if not (state / "leader").exists():
        return False, NOBODY
    try:
        take_lead(state, now_s, announce=False).release()
    except NotLeadingError as error:
        return True, f"{error.holder} leads"
    return False, NOBODY


def _status(desk: Desk) -> Mapping[str, Any]:
    try:
        status: Mapping[str, Any] = json.loads(desk.status() or "{}")
    except ValueError:
        return {}
    return status


def _show(status: Mapping[str, Any]) -> None:
    counted_s = status.get("counted_s", {})
    for name, seen in status["services"].items():
        newest_s = seen["newest_sample_s"]
        age = "no sample" if newest_s is None else f"sample {status['time_s'] - newest_s:.0f} s old"
        floor = status["floors"].get(name)
        floor_text = f", wedding floor {floor}" if floor else ""
        print(
            f"  {name}: {seen['desired']} desired, {seen['ready']} ready, {seen['booting']} "
            f"booting, {seen['draining']} draining"
            f"{_counted(counted_s.get(name), status['time_s'])}; {age}{floor_text}"
        )
    for name in sorted(counted_s.keys() - status["services"].keys()):
        print(f"  {name}: no counts for {max(status['time_s'] - counted_s[name], 0.0):.1f} s")
    if (feed := status.get("bookings")) is not None:
        print(f"  bookings: {feed['events']} known; {_age(feed['read_s'], status['time_s'])}")
    for source, troubles in status["troubles"].items():
        print(f"  trouble: {source}: {'; '.join(troubles)}")
    for decision in status["awaiting"]:
        print(f"  waits for approval: {decision}")


def _counted(counted_s: float | None, now_s: float) -> str:
    """How old the counts were at the last step, where the infrastructure says so."""
    return "" if counted_s is None else f", counts {max(now_s - counted_s, 0.0):.1f} s old"


def _age(read_s: float | None, now_s: float) -> str:
    if read_s is None:
        return "nothing has been read yet"
    return f"read {max(now_s - read_s, 0.0):.0f} s ago"


def _show_standing(standing: StandingRequests, now_s: float) -> None:
    for floor in standing.floors:
        asked = ManualFloor(floor.service, floor.instances, math.inf, CONFIGURATION)
        print(f"  {_text(asked)}{_occurrences(floor.schedule, now_s)}")
    for pause in standing.pauses:
        paused = Pause(pause.service, pause.direction, math.inf, pause.pinned)
        print(f"  {_text(paused)}{_occurrences(pause.schedule, now_s)}")


def _show_requests(asked: Sequence[Asked], complaints: Sequence[str], now_s: float) -> None:
    for one in asked:
        if now_s < one.request.expires_s:
            print(f"  {_text(one.request)}{_occurrences(one.schedule, now_s)}")
    for complaint in complaints:
        print(f"  trouble: {complaint}")


def _text(request: Request) -> str:
    match request:
        case ManualFloor():
            return (
                f"floor: {request.service} at least {request.instances}, by {request.requested_by}"
            )
        case ManualScale():
            return f"scale: {request.service} to {request.instances}, by {request.requested_by}"
        case AlertAnswer():
            what = "escalated" if request.escalates else "acknowledged"
            return f"alert: {request.incident} {what}, by {request.requested_by}"
        case MonitoringSession():
            state = f"ended by {request.ended_by}" if request.ended_by else "asked for"
            return f"monitoring session {request.id}: {state}, by {request.requested_by}"
        case Occasion():
            begins = dt.datetime.fromtimestamp(request.starts_s, dt.UTC)
            state = "waits for approval"
            if request.approved_by:
                state = f"approved by {request.approved_by}"
            if request.ended_by:
                state = f"taken back by {request.ended_by}"
            return (
                f"occasion {request.id}: {request.name}, from {begins:%Y-%m-%d %H:%M} UTC, {state}"
            )
    pinned = "" if request.pinned is None else f" at {request.pinned}"
    return f"paused: {request.service or 'all services'} ({request.direction.value}){pinned}"


def _occurrences(schedule: Recurrence | None, now_s: float) -> str:
    """Whether it holds now, and when it will."""
    if schedule is None:
        return ""
    occurrence = schedule.at(now_s)
    now = "not now" if occurrence is None else f"now, until {schedule.local(occurrence.end_s)}"
    upcoming = ", ".join(map(schedule.local, schedule.after(now_s, NEXT)))
    return f", at {schedule}: {now}; next {upcoming}"
