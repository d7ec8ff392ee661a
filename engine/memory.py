"""The engine's memory between steps: frozen values, replaced once at the end of a step.

Everything that a decision may depend on besides the observation is here and nowhere else, so an
engine that is killed and restored from its last snapshot makes the same next plan, and a step that
raises has changed nothing.  Records are `NamedTuple`s: they are as immutable as frozen dataclasses
and several times as cheap to make, and a step makes one for each service.

What is stored (`to_json`, `from_json`) is strict JSON.  Times are stored as *ages* in seconds at
the last step (negative: still to come) and what never happened as null; a key that is absent counts
as never happened.  Nothing here grows without bound: what waits for a judgement that can no longer
come is dropped, and so are services that have been gone for an hour.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from engine.decide.ready_then import Counts, noted
from engine.model import (
    Action,
    ActionResult,
    Category,
    Observation,
    Reason,
    Rollback,
    Status,
    WeddingContext,
)
from engine.settings import EngineSettings, VerifySettings

VERSION = 3
NEVER = -math.inf
ASLEEP_S = 60.0
"""Without a step for longer the engine was down, and does not know what happened meanwhile."""
COUNTS_S = 600.0
"""How many were ready is remembered for so long: no sample that is older counts."""
STRAGGLE_S = 600.0
"""A command without an answer that it was carried out may be carried out for so long."""
GONE_S = 3600.0
"""A service that was not observed for so long is forgotten."""


class ResponseMemory(NamedTuple):
    """How a service's load compares with the booked outlook (logs of ratios).

    `level` is the slow ratio with variance `variance`, `surge` the fast departure from it,
    `horizon_variance` the squared error seen at each of the forecaster's horizons (empty: nothing
    was ever observed), and `issued` the medians that wait to be judged, as (due_s, log rate) for
    each horizon.
    """

    level: float = 0.0
    variance: float = 0.0
    surge: float = 0.0
    updated_s: float = NEVER
    horizon_variance: tuple[float, ...] = ()
    issued: tuple[tuple[tuple[float, float], ...], ...] = ()
    issued_s: float = NEVER


class Watch(NamedTuple):
    """A completed step whose effect is still being judged."""

    decision_id: str
    from_instances: int
    to_instances: int
    decided_s: float
    error_rate: float
    request_rate: float
    healthy: bool


class Sent(NamedTuple):
    """The last command sent for a service.

    `rest_s` is when the step before it in the same direction was made, for the case that this one
    turns out not to have happened; `undoes` the watch that a rollback put an end to; `highest` the
    most that was asked for since the last answer.
    """

    decision_id: str
    from_instances: int
    to_instances: int
    highest: int
    sent_s: float
    rest_s: float
    accepted: bool = False
    undoes: Watch | None = None


class Straggler(NamedTuple):
    """A command that failed, or was lost, as far as anybody said, and may be carried out yet.

    `highest` is the most that it may make of `from_instances`, the only count that it counts on.
    """

    from_instances: int
    highest: int
    until_s: float


class Pending(NamedTuple):
    """An action that people were asked about; one that was refused stays so until it expires."""

    action: Action
    expires_s: float
    refused: bool = False


class ServiceMemory(NamedTuple):
    """What is remembered of one service; `desired` is what was desired when last looked at.

    `short_from_s`: since when fewer instances are ready than desired, counted anew when more are
    desired; never while all are ready.  `counts` says how many were ready when, `measured_s` when
    each figure was last measured, `asked_s` when anybody last asked for the service.  `rise_s`
    says when figures, and not bookings alone, last asked for what is there or more, and
    `before_rise` how many there were before they did.
    """

    last_out_s: float = NEVER
    last_in_s: float = NEVER
    hold_out_until_s: float = NEVER
    hold_in_until_s: float = NEVER
    calm_from_s: float = NEVER
    short_from_s: float = NEVER
    asked_s: float = NEVER
    rise_s: float = NEVER
    before_rise: int = -1
    """-1: they never did."""
    counts: Counts = ()
    measured_s: Mapping[str, float] = {}
    targets: tuple[tuple[float, int], ...] = ()
    response: ResponseMemory = ResponseMemory()
    slowdown: float = 1.0
    desired: int = -1
    """-1: never looked at."""
    sent: Sent | None = None
    straggler: Straggler | None = None
    watch: Watch | None = None
    pending: Pending | None = None

    def at_most(self, desired: int, now_s: float) -> int:
        """What may come of `desired` by the commands that were sent so far."""
        most, straggler = desired, self.straggler
        if self.sent is not None and not self.sent.accepted:
            most = max(most, self.sent.highest)
        if (
            straggler is not None
            and straggler.from_instances == desired
            and now_s < straggler.until_s
        ):
            most = max(most, straggler.highest)
        return most

    def unmade(self, sent: Sent, *, may_come: bool = True) -> ServiceMemory:
        """The same after the step `sent` turned out not to have been made.

        Neither its rest nor its watch may stand, and no rollback was done.  Unless nobody was ever
        told of it, it `may_come` yet.
        """
        last_out_s, last_in_s, watch = self.last_out_s, self.last_in_s, self.watch
        # Where the count has changed all the same, somebody's step was made: rest after it.
        if self.desired == sent.from_instances:
            if sent.to_instances > sent.from_instances:
                last_out_s = sent.rest_s if last_out_s == sent.sent_s else last_out_s
            elif last_in_s == sent.sent_s:
                last_in_s = sent.rest_s
        if sent.undoes is not None:
            watch = sent.undoes
        elif watch is not None and watch.decision_id == sent.decision_id:
            watch = None
        straggler = self.straggler
        if may_come:
            highest = sent.highest
            if straggler is not None and straggler.from_instances == sent.from_instances:
                highest = max(highest, straggler.highest)
            straggler = Straggler(sent.from_instances, highest, sent.sent_s + STRAGGLE_S)
        return self._replace(
            last_out_s=last_out_s, last_in_s=last_in_s, watch=watch, sent=None, straggler=straggler
        )

    def answered(self, result: ActionResult | None) -> ServiceMemory:
        """The same after what became of the command sent last."""
        sent = self.sent
        if sent is None or result is None:
            return self
        if result.status is not Status.FAILED:
            return self._replace(sent=sent._replace(accepted=True))
        return self if sent.accepted else self.unmade(sent, may_come=result.sent)

    def compared(self, desired: int, now_s: float, settings: VerifySettings) -> ServiceMemory:
        """The same after a look at what is desired now.

        A command without answer or effect counts as lost.  A change that nobody here asked for (a
        command that was thought lost, another engine, a person) counts as a step made now, so that
        the rest after a step holds for it too.
        """
        memory, sent = self, self.sent
        if desired != self.desired:
            last_out_s, last_in_s = self.last_out_s, self.last_in_s
            before_rise = self.before_rise
            if self.desired >= 0 and (sent is None or desired != sent.to_instances):
                before_rise = -1
                if desired > self.desired:
                    last_out_s = now_s
                else:
                    last_in_s = now_s
            memory = self._replace(
                last_out_s=last_out_s, last_in_s=last_in_s, before_rise=before_rise, desired=desired
            )
        if (
            sent is not None
            and not sent.accepted
            and desired == sent.from_instances
            and now_s >= sent.sent_s + settings.answer_s
        ):
            return memory.unmade(sent)
        return memory

    def turned_back(self, by_s: float) -> ServiceMemory:
        """The same with every time moved back by `by_s`, as the clock was set back by that."""
        response, sent, watch, pending = self.response, self.sent, self.watch, self.pending
        if sent is not None:
            sent = sent._replace(
                sent_s=sent.sent_s - by_s,
                rest_s=sent.rest_s - by_s,
                undoes=_watched_earlier(sent.undoes, by_s),
            )
        return ServiceMemory(
            last_out_s=self.last_out_s - by_s,
            last_in_s=self.last_in_s - by_s,
            hold_out_until_s=self.hold_out_until_s - by_s,
            hold_in_until_s=self.hold_in_until_s - by_s,
            calm_from_s=self.calm_from_s - by_s,
            short_from_s=self.short_from_s - by_s,
            asked_s=self.asked_s - by_s,
            rise_s=self.rise_s - by_s,
            before_rise=self.before_rise,
            counts=tuple([(time_s - by_s, count) for time_s, count in self.counts]),
            measured_s={name: time_s - by_s for name, time_s in self.measured_s.items()},
            targets=tuple([(time_s - by_s, target) for time_s, target in self.targets]),
            response=response._replace(
                updated_s=response.updated_s - by_s,
                issued_s=response.issued_s - by_s,
                issued=tuple(
                    [
                        tuple([(due_s - by_s, rate) for due_s, rate in line])
                        for line in response.issued
                    ]
                ),
            ),
            slowdown=self.slowdown,
            desired=self.desired,
            sent=sent,
            straggler=None
            if self.straggler is None
            else self.straggler._replace(until_s=self.straggler.until_s - by_s),
            watch=_watched_earlier(watch, by_s),
            pending=None
            if pending is None
            else pending._replace(expires_s=pending.expires_s - by_s),
        )


class Memory(NamedTuple):
    """All of the engine's memory.

    `newest_s` is the time of the newest sample of each service that was looked at; `absent_s` says
    since when services are no longer observed.
    """

    last_step_s: float = NEVER
    next_cycle_s: float = NEVER
    decisions: int = 0
    services: Mapping[str, ServiceMemory] = {}
    newest_s: Mapping[str, float] = {}
    absent_s: Mapping[str, float] = {}


def remember(memory: Memory, observation: Observation, settings: EngineSettings) -> Memory:
    """The memory at the beginning of a step.

    A clock that was set back moves every time back with it: what has to rest for another minute
    then rests for another minute, not for an hour.  After a sleep nothing is taken away for a
    while: a count that has changed and changed back cannot be told from one that has not.  Then
    results and what is desired now are compared with what was sent.
    """
    now_s, services = observation.now_s, observation.services
    results = {result.decision_id: result for result in observation.results}
    last_s, next_cycle_s, decisions, kept, newest_s, absent_s = memory
    if now_s < last_s:
        by_s = last_s + settings.sample_s - now_s
        next_cycle_s -= by_s
        kept = {name: own.turned_back(by_s) for name, own in kept.items()}
        newest_s = {name: time_s - by_s for name, time_s in newest_s.items()}
        absent_s = {name: since_s - by_s for name, since_s in absent_s.items()}
    elif NEVER < last_s < now_s - max(ASLEEP_S, 3.0 * settings.cycle_s):
        kept = {name: own._replace(last_in_s=now_s, before_rise=-1) for name, own in kept.items()}
    changed: dict[str, ServiceMemory] = {}
    for service in services:
        own = kept.get(service.spec.name)
        short = service.ready < service.desired
        if own is None:
            own = ServiceMemory()
        elif (
            own.sent is None
            and service.desired == own.desired
            and short == (own.short_from_s > NEVER)
            and own.counts
            and own.counts[-1][1] == service.ready
        ):
            continue
        if own.sent is not None and results:
            own = own.answered(results.get(own.sent.decision_id))
        counts = noted(own.counts, service.ready, now_s, COUNTS_S)
        short_from_s = own.short_from_s if short else NEVER
        if short and (short_from_s == NEVER or service.desired > own.desired):
            short_from_s = now_s
        if counts is not own.counts or short_from_s != own.short_from_s:
            own = own._replace(counts=counts, short_from_s=short_from_s)
        changed[service.spec.name] = own.compared(service.desired, now_s, settings.verify)
    if changed:
        kept = {**kept, **changed}
    if absent_s or len(kept) != len(services):
        present = {service.spec.name for service in services}
        absent_s = {
            name: since_s
            for name in kept
            if name not in present and now_s < (since_s := absent_s.get(name, now_s)) + GONE_S
        }
        kept = {name: own for name, own in kept.items() if name in present or name in absent_s}
        newest_s = {name: time_s for name, time_s in newest_s.items() if name in kept}
    return Memory(now_s, next_cycle_s, decisions, kept, newest_s, absent_s)


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
        return _memory(document)
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
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


def _watched_earlier(watch: Watch | None, by_s: float) -> Watch | None:
    return None if watch is None else watch._replace(decided_s=watch.decided_s - by_s)


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
