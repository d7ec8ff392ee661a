"""What people ask of a running engine: pauses, floors and answers, as files in its state folder.

A request is one small file, so it needs no server, no port and no password beyond the folder's
permissions, it survives every restart, and it can be read by eye.  Whoever asks writes the file
whole; the engine reads all of them before each step.  A file that makes no sense is complained
about and left alone: a typing error must not stop the scaling.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from engine.config.recurrence import Recurrence
from engine.config.strict import validated
from engine.model import Approval, Direction, ManualFloor, Pause
from engine.ports.desk import Asked, Kind, RequestError, check_decision, request_id
from engine.ports.store import Requests
from engine.record.files import remove, write_atomically

REQUESTS, ANSWERS = "requests", "answers"
STATUS = "status.json"

_Parsed = TypeVar("_Parsed")


class FileDesk:
    """`engine.ports.desk.Desk`, in the folder `state`."""

    def __init__(self, state: Path) -> None:
        self._state = state

    def ask(self, request: ManualFloor | Pause, schedule: Recurrence | None = None) -> str:
        """Write the request's file."""
        return ask(self._state, request, schedule).stem

    def withdraw(self, kind: Kind, service: str) -> bool:
        """Remove the files of such requests."""
        return withdraw(self._state, kind, service)

    def answer(self, approval: Approval) -> None:
        """Write the answer's file."""
        answer(self._state, approval)

    def asked(self) -> tuple[list[Asked], list[str]]:
        """What the requests' files say."""
        return asked(self._state)

    def status(self) -> str:
        """The text of the status' file; raises OSError, ValueError if it cannot be read."""
        try:
            return (self._state / STATUS).read_text(encoding="utf-8")
        except FileNotFoundError:
            return ""


def ask(state: Path, request: ManualFloor | Pause, schedule: Recurrence | None = None) -> Path:
    """Let `request` stand, in place of an earlier one of its kind for the same service.

    One with a `schedule` takes the place of the one with the same cron expression and time zone.
    Returns the file.  Raises RequestError for a name that no service can have, OSError.
    """
    content: dict[str, Any] = {"service": request.service, "expires_s": request.expires_s}
    path = _path(state, request, schedule)
    if isinstance(request, ManualFloor):
        content |= {"instances": request.instances, "requested_by": request.requested_by}
    else:
        content |= {"direction": request.direction.value, "pinned": request.pinned}
    if schedule is not None:
        content["schedule"] = schedule.model_dump()
    if math.isinf(request.expires_s):
        content["expires_s"] = None  # JSON knows no infinity
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, json.dumps(content) + "\n")
    return path


def withdraw(state: Path, kind: Kind, service: str) -> bool:
    """Take all requests `kind` ("floor", "pause") for `service` back; whether there was one."""
    path = _path(state, ManualFloor(service, 0, 0.0) if kind == "floor" else Pause(service))
    paths = [path, *path.parent.glob(f"{path.stem}@*.json")]
    there = [path for path in paths if path.exists()]
    for path in there:
        path.unlink(missing_ok=True)
    return bool(there)


def answer(state: Path, approval: Approval) -> Path:
    """Answer an action that waits for approval.

    Raises RequestError for what is no decision's id, and for what somebody has refused; OSError.
    """
    check_decision(approval.decision_id)
    path = state / ANSWERS / f"{approval.decision_id}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    before: list[Approval] = []
    _parsed(path, _answer, before, [])
    for other in before:
        if approval.approved and not other.approved:
            raise RequestError(f"{approval.decision_id}: {other.approver} has refused it")
    content = {
        "decision_id": approval.decision_id,
        "approved": approval.approved,
        "time_s": approval.time_s,
        "approver": approval.approver,
    }
    write_atomically(path, json.dumps(content) + "\n")
    return path


def read(state: Path, now_s: float) -> Requests:
    """All that is asked for at `now_s` (epoch seconds); what has expired is no longer."""
    answers: list[Approval] = []
    standing, complaints = asked(state)
    holding = [request for one in standing if (request := one.at(now_s)) is not None]
    for path in sorted((state / ANSWERS).glob("*.json")):
        _parsed(path, _answer, answers, complaints)
    return Requests(
        tuple([request for request in holding if isinstance(request, ManualFloor)]),
        tuple([request for request in holding if isinstance(request, Pause)]),
        tuple(answers),
        tuple(complaints),
    )


def asked(state: Path) -> tuple[list[Asked], list[str]]:
    """All floors and pauses, whether they hold now or not, and what is wrong with their files."""
    standing: list[Asked] = []
    complaints: list[str] = []
    for path in sorted((state / REQUESTS).glob("floor-*.json")):
        _parsed(path, lambda raw: Asked(_floor(raw), _schedule(raw)), standing, complaints)
    for path in sorted((state / REQUESTS).glob("pause-*.json")):
        _parsed(path, lambda raw: Asked(_pause(raw), _schedule(raw)), standing, complaints)
    return standing, complaints


def remove_answers(state: Path, answers: Sequence[Approval]) -> None:
    """Remove answers that the engine has taken into its memory; raises OSError.

    An answer that was given anew since stays.  One that cannot be removed does not keep the others.
    """
    failures: list[OSError] = []
    for given in answers:
        path = state / ANSWERS / f"{given.decision_id}.json"
        present: list[Approval] = []
        _parsed(path, _answer, present, [])
        if present != [given]:
            continue
        try:
            remove(path)
        except OSError as error:
            failures.append(error)
    if failures:
        raise failures[0]


def _path(state: Path, request: ManualFloor | Pause, schedule: Recurrence | None = None) -> Path:
    return state / REQUESTS / f"{request_id(request, schedule)}.json"


def _parsed(
    path: Path,
    parse: Callable[[dict[str, Any]], _Parsed],
    requests: list[_Parsed],
    complaints: list[str],
) -> None:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(raw, dict):
            raise TypeError("it is not a mapping")
        requests.append(parse(raw))
    except FileNotFoundError:
        return  # withdrawn this very moment
    except (OSError, ValueError, KeyError, TypeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        reason = "; ".join(reason.splitlines())
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


def _schedule(raw: dict[str, Any]) -> Recurrence | None:
    schedule = raw.get("schedule")
    if schedule is None:
        return None
    if not isinstance(schedule, dict):
        raise TypeError("schedule is not a mapping")
    return validated(Recurrence, schedule, "schedule")


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
    until_s = math.inf if expires_s is None else float(expires_s)
    if math.isnan(until_s):
        raise ValueError("expires_s is not a time")
    return until_s
