"""What people ask of a running engine: pauses, floors and answers, as files in its state folder.

A request is one small file, so it needs no server, no port and no password beyond the folder's
permissions, it survives every restart, and it can be read by eye.  Whoever asks writes the file
whole; the engine reads all of them before each step.  A file that makes no sense is complained
about and left alone: a typing error must not stop the scaling.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from engine.model import Approval, Direction, ManualFloor, Pause
from engine.record.files import write_atomically

REQUESTS, ANSWERS = "requests", "answers"
EVERYTHING = "all-services"

_Request = TypeVar("_Request", ManualFloor, Pause, Approval)


class StandingError(ValueError):
    """A request that cannot be taken; the message says why."""


@dataclass(frozen=True, slots=True)
class Standing:
    """All requests that hold now, and what is wrong with the files that hold none."""

    floors: tuple[ManualFloor, ...] = ()
    pauses: tuple[Pause, ...] = ()
    answers: tuple[Approval, ...] = ()
    complaints: tuple[str, ...] = ()


def ask(state: Path, request: ManualFloor | Pause) -> Path:
    """Let `request` stand, in place of an earlier one of its kind for the same service.

    Returns the file.  Raises StandingError for a name that no service can have, OSError.
    """
    content: dict[str, Any] = {"service": request.service, "expires_s": request.expires_s}
    if isinstance(request, ManualFloor):
        path = _path(state, "floor", request.service)
        content |= {"instances": request.instances, "requested_by": request.requested_by}
    else:
        path = _path(state, "pause", request.service)
        content |= {"direction": request.direction.value, "pinned": request.pinned}
    if math.isinf(request.expires_s):
        content["expires_s"] = None  # JSON knows no infinity
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content) + "\n")
    return path


def withdraw(state: Path, kind: str, service: str) -> bool:
    """Take the request `kind` ("floor", "pause") for `service` back; whether there was one."""
    path = _path(state, kind, service)
    there = path.exists()
    path.unlink(missing_ok=True)
    return there


def answer(state: Path, approval: Approval) -> Path:
    """Answer an action that waits for approval; raises StandingError for no decision's id."""
    if not re.fullmatch(r"[\w.-]+", approval.decision_id):
        raise StandingError(f'"{approval.decision_id}" is no decision\'s id')
    path = state / ANSWERS / f"{approval.decision_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "decision_id": approval.decision_id,
        "approved": approval.approved,
        "time_s": approval.time_s,
        "approver": approval.approver,
    }
    write_atomically(path, json.dumps(content) + "\n")
    return path


def read(state: Path, now_s: float) -> Standing:
    """All that is asked for at `now_s` (epoch seconds); what has expired is no longer."""
    floors: list[ManualFloor] = []
    pauses: list[Pause] = []
    answers: list[Approval] = []
    complaints: list[str] = []
    for path in sorted((state / REQUESTS).glob("floor-*.json")):
        _parsed(path, _floor, floors, complaints)
    for path in sorted((state / REQUESTS).glob("pause-*.json")):
        _parsed(path, _pause, pauses, complaints)
    for path in sorted((state / ANSWERS).glob("*.json")):
        _parsed(path, _answer, answers, complaints)
    return Standing(
        tuple(floor for floor in floors if now_s < floor.expires_s),
        tuple(pause for pause in pauses if now_s < pause.expires_s),
        tuple(answers),
        tuple(complaints),
    )


def forget(state: Path, answers: tuple[Approval, ...]) -> None:
    """Remove answers that the engine has taken into its memory."""
    for given in answers:
        (state / ANSWERS / f"{given.decision_id}.json").unlink(missing_ok=True)


def _path(state: Path, kind: str, service: str) -> Path:
    if service and not re.fullmatch(r"[A-Za-z0-9][\w.-]*", service):
        raise StandingError(f'"{service}" is not a name of a service')
    return state / REQUESTS / f"{kind}-{service or EVERYTHING}.json"


def _parsed(
    path: Path,
    parse: Callable[[dict[str, Any]], _Request],
    found: list[_Request],
    complaints: list[str],
) -> None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise TypeError("it is not a mapping")
        found.append(parse(raw))
    except FileNotFoundError:
        return  # withdrawn this very moment
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        complaints.append(f"{path.parent.name}/{path.name} is ignored: {reason}")


def _floor(raw: dict[str, Any]) -> ManualFloor:
    return ManualFloor(
        str(raw["service"]), _count(raw["instances"], "instances"), _expiry(raw),
        str(raw.get("requested_by", "")),
    )  # fmt: skip


def _pause(raw: dict[str, Any]) -> Pause:
    pinned = raw.get("pinned")
    return Pause(
        str(raw["service"]),
        Direction(raw.get("direction", "all")),
        _expiry(raw),
        None if pinned is None else _count(pinned, "pinned"),
    )


def _answer(raw: dict[str, Any]) -> Approval:
    if not isinstance(raw["approved"], bool):
        raise TypeError("approved is not true or false")
    return Approval(
        str(raw["decision_id"]), raw["approved"], float(raw["time_s"]), str(raw.get("approver", ""))
    )


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{name} {value!r} is not a count")
    return value


def _expiry(raw: dict[str, Any]) -> float:
    expires_s = raw.get("expires_s")
    found = math.inf if expires_s is None else float(expires_s)
    if math.isnan(found):
        raise ValueError("expires_s is not a time")
    return found
