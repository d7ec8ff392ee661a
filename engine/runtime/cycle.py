"""What lies around a step, without a clock and without I/O: one for both shells.

A shell looks, waits, sends and writes; what all of that *means* is in here.  Times and what was
seen are arguments; commands, memory, status and events are values.  So the SimPy process of the
twin and the asyncio loop of production differ in nothing but who brings the figures.  A turn reads

    observation = cycle.observe(now_s, gathered)       None: there is nothing to decide on
    plan = cycle.decide(observation)                   None: the controller failed
    cycle.intend(plan, now_s)         kept = cycle.to_keep(now_s)       … keep it …
    actions = cycle.sendable(plan, now_s, safety)       what may be sent, kept or not
    … send actions …     cycle.take(results), or cycle.fail(actions, now_s, why)
    kept = cycle.to_keep(now_s)       … keep it …
    cycle.events(), cycle.alerts()    what to note, and whom to alert

Rules kept here, whichever the shell:

- Each *result* and each *answer* reaches the controller, and its memory, once: also when it raises
  in the step that should have got it (it is put back to its last memory, and is given again
  whatever that does not hold), and also when the file of the answer cannot be removed.
- A *question* that nobody is to answer automatically goes when it has expired, when another one
  about the same service takes its place, or when something was done for that service.
- A *command* is given when it is on the disk that it will be.  While nothing can be kept, only what
  protects is given: automatic steps out.  To leave out a step in, or a person's, costs money or
  patience; to leave out the others costs requests.
- A *trouble* is told of when it begins, when it changes and when it ends.
- A *sample* from the future is not a sample.

It is long because a turn is: all that a shell must not decide by itself is in one object.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from engine.config.run import Approver
from engine.config.secrets import redacted
from engine.config.standing import NOTHING_STANDS, StandingRequests
from engine.decide.recommend.manual import FALLBACK
from engine.forecast.occasions import CameOfOccasion, came, with_occasions
from engine.model import (
    Action,
    ActionResult,
    Approval,
    Budget,
    Controller,
    Observation,
    Occasion,
    Outlook,
    Plan,
    Quantity,
    Reason,
    ServiceObservation,
    ServiceSpec,
    Status,
)
from engine.ports.infrastructure import Sighting
from engine.ports.metrics import NO_SAMPLES
from engine.ports.notifier import Alert, AlertState
from engine.ports.store import Kept, Requests, RowKind
from engine.runtime.ask import blaming, decide
from engine.runtime.errors import ControllerError
from engine.runtime.outbox import Outbox

CONTROLLER, CALENDAR = "controller", "calendar"
"""Sources of troubles that the cycle finds out about itself."""
INFRASTRUCTURE, METRICS = "infrastructure", "metrics"
"""Sources of troubles that both shells find out about."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """What a shell brought in; None where it could not be had.

    `windows` are samples by service (`SAMPLE_DTYPE`, newest last); the answers among the `requests`
    are all that stand, whether they were seen before or not.
    """

    sighting: Sighting | None
    outlook: Outlook | None
    windows: Mapping[str, NDArray[np.void]]
    requests: Requests | None = Requests()  # noqa: RUF009 (frozen)


@dataclass(frozen=True, slots=True)
class NotedEvent:
    """Something to be noted that is no decision."""

    time_s: float
    kind: str
    name: str
    what: str
    detail: str


class Safety(StrEnum):
    """Whether it is on the disk what is about to be done."""

    KEPT = "kept"
    NOT_KEPT = "not kept"
    OVERTAKEN = "overtaken"
    """The store has seen a newer lead."""


@dataclass(frozen=True, slots=True)
class SavedMemory:
    """What is to be kept: strict JSON, and the answers that it holds."""

    text: str
    answers: tuple[Approval, ...]


@dataclass(frozen=True, slots=True)
class Question:
    """An action that waits for approval.

    At `answer_s` it is answered automatically (inf: only by people), at `expires_s` it is over.
    """

    service: str
    answer_s: float
    expires_s: float

    def turned_back(self, by_s: float) -> Question:
        """The same on a clock that was set back."""
        return replace(
            self, answer_s=self.answer_s - by_s, expires_s=self.expires_s - by_s
        )  # fmt: skip


@dataclass(slots=True)
class Troubles:
    """What is wrong now, by source; keeps an alert for each beginning, change and end."""

    alerts: list[Alert] = field(default_factory=list)
    _now: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def are(self, now_s: float, source: str, details: Sequence[str]) -> None:
        """These are all the troubles of `source` at `now_s`; secrets in their words are hidden."""
        before, after = self._now.get(source, ()), tuple(map(redacted, details))
        if after:
            self._now[source] = after
        else:
            self._now.pop(source, None)
        if after and not before:
            self._alert(now_s, source, AlertState.STARTED, after)
        elif after and set(after) != set(before):
            self._alert(now_s, source, AlertState.CHANGED, after)
        elif before and not after:
            self._alert(now_s, source, AlertState.ENDED, before)

    @property
    def all(self) -> dict[str, tuple[str, ...]]:
        """All that is wrong, by source."""
        return dict(self._now)

    def _alert(
        self, now_s: float, source: str, state: AlertState, details: tuple[str, ...]
    ) -> None:
        self.alerts.append(Alert(now_s, source, state, "; ".join(details)))


_Item = TypeVar("_Item")


class _Handed(Generic[_Item]):
    """What is to reach the controller and its memory, each once."""

    def __init__(self, items: Sequence[_Item] = ()) -> None:
        self._items = list(items)
        self._over = 0
        """So many of them the controller has, and its last memory has not."""

    @property
    def new(self) -> tuple[_Item, ...]:
        """What the controller does not have."""
        return tuple(self._items[self._over :])

    def add(self, item: _Item) -> None:
        """One more."""
        self._items.append(item)

    def hand_over(self) -> None:
        """The controller has all of it."""
        self._over = len(self._items)

    def hand_back(self) -> None:
        """The controller was put back to its last memory."""
        self._over = 0

    def settle(self) -> None:
        """What the controller has is in its memory."""
        del self._items[: self._over]
        self._over = 0


class Cycle:
    """Everything around the steps of one controller.

    `name` is what errors and memories call the controller; questions that only people answer expire
    after `question_s`; `standing` holds besides whatever people ask for.
    """

    def __init__(
        self,
        controller: Controller,
        specs: Sequence[ServiceSpec],
        *,
        name: str = "",
        acts: bool = True,
        approver: Approver = "automatic",
        question_s: float = 900.0,
        budget: Budget = Budget(),  # noqa: B008 (frozen)
        standing: StandingRequests = NOTHING_STANDS,
    ) -> None:
        self.controller = controller
        self.steps = 0
        self.skipped = 0
        """Steps that could not be made."""
        self.troubles = Troubles()
        self.outbox = Outbox()
        """Rows that are to be kept."""
        self.acts = acts
        self.standing = standing
        self.beside = ""
        """What a stage beside the engine remembers: kept with its memory."""
        self._name = name or type(controller).__name__
        self._specs = tuple(specs)
        self._by_name = {spec.name: spec for spec in specs}
        self._delay_s = {"automatic": 0.0, "never": math.inf}.get(str(approver), math.inf)
        if not isinstance(approver, str):
            self._delay_s = approver
        self._question_s = question_s
        self._budget = budget
        self._last_s = -math.inf
        self._hastened_s = -math.inf
        self._at_once = False
        """Whether the next step is to look at everything."""
        self._questions: dict[str, Question] = {}
        self._results = _Handed[ActionResult]()
        self._automatic = _Handed[Approval]()
        """Answers that the cycle itself gave."""
        self._answered: tuple[Approval, ...] = ()
        """Answers of people that the controller has and that stand all the same."""
        self._kept: tuple[Approval, ...] = ()
        """Those of them that are in its last memory."""
        self._answering: tuple[Approval, ...] = ()
        """Those that the observation of this turn shows for the first time."""
        self._is_answered = False
        """Whether the last step had an answer."""
        self._requests = Requests()
        self._outlook: Outlook | None = None
        self._expected: tuple[Outlook, tuple[Occasion, ...], Outlook] | None = None
        """The outlook as booked, what people expect besides, and both together."""
        self._came: dict[str, tuple[Occasion, CameOfOccasion]] = {}
        """What came so far of the occasions that are under way, by id."""
        self._events: list[NotedEvent] = []
        self._snapshot = ""
        """What a controller that raises is put back to."""

    # --- what the engine before this one knew

    def begin(self, now_s: float, text: str) -> bool:
        """Take over the memory `text` ("": none); False if it cannot be read, or is another's.

        The controller is then as it was made.
        """
        snapshot = self._asked_for_snapshot(now_s)
        if not text:
            return True
        try:
            kept = json.loads(text)
            self._take_over(kept)
        except Exception as error:  # whatever a controller finds wrong with another's memory
            self._event(
                now_s, "memory_lost", "memory", "begins afresh", detail=str(error) or repr(error)
            )
            if snapshot:
                self._restore(snapshot, now_s)
            return False
        age_s = now_s - float(kept["saved_s"])
        self._event(
            now_s, "memory_restored", "memory", "goes on with what was remembered",
            detail=f"{age_s:.0f} s old",
        )  # fmt: skip
        return True

    def _take_over(self, kept: Mapping[str, Any]) -> None:
        """Raises whatever is wrong with it, and has then changed the controller alone."""
        if kept["controller"] != self._name:
            raise ValueError(f"it is the memory of {kept['controller']}")
        saved_s = float(kept["saved_s"])
        questions = {
            str(decision): self._question(raw, saved_s)
            for decision, raw in kept.get("questions", {}).items()
        }
        answered = tuple(_approval(raw) for raw in kept.get("answered", ()))
        results = [_result(raw) for raw in kept.get("results", ())]
        snapshot = str(kept["snapshot"])
        with blaming(self._name, "when it was restored"):
            self.controller.restore(snapshot)
        self._snapshot, self._questions = snapshot, questions
        self._answered = self._kept = answered
        self._results, self._automatic = _Handed(results), _Handed()
        self._last_s = saved_s
        self.beside = str(kept.get("beside", ""))

    def _question(self, raw: object, saved_s: float) -> Question:
        if isinstance(raw, Mapping):
            return Question(str(raw["service"]), _time(raw["answer_s"]), _time(raw["expires_s"]))
        # As it was kept before: only when it is answered.
        return Question("", _time(raw), saved_s + self._question_s)

    # --- a turn

    def observe(self, now_s: float, gathered: Gathered) -> Observation | None:
        """Everything that the controller may know at `now_s`; None if there is nothing to act on.

        Counts cannot be guessed, so without having seen every service there is no step.  Without an
        outlook the last one stays in force, and before there was one there is no step.  So do what
        people asked for last: what cannot be read now is not taken back by that.
        """
        if now_s < self._last_s:
            self._turn_back(self._last_s - now_s)
        self._last_s = now_s
        self._expire(now_s)
        sighting = gathered.sighting
        if sighting is not None:
            self.take(sighting.results)
        if gathered.outlook is not None:
            self._outlook = gathered.outlook
        if self._outlook is not None:
            self.troubles.are(now_s, CALENDAR, _unbooked(self._outlook, self._specs, now_s))
        if gathered.requests is not None:
            self._requests = gathered.requests
            self._forget_removed()
        if sighting is None or self._outlook is None:
            self.skipped += 1
            return None
        outlook = self._with_occasions(self._outlook)
        self._measure_occasions(now_s, outlook, gathered.windows)
        return Observation(
            now_s=now_s,
            services=self._services(sighting, gathered.windows, now_s),
            outlook=outlook,
            results=self._results.new,
            approvals=self._answers(now_s),
            floors=(
                *[f for f in self._requests.floors if now_s < f.expires_s],
                *self.standing.floors_at(now_s),
            ),
            pauses=(
                *[p for p in self._requests.pauses if now_s < p.expires_s],
                *self.standing.pauses_at(now_s),
            ),
            budget=self._budget,
            scales=tuple([s for s in self._requests.scales if now_s < s.expires_s]),
        )

    def hasten(self, now_s: float, apart_s: float, name: str, why: str) -> bool:
        """Let the next step be a whole cycle, as something was found in service `name`.

        It is an earlier step and nothing more: what limits any step limits it.  At most one in
        `apart_s`, and one that waits is the same for all who ask; whether it will be.
        """
        if self._at_once or 0.0 <= now_s - self._hastened_s < apart_s:
            return False
        self._at_once, self._hastened_s = True, now_s
        self._event(now_s, "step_hastened", name, "is looked at at once", detail=why)
        return True

    def _with_occasions(self, booked: Outlook) -> Outlook:
        """The outlook with what people expect besides: the same object until one changes."""
        occasions = tuple([one for one in self._requests.occasions if one.counts])
        expected = self._expected
        if expected is None or expected[0] is not booked or expected[1] != occasions:
            shown = with_occasions(booked, occasions, self._specs)
            self._expected = expected = booked, occasions, shown
        return expected[2]

    def _measure_occasions(
        self, now_s: float, outlook: Outlook, windows: Mapping[str, NDArray[np.void]]
    ) -> None:
        """What comes of those that are under way; of those that are over it is kept and noted."""
        under_way = {one.id: one for one in self._requests.occasions if one.counts
                     and one.starts_s <= now_s < one.ends_s}  # fmt: skip
        for name, own in under_way.items():
            before = self._came[name][1] if name in self._came else None
            self._came[name] = own, came(before, own, outlook, windows)
        for name in [name for name in self._came if name not in under_way]:
            own, seen = self._came.pop(name)
            times = seen.times(own)
            if not times:
                continue
            self.outbox.noted(
                RowKind.OCCASION, name, now_s,
                {"id": name, "name": own.name, "starts_s": own.starts_s,
                 "expected": dict(own.times), "came": times},
            )  # fmt: skip
            words = ", ".join(
                f"{service} {times[service]:.2f} times ({expected:g} expected)"
                for service, expected in own.times if service in times
            )  # fmt: skip
            self._event(now_s, "occasion_over", own.name, "came", detail=words)

    def decide(self, observation: Observation, when: str = "in its step") -> Plan | None:
        """The controller's plan, checked; None if it raised or wants what makes no sense.

        It is then put back to its last memory, and is given everything again that this does not
        hold.
        """
        now_s = observation.now_s
        if self._at_once:
            observation = replace(observation, at_once=True)
        try:
            plan = decide(self.controller, observation, self._by_name, when, name=self._name)
        except ControllerError as error:
            self.skipped += 1
            self.troubles.are(now_s, CONTROLLER, [str(error)])
            if self._snapshot:
                self._restore(self._snapshot, now_s)
                self._results.hand_back()
                self._automatic.hand_back()
                self._answered = self._kept
            return None
        self.troubles.are(now_s, CONTROLLER, ())
        self.steps += 1
        self._at_once = self._at_once and not plan.cycle
        self._is_answered = bool(self._answering or self._automatic.new)
        self._results.hand_over()
        self._automatic.hand_over()
        self._answered = (*self._answered, *self._answering)
        if not self._snapshot:
            self._settle()  # there is no memory that it could be put back to
        if not self.acts:
            plan = _only_recommended(plan)
        self._ask(plan, now_s)
        self.outbox.decided(plan.actions, "acts")
        self.outbox.decided(plan.awaiting, "asks")
        self.outbox.decided(plan.dry, "would")
        return plan

    def take(self, results: Sequence[ActionResult]) -> None:
        """Results for the controller's next step."""
        for result in results:
            self._results.add(result)
            self.outbox.result(result)

    def fail(
        self, actions: Sequence[Action], now_s: float, why: str, *, sent: bool = True
    ) -> tuple[ActionResult, ...]:
        """Commands that could not be given have failed; returns that as results.

        Those that were not even `sent` will not be carried out later either.
        """
        failed = tuple(
            ActionResult(a.decision_id, Status.FAILED, now_s, why, sent) for a in actions
        )
        self.take(failed)
        return failed

    # --- doing it

    def intend(self, plan: Plan, now_s: float) -> None:
        """The plan's actions are about to be sent: the next `to_keep` says so."""
        self.outbox.intend(plan.actions, now_s)

    def sendable(
        self, plan: Plan, now_s: float, safety: Safety
    ) -> tuple[tuple[Action, ...], tuple[ActionResult, ...]]:
        """Which actions may be sent; the others have failed, and the next step decides anew.

        Returns those, and the results of the others.
        """
        match safety:
            case Safety.KEPT:
                return plan.actions, ()
            case Safety.NOT_KEPT:
                sent = tuple([action for action in plan.actions if self._may_go_unkept(action)])
                why = "not sent: it cannot be kept that it would be"
            case Safety.OVERTAKEN:
                sent, why = (), "not sent: another engine leads"
        left_out = [action for action in plan.actions if action not in sent]
        self.outbox.without_intent(sent, left_out)
        return sent, self.fail(left_out, now_s, why, sent=False)

    def _may_go_unkept(self, action: Action) -> bool:
        """Whether it may be sent while the store takes nothing: it protects, or is kept beside."""
        out = action.to_instances > action.from_instances
        return _protects(action) or (out and action.scale_id in self._requests.aside)

    # --- remembering

    def is_worth_keeping(self, plan: Plan) -> bool:
        """Whether something was decided, asked or answered that a restart should not forget."""
        return bool(plan.cycle or plan.actions or plan.awaiting or self._is_answered)

    def memory(self, now_s: float, fence: int = 0) -> SavedMemory | None:
        """What is to be kept now; None if the controller cannot say what it remembers."""
        snapshot = self._asked_for_snapshot(now_s)
        if not snapshot:
            return None
        self._settle()
        document = {
            "saved_s": now_s,
            "lead": fence,
            "controller": self._name,
            "questions": {
                decision: {
                    "service": question.service,
                    "answer_s": _json(question.answer_s),
                    "expires_s": _json(question.expires_s),
                }
                for decision, question in self._questions.items()
            },
            "answered": [[a.decision_id, a.approved, a.time_s, a.approver] for a in self._answered],
            "results": [
                [r.decision_id, r.status, r.time_s, r.detail, r.sent] for r in self._results.new
            ],
            "snapshot": snapshot,
            "beside": self.beside,
        }
        return SavedMemory(json.dumps(document, allow_nan=False), self._answered)

    def to_keep(self, now_s: float, fence: int = 0) -> Kept:
        """All that is to last now, in one piece; `outbox` is told what became of it."""
        memory, rows = self.memory(now_s, fence), self.outbox.rows(now_s)
        return Kept(None, (), rows) if memory is None else Kept(memory.text, memory.answers, rows)

    def _settle(self) -> None:
        """What the controller has need not be given to it again."""
        self._results.settle()
        self._automatic.settle()
        self._kept = self._answered

    def awaiting(self) -> tuple[str, ...]:
        """Decisions that wait for approval."""
        return tuple(sorted(self._questions))

    def note(self, now_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        """Something that a stage beside it wants to be noted."""
        self._event(now_s, kind, name, what, detail=detail)

    def events(self) -> tuple[NotedEvent, ...]:
        """What is to be noted since this was last asked for."""
        events, self._events = tuple(self._events), []
        return events

    def alerts(self) -> tuple[Alert, ...]:
        """The beginnings, changes and ends of troubles since this was last asked for."""
        alerts, self.troubles.alerts = tuple(self.troubles.alerts), []
        for alert in alerts:
            self.outbox.alert(alert)
        return alerts

    # --- inside

    def _services(
        self,
        sighting: Sighting,
        windows: Mapping[str, NDArray[np.void]],
        now_s: float,
    ) -> tuple[ServiceObservation, ...]:
        counts, locks = sighting.services, sighting.locks
        return tuple(
            [
                ServiceObservation(
                    spec, seen.desired, seen.ready, seen.booting, seen.draining,
                    _up_to(windows.get(spec.name, NO_SAMPLES), now_s),
                    seen.warm, seen.warm_desired,
                    locks.get(spec.name),
                )
                for spec in self._specs
                for seen in (counts[spec.name],)
            ]
        )  # fmt: skip

    def _answers(self, now_s: float) -> tuple[Approval, ...]:
        """What people answered and the controller does not have, and what is due by itself."""
        standing = self._requests.answers
        self._answering = tuple([answer for answer in standing if answer not in self._answered])
        for answer in self._answering:
            self._questions.pop(answer.decision_id, None)
        for decision, question in list(self._questions.items()):
            if question.answer_s <= now_s:
                del self._questions[decision]
                self._automatic.add(Approval(decision, True, question.answer_s, "automatic"))
        return (*self._answering, *self._automatic.new)

    def _forget_removed(self) -> None:
        """An answer that stands no longer need not be remembered."""
        standing = self._requests.answers
        self._answered = tuple([answer for answer in self._answered if answer in standing])
        self._kept = tuple([answer for answer in self._kept if answer in standing])

    def _ask(self, plan: Plan, now_s: float) -> None:
        """Note what waits for approval, and drop what that makes moot."""
        moved = {
            action.service
            for action in (*plan.actions, *plan.awaiting)
            if action.quantity is Quantity.INSTANCES
        }
        for decision, question in list(self._questions.items()):
            if question.answer_s == math.inf and question.service in moved:
                del self._questions[decision]
        for action in plan.awaiting:
            self._questions[action.decision_id] = Question(
                action.service, now_s + self._delay_s, now_s + self._question_s
            )

    def _expire(self, now_s: float) -> None:
        for decision, question in list(self._questions.items()):
            if question.answer_s == math.inf and question.expires_s <= now_s:
                del self._questions[decision]

    def _turn_back(self, by_s: float) -> None:
        self._questions = {
            decision: question.turned_back(by_s) for decision, question in self._questions.items()
        }

    def _asked_for_snapshot(self, now_s: float) -> str:
        """The controller's memory, which is also what it is put back to; "" if it cannot say it."""
        try:
            with blaming(self._name, "when it was asked what it remembers"):
                self._snapshot = self.controller.snapshot()
        except ControllerError as error:
            self.troubles.are(now_s, CONTROLLER, [str(error)])
            return ""
        return self._snapshot

    def _restore(self, snapshot: str, now_s: float) -> None:
        try:
            with blaming(self._name, "when it was restored"):
                self.controller.restore(snapshot)
        except ControllerError as error:
            self.troubles.are(
                now_s, CONTROLLER, [*self.troubles.all.get(CONTROLLER, ()), str(error)]
            )

    def _event(self, now_s: float, kind: str, name: str, what: str, *, detail: str) -> None:
        self._events.append(NotedEvent(now_s, kind, name, what, detail))


def _protects(action: Action) -> bool:
    """Whether it adds what the engine finds missing, and no person asked for it."""
    asked = action.reason is Reason.MANUAL and FALLBACK not in action.evidence
    out = action.to_instances > action.from_instances
    return out and not asked and action.quantity is Quantity.INSTANCES


def _up_to(window: NDArray[np.void], now_s: float) -> NDArray[np.void]:
    """The samples (in the order of their times) that are not from the future."""
    if len(window) == 0 or window["time_s"][-1] <= now_s:
        return window
    return window[: int(np.searchsorted(window["time_s"], now_s, side="right"))]


def _only_recommended(plan: Plan) -> Plan:
    """The plan of a shell that may not act, whatever the controller thinks of that."""
    dry = (*plan.dry, *plan.actions, *plan.awaiting)
    return replace(plan, actions=(), awaiting=(), dry=dry)


def _approval(raw: Sequence[Any]) -> Approval:
    decision, approved, time_s, approver = raw
    return Approval(str(decision), bool(approved), float(time_s), str(approver))


def _result(raw: Sequence[Any]) -> ActionResult:
    # A release that did not say whether it was sent has written four of them.
    decision, status, time_s, detail, *sent = raw
    was_sent = not sent or bool(sent[0])
    return ActionResult(str(decision), Status(status), float(time_s), str(detail), was_sent)


def _time(raw: object) -> float:
    """A time as it was kept: null is never."""
    if raw is None:
        return math.inf
    if not isinstance(raw, int | float):
        raise TypeError(f"{raw!r} is not a time")
    return float(raw)


def _json(time_s: float) -> float | None:
    return None if math.isinf(time_s) else time_s


def _unbooked(outlook: Outlook, specs: Sequence[ServiceSpec], now_s: float) -> list[str]:
    """What the calendar leaves open now: there the controller goes by what is observed alone."""
    if not outlook.covers(now_s):
        begin, end = (
            dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="minutes")
            for at_s in (outlook.start_s, outlook.end_s)
        )
        return [f"it covers {begin} to {end} only"]
    missing = [spec.name for spec in specs if spec.name not in outlook.services]
    return [f"it says nothing of {', '.join(missing)}"] if missing else []
