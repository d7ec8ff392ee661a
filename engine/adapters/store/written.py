"""Requests and answers as they are stored: a JSON text each, which can be read by eye.

What makes no sense when it is read is a complaint and no error: it must not stop the scaling.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from engine.config.recurrence import Recurrence
from engine.config.strict import validated
from engine.model import (
    AlertAnswer,
    Approval,
    Direction,
    ManualFloor,
    ManualScale,
    MonitoringSession,
    Occasion,
    Pause,
)
from engine.ports.desk import Asked, Request

_Parsed = TypeVar("_Parsed")


def of_request(request: Request, schedule: Recurrence | None) -> str:
    """The text of a request; `asked_of` reads it."""
    content: dict[str, Any] = {"service": request.service}
    # JSON knows no infinity.
    content["expires_s"] = None if math.isinf(request.expires_s) else request.expires_s
    match request:
        case ManualFloor():
            content |= {"instances": request.instances, "requested_by": request.requested_by}
        case ManualScale():
            content |= {
                "id": request.id, "instances": request.instances,
                "requested_by": request.requested_by, "why": request.why,
                "before": request.before, "override": request.override,
            }  # fmt: skip
        case AlertAnswer():
            content |= {
                "id": request.id, "incident": request.incident, "escalates": request.escalates,
                "requested_by": request.requested_by, "why": request.why,
            }  # fmt: skip
        case MonitoringSession():
            content |= {
                "id": request.id, "services": list(request.services), "every_s": request.every_s,
                "kinds": list(request.kinds), "since_s": request.since_s,
                "until_s": None if math.isinf(request.until_s) else request.until_s,
                "requested_by": request.requested_by, "why": request.why,
                "ended_by": request.ended_by,
            }  # fmt: skip
        case Occasion():
            content |= {
                "id": request.id, "name": request.name, "times": dict(request.times),
                "starts_s": request.starts_s, "ends_s": request.ends_s, "sure": request.sure,
                "ramp_s": request.ramp_s, "requested_by": request.requested_by,
                "why": request.why, "approved_by": request.approved_by,
                "ended_by": request.ended_by,
            }  # fmt: skip
        case Pause():
            content |= {"direction": request.direction.value, "pinned": request.pinned}
    if schedule is not None:
        content["schedule"] = schedule.model_dump()
    return json.dumps(content)


def of_answer(approval: Approval) -> str:
    """The text of an answer; `answer_of` reads it."""
    return json.dumps(
        {
            "decision_id": approval.decision_id,
            "approved": approval.approved,
            "time_s": approval.time_s,
            "approver": approval.approver,
        }
    )


def is_same_scale(before: str, now: str) -> bool:
    """Whether two texts are one manual action: the count before it is no part of what is asked."""
    there = {"override": False, **json.loads(before)}  # a release that knew of none wrote some
    return all(
        there.get(name) == value for name, value in json.loads(now).items() if name != "before"
    )


def scale_of(text: str) -> ManualScale:
    """The manual action of a text; raises as `asked_of`."""
    return _scale(_mapping(text))


def asked_of(kind: str, text: str) -> Asked:
    """The request of a text; raises as `readable` catches, for what makes no sense."""
    raw = _mapping(text)
    readers: dict[str, Callable[[dict[str, Any]], Request]] = {
        "floor": _floor, "pause": _pause, "scale": _scale,
        "alert": _alert_answer, "monitor": _session, "occasion": _occasion,
    }  # fmt: skip
    return Asked(readers[kind](raw), _schedule(raw))


def answer_of(text: str) -> Approval:
    """The answer of a text; raises as `asked_of`."""
    raw = _mapping(text)
    if not isinstance(raw["approved"], bool):
        raise TypeError("approved is not true or false")
    return Approval(
        str(raw["decision_id"]), raw["approved"], float(raw["time_s"]), str(raw.get("approver", ""))
    )


def readable(
    texts: Iterable[tuple[str, str]], read: Callable[[str, str], _Parsed]
) -> tuple[list[_Parsed], list[str]]:
    """What `read` makes of each id and text, and complaints about those of which it makes none."""
    parsed: list[_Parsed] = []
    complaints: list[str] = []
    for name, text in texts:
        try:
            parsed.append(read(name, text))
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            complaints.append(f"{name} is ignored: {'; '.join(reason.splitlines())}")
    return parsed, complaints


def _mapping(text: str) -> dict[str, Any]:
    raw = json.loads(text)
    if not isinstance(raw, dict):
        raise TypeError("it is not a mapping")
    return raw


def _floor(raw: dict[str, Any]) -> ManualFloor:
    return ManualFloor(
        str(raw["service"]), _count(raw["instances"], "instances"), _expiry(raw),
        str(raw.get("requested_by", "")),
    )  # fmt: skip


def _scale(raw: dict[str, Any]) -> ManualScale:
    return ManualScale(
        str(raw["id"]), str(raw["service"]), _count(raw["instances"], "instances"), _expiry(raw),
        str(raw.get("requested_by", "")), str(raw.get("why", "")),
        # A release that knew of no count before it has written some of these.
        None if raw.get("before") is None else _count(raw["before"], "before"),
        raw.get("override") is True,
    )  # fmt: skip


def _alert_answer(raw: dict[str, Any]) -> AlertAnswer:
    if not isinstance(raw["escalates"], bool):
        raise TypeError("escalates is not true or false")
    return AlertAnswer(
        str(raw["id"]), str(raw["service"]), str(raw["incident"]), raw["escalates"], _expiry(raw),
        str(raw.get("requested_by", "")), str(raw.get("why", "")),
    )  # fmt: skip


def _session(raw: dict[str, Any]) -> MonitoringSession:
    every_s, since_s = float(raw["every_s"]), float(raw["since_s"])
    if not 0.0 < every_s < math.inf or not math.isfinite(since_s):
        raise ValueError("every_s or since_s is no time")
    return MonitoringSession(
        str(raw["id"]), _names(raw["services"], "services"), every_s,
        _names(raw["kinds"], "kinds"), since_s, _time(raw, "until_s"), _expiry(raw),
        str(raw.get("requested_by", "")), str(raw.get("why", "")), str(raw.get("ended_by", "")),
    )  # fmt: skip


def _occasion(raw: dict[str, Any]) -> Occasion:
    times = raw["times"]
    if not isinstance(times, dict) or not times:
        raise TypeError("times is no mapping of services")
    starts_s, ends_s = float(raw["starts_s"]), float(raw["ends_s"])
    sure, ramp_s = float(raw["sure"]), float(raw["ramp_s"])
    by_service = tuple((str(name), float(value)) for name, value in times.items())
    figures = (starts_s, ends_s, ramp_s, *(value for _, value in by_service))
    if not all(map(math.isfinite, figures)) or not starts_s < ends_s or not 0.0 < sure <= 1.0:
        raise ValueError("it has times or figures that cannot be")
    return Occasion(
        str(raw["id"]), str(raw["name"]), by_service, starts_s, ends_s, sure, max(ramp_s, 0.0),
        _expiry(raw), str(raw.get("requested_by", "")), str(raw.get("why", "")),
        str(raw.get("approved_by", "")), str(raw.get("ended_by", "")),
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


def _count(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise TypeError(f"{name} {value!r} is not a count")
    return value


def _names(value: object, name: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError(f"{name} {value!r} is no list of names")
    return tuple(value)


def _expiry(raw: dict[str, Any]) -> float:
    return _time(raw, "expires_s")


def _time(raw: dict[str, Any], name: str) -> float:
    """A time, inf where there is none."""
    until_s = math.inf if raw.get(name) is None else float(raw[name])
    if math.isnan(until_s):
        raise ValueError(f"{name} is not a time")
    return until_s
