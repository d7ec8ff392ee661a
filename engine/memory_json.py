"""What the engine remembers as strict JSON, and what older engines wrote.

Times are stored as *ages* in seconds at the last step (negative: still to come) and what never
happened as null; a key that is absent counts as never happened.  A document says its version, and
`MIGRATIONS` makes of each older one a document of today.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.memory import (
    NEVER,
    Memory,
    Pending,
    ResponseMemory,
    Sent,
    ServiceMemory,
    Straggler,
    Watch,
)
from engine.model import Action, Category, Reason, Rollback, WeddingContext

VERSION = 3


def to_json(memory: Memory) -> str:
    """The memory as strict JSON: ages in seconds, null for never."""
    now_s = memory.last_step_s if math.isfinite(memory.last_step_s) else 0.0

    def age(time_s: float) -> float | None:
        return now_s - time_s if math.isfinite(time_s) else None

    def ages(pairs: Sequence[tuple[float, float]]) -> list[tuple[float | None, float]]:
        return [(age(time_s), value) for time_s, value in pairs]

    def watch(watched: Watch | None) -> dict[str, Any] | None:
        if watched is None:
            return None
        return watched._asdict() | {"decided_s": age(watched.decided_s)}

    def service(own: ServiceMemory) -> dict[str, Any]:
        sent, straggler, pending = own.sent, own.straggler, own.pending
        return {name: age(getattr(own, name)) for name in _TIMES} | {
            "counts": ages(own.counts),
            "measured_s": {name: age(time_s) for name, time_s in own.measured_s.items()},
            "targets": ages(own.targets),
            "response": own.response._asdict()
            | {
                "updated_s": age(own.response.updated_s),
                "issued_s": age(own.response.issued_s),
                "issued": [ages(line) for line in own.response.issued],
            },
            "slowdown": own.slowdown,
            "before_rise": own.before_rise,
            "held_at": own.held_at,
            "desired": own.desired,
            "sent": None
            if sent is None
            else sent._asdict()
            | {
                "sent_s": age(sent.sent_s),
                "rest_s": age(sent.rest_s),
                "undoes": watch(sent.undoes),
            },
            "straggler": None
            if straggler is None
            else straggler._asdict() | {"until_s": age(straggler.until_s)},
            "watch": watch(own.watch),
            "pending": None
            if pending is None
            else {
                "action": _action_document(pending.action),
                "expires_s": age(pending.expires_s),
                "refused": pending.refused,
            },
        }

    document = {
        "version": VERSION,
        "last_step_s": memory.last_step_s if math.isfinite(memory.last_step_s) else None,
        "next_cycle_s": age(memory.next_cycle_s),
        "decisions": memory.decisions,
        "services": {name: service(own) for name, own in memory.services.items()},
        "newest_s": {name: age(time_s) for name, time_s in memory.newest_s.items()},
        "absent_s": {name: age(since_s) for name, since_s in memory.absent_s.items()},
    }
    return json.dumps(document, sort_keys=True, allow_nan=False)


def from_json(text: str) -> Memory:
    """Read what `to_json` of this or an older engine wrote; raises ValueError for other texts."""
    try:
        document = json.loads(text)
        version = document["version"]
        if version in MIGRATIONS:
            document = MIGRATIONS[version](document)
        elif version != VERSION:
            raise ValueError(
                f"engine memory: version {version!r} is not known (1 … {VERSION}); "
                "it was written by a newer engine"
            )
        memory = _memory(document)
        to_json(memory)  # what could not be kept again was never kept
        return memory
    except (KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise ValueError(f"engine memory: not a snapshot of this engine ({error!r})") from error


_TIMES = (
    "last_out_s",
    "last_in_s",
    "hold_out_until_s",
    "hold_in_until_s",
    "calm_from_s",
    "short_from_s",
    "asked_s",
    "rise_s",
)


def _action_document(action: Action) -> dict[str, Any]:
    """An action as it was decided: its times are when that was, whatever the clock does since."""
    return {
        "decision_id": action.decision_id,
        "service": action.service,
        "from_instances": action.from_instances,
        "to_instances": action.to_instances,
        "reason": action.reason.value,
        "category": action.category.value,
        "confidence": _text_unless_finite(action.confidence),
        "cost_per_hour": _text_unless_finite(action.cost_per_hour),
        "rollback": {"target": action.rollback.target},
        "weddings": {
            "events": action.weddings.events,
            "major_events": action.weddings.major_events,
            "at_s": _text_unless_finite(action.weddings.at_s),
        },
        "evidence": {name: _text_unless_finite(value) for name, value in action.evidence.items()},
        "trigger_s": _text_unless_finite(action.trigger_s),
        "decided_s": action.decided_s,
        "explanation": action.explanation,
    }


def _text_unless_finite(value: float) -> float | str:
    """JSON knows neither NaN nor infinity; `float` reads both from text."""
    return value if math.isfinite(value) else str(value)


def _memory(document: Mapping[str, Any]) -> Memory:
    last_step_s = document.get("last_step_s")
    now_s = 0.0 if last_step_s is None else float(last_step_s)

    def time(age_s: float | None) -> float:
        return NEVER if age_s is None else now_s - float(age_s)

    services = {
        str(name): _service(raw, time) for name, raw in document.get("services", {}).items()
    }
    return Memory(
        last_step_s=NEVER if last_step_s is None else now_s,
        next_cycle_s=time(document.get("next_cycle_s")),
        decisions=int(document.get("decisions", 0)),
        services=services,
        newest_s={str(name): time(age_s) for name, age_s in document.get("newest_s", {}).items()},
        absent_s={str(name): time(age_s) for name, age_s in document.get("absent_s", {}).items()},
    )


def _service(raw: Mapping[str, Any], time: Callable[[float | None], float]) -> ServiceMemory:
    pending = raw.get("pending")
    return ServiceMemory(
        **{name: time(raw.get(name)) for name in _TIMES},
        counts=tuple((time(age_s), int(count)) for age_s, count in raw.get("counts", ())),
        measured_s={str(name): time(age_s) for name, age_s in raw.get("measured_s", {}).items()},
        targets=tuple((time(age_s), int(target)) for age_s, target in raw.get("targets", ())),
        response=_response(raw.get("response", {}), time),
        slowdown=float(raw.get("slowdown", 1.0)),
        before_rise=int(raw.get("before_rise", -1)),
        held_at=int(raw.get("held_at", -1)),
        desired=int(raw.get("desired", -1)),
        sent=_sent(raw.get("sent"), time),
        straggler=_straggler(raw.get("straggler"), time),
        watch=_watch(raw.get("watch"), time),
        pending=None
        if pending is None
        else Pending(
            _action(pending["action"]),
            time(pending.get("expires_s")),
            bool(pending.get("refused", False)),
        ),
    )


def _response(raw: Mapping[str, Any], time: Callable[[float | None], float]) -> ResponseMemory:
    return ResponseMemory(
        level=float(raw.get("level", 0.0)),
        variance=float(raw.get("variance", 0.0)),
        surge=float(raw.get("surge", 0.0)),
        updated_s=time(raw.get("updated_s")),
        horizon_variance=tuple(float(value) for value in raw.get("horizon_variance", ())),
        issued=tuple(
            tuple((time(due_s), float(rate)) for due_s, rate in line)
            for line in raw.get("issued", ())
        ),
        issued_s=time(raw.get("issued_s")),
        counted=tuple(float(value) for value in raw.get("counted", ())),
        scatter=float(raw.get("scatter", 0.0)),
    )


def _sent(raw: Mapping[str, Any] | None, time: Callable[[float | None], float]) -> Sent | None:
    if raw is None:
        return None
    return Sent(
        decision_id=str(raw["decision_id"]),
        from_instances=int(raw["from_instances"]),
        to_instances=int(raw["to_instances"]),
        highest=int(raw.get("highest", raw["to_instances"])),
        sent_s=time(raw.get("sent_s")),
        rest_s=time(raw.get("rest_s")),
        accepted=bool(raw.get("accepted", False)),
        undoes=_watch(raw.get("undoes"), time),
    )


def _straggler(
    raw: Mapping[str, Any] | None, time: Callable[[float | None], float]
) -> Straggler | None:
    if raw is None:
        return None
    return Straggler(int(raw["from_instances"]), int(raw["highest"]), time(raw.get("until_s")))


def _watch(raw: Mapping[str, Any] | None, time: Callable[[float | None], float]) -> Watch | None:
    if raw is None:
        return None
    return Watch(
        decision_id=str(raw["decision_id"]),
        from_instances=int(raw["from_instances"]),
        to_instances=int(raw["to_instances"]),
        decided_s=time(raw.get("decided_s")),
        error_rate=float(raw.get("error_rate", 0.0)),
        request_rate=float(raw.get("request_rate", 0.0)),
        healthy=bool(raw.get("healthy", False)),
    )


def _action(raw: Mapping[str, Any]) -> Action:
    weddings = raw["weddings"]
    return Action(
        decision_id=str(raw["decision_id"]),
        service=str(raw["service"]),
        from_instances=int(raw["from_instances"]),
        to_instances=int(raw["to_instances"]),
        reason=Reason(raw["reason"]),
        category=Category(raw["category"]),
        confidence=float(raw["confidence"]),
        cost_per_hour=float(raw["cost_per_hour"]),
        rollback=Rollback(int(raw["rollback"]["target"])),
        weddings=WeddingContext(
            float(weddings["events"]), float(weddings["major_events"]), float(weddings["at_s"])
        ),
        evidence={str(name): float(value) for name, value in raw["evidence"].items()},
        trigger_s=float(raw["trigger_s"]),
        decided_s=float(raw["decided_s"]),
        explanation=str(raw["explanation"]),
    )


def _from_1_or_2(document: Mapping[str, Any]) -> dict[str, Any]:
    """Versions 1 and 2 held absolute times, and Python's own -Infinity and NaN.

    Version 1 did not know of commands on their way, nor when the last step was: the newest sample
    of all stands in for that.
    """
    state = document["state"]
    last_step_s = state.get("last_step_s", NEVER)
    if not math.isfinite(last_step_s):
        last_step_s = max(
            (raw.get("last_seen_s", NEVER) for raw in state["services"].values()), default=NEVER
        )
    now_s = last_step_s if math.isfinite(last_step_s) else 0.0

    def age(time_s: float) -> float | None:
        return now_s - time_s if math.isfinite(time_s) else None

    def watch(raw: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if raw is None else {**raw, "decided_s": age(raw["decided_s"])}

    def service(raw: Mapping[str, Any]) -> dict[str, Any]:
        response, sent, pending = raw["response"], raw.get("sent"), raw.get("pending")
        observed = math.isfinite(response["variance"])
        return {
            **{name: age(raw.get(name, NEVER)) for name in _TIMES},
            "targets": [(age(time_s), target) for time_s, target in raw["targets"]],
            "response": {
                **response,
                "variance": response["variance"] if observed else 0.0,
                "horizon_variance": response["horizon_variance"] if observed else (),
                "updated_s": age(response["updated_s"]),
                "issued_s": age(response["issued_s"]),
                "issued": [
                    [(age(due_s), rate) for due_s, rate in line] for line in response["issued"]
                ],
            },
            "slowdown": response.get("slowdown", 1.0),
            "desired": raw.get("desired", -1),
            "sent": None
            if sent is None
            else {
                **sent,
                "sent_s": age(sent["sent_s"]),
                "rest_s": age(sent["rest_s"]),
                "undoes": watch(sent.get("undoes")),
            },
            "watch": watch(raw.get("watch")),
            "pending": None
            if pending is None
            else {"action": pending, "expires_s": age(raw["pending_until_s"])},
        }

    return {
        "version": VERSION,
        "last_step_s": last_step_s if math.isfinite(last_step_s) else None,
        "next_cycle_s": age(state.get("next_cycle_s", NEVER)),
        "decisions": state.get("decisions", 0),
        "services": {name: service(raw) for name, raw in state["services"].items()},
        "newest_s": {
            name: age(raw.get("last_seen_s", NEVER)) for name, raw in state["services"].items()
        },
    }


MIGRATIONS: Mapping[int, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    1: _from_1_or_2,
    2: _from_1_or_2,
}
"""What makes of each older version's document one of this version."""
