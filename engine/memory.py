"""The engine's memory between steps: frozen values, replaced once at the end of a step.

Everything that a decision may depend on besides the observation is here and nowhere else, so an
engine that is killed and restored from its last snapshot makes the same next plan, and a step that
raises has changed nothing.  Records are `NamedTuple`s: they are as immutable as frozen dataclasses
and several times as cheap to make, and a step makes one for each service.

Nothing here grows without bound: what waits for a judgement that can no longer come is dropped,
and so are services that have been gone for an hour.  `memory_json.py` stores it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from engine.decide.ready_then import Counts, noted
from engine.model import (
    Action,
    ActionResult,
    Observation,
    Status,
)
from engine.settings import EngineSettings, VerifySettings

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
    was ever observed), `counted` the part of each that is the chance of what the judging samples
    counted, and `issued` the medians that wait to be judged, as (due_s, log rate) for each horizon.
    `scatter` is the variance of single samples around their neighbours.
    """

    level: float = 0.0
    variance: float = 0.0
    surge: float = 0.0
    updated_s: float = NEVER
    horizon_variance: tuple[float, ...] = ()
    issued: tuple[tuple[tuple[float, float], ...], ...] = ()
    issued_s: float = NEVER
    counted: tuple[float, ...] = ()
    """Empty: nothing was ever observed, or an older engine did it."""
    scatter: float = 0.0


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
    `before_rise` how many there were before they did.  `held_at` is the count that the last step in
    that did harm was taken back to: until `hold_in_until_s` none goes below it.
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
    held_at: int = -1
    """-1: no step in was undone, or an older engine did it."""
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
            held_at=self.held_at,
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


def _watched_earlier(watch: Watch | None, by_s: float) -> Watch | None:
    return None if watch is None else watch._replace(decided_s=watch.decided_s - by_s)
