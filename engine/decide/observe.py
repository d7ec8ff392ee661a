"""Which services are looked at in this step, and what their samples show.

A full cycle looks at all of them.  The steps in between look at the newest samples alone, and
further only where one shows a service drowning: at that service, at those that it calls (they will
get its load as soon as it has room), and at those about which a person has just answered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from engine.decide.assess import (
    Assessment,
    arrival_rate,
    assess,
    learned_slowdown,
    too_few,
)
from engine.decide.figures import LOST_S, FiguresThere, figures
from engine.decide.ready_then import ready_then
from engine.decide.recommend.emergency import (
    LOOKED_AT,
    UNCONFIRMED,
    drowning,
    emergency,
    passed_on,
    unserved_rate,
)
from engine.decide.sleep import last_asked_s, wake, wakes
from engine.decide.traits import Platform, Traits
from engine.decide.view import NEWEST, View, newest, view
from engine.decide.witnesses import (
    answered,
    borne_out,
    corrected,
    fallen,
    has_room,
    learnable,
)
from engine.forecast import schedule
from engine.forecast.blend import ServiceBlend
from engine.forecast.counting import UNCOUNTED, Counting, counting
from engine.memory import NEVER, Memory, ResponseMemory, ServiceMemory
from engine.model import SAMPLE_FIELDS, Approval, Observation, Recommendation, ServiceObservation
from engine.settings import EngineSettings

FEW = 1.0
"""Of so many requests/s, or fewer, chance makes half more or less of what is measured."""
UNBOOKED = -1
"""The row of a service of which the calendar says nothing."""


class Scope(NamedTuple):
    """What this step looks at: everything (`full`), or else these services.

    `newest_s` is the time of the newest sample of each service that has one not seen before.
    """

    full: bool
    answered: frozenset[str]
    alarming: frozenset[str]
    newest_s: Mapping[str, float]

    @property
    def quiet(self) -> bool:
        """Whether there is nothing to look at further."""
        return not (self.full or self.alarming or self.answered)


class Seen(NamedTuple):
    """One service as it is seen in this step.

    `memory` is what was remembered of it before, `response` and `slowdown` what has been learned
    now, `figures` what is measured of it.  `row` is its row of the outlook, or `UNBOOKED`.
    `whole`: all rules have their say, not the emergency path alone.  `alarm` is what the emergency
    path wants, `asked_s` when the service, or one that calls it, was last asked for anything (it is
    kept only on a platform on which services may sleep).
    """

    service: ServiceObservation
    traits: Traits
    memory: ServiceMemory
    row: int
    view: View
    assessment: Assessment
    figures: FiguresThere
    response: ResponseMemory
    slowdown: float
    whole: bool
    alarm: Recommendation | None
    asked_s: float


class _Called(NamedTuple):
    """Load (1/s) that drowning callers will pass on to a service, and since when they drown.

    `unconfirmed`: none of them has an emergency that its own samples confirm.
    """

    rate: float
    trigger_s: float
    unconfirmed: bool


def due(
    memory: Memory,
    observation: Observation,
    approvals: Mapping[str, Approval],
    settings: EngineSettings,
) -> Scope:
    """The scope of this step."""
    now_s = observation.now_s
    answered: frozenset[str] = frozenset()
    if approvals:
        # What is approved is looked at afresh: it may be some time since it was asked for.
        answered = frozenset(
            name
            for name, own in memory.services.items()
            if own.pending is not None and own.pending.action.decision_id in approvals
        )
    if observation.at_once or now_s >= memory.next_cycle_s:
        return Scope(True, answered, frozenset(), {})
    newest_s: dict[str, float] = {}
    alarming = []
    for service in observation.services:
        row, name = newest(service, now_s), service.spec.name
        if row is None or row[0] <= memory.newest_s.get(name, NEVER):
            continue
        newest_s[name] = row[0]
        ready = ready_then(memory.services[name].counts, row[0], service.ready)
        if wakes(service, (row,)) or drowning(row, service.spec, ready, settings.emergency):
            alarming.append(name)
    return Scope(False, answered, frozenset(alarming), newest_s)


def observe(
    scope: Scope,
    memory: Memory,
    observation: Observation,
    *,
    platform: Platform,
    settings: EngineSettings,
    blends: Mapping[str, ServiceBlend],
) -> tuple[Seen, ...]:
    """The services in scope, callers first."""
    now_s, outlook = observation.now_s, observation.outlook
    called: dict[str, _Called] = {}
    sleepy = any(traits.spec.min_instances == 0 for traits in platform.order)
    callers_asked_s: dict[str, float] = {}
    seen = []
    for traits in platform.order:
        spec = traits.spec
        name = spec.name
        whole = scope.full or name in scope.answered
        if not (whole or name in called or name in scope.alarming):
            continue
        service, own = observation.services[traits.place], memory.services[name]
        row = outlook.services.get(name, UNBOOKED)
        looked = view(service, now_s, settings.stale_after_s, own.counts)
        response, slowdown, alarm = own.response, own.slowdown, None
        asked_s = own.asked_s
        if sleepy:
            asked_s = max(last_asked_s(asked_s, looked, now_s), callers_asked_s.get(name, NEVER))
            for call in spec.calls:
                before_s = callers_asked_s.get(call.service, NEVER)
                callers_asked_s[call.service] = max(before_s, asked_s)
        if not looked.stale:
            expected = schedule.expected(response, outlook, row, looked.newest_s)
            looked, slowdown, rate = _learned(service, own, looked, expected)
            if rate > 0.0 and row != UNBOOKED:
                response = schedule.observe(
                    response, outlook, row, rate, sample_s=looked.newest_s,
                    settings=settings.forecast, blend=blends.get(name),
                    chance=_chance(looked, rate),
                )  # fmt: skip
        measured = figures(own.measured_s, service.window, looked, now_s)
        if not looked.stale:
            alarm = _alarm(
                service,
                traits,
                looked,
                slowdown,
                measured=measured,
                called=called,
                settings=settings,
            )
        seen.append(
            Seen(
                service, traits, own, row, looked, assess(service, looked),
                measured, response, slowdown, whole, alarm, asked_s,
            )
        )  # fmt: skip
    return tuple(seen)


def _learned(
    service: ServiceObservation, own: ServiceMemory, looked: View, expected: float
) -> tuple[View, float, float]:
    """What the samples show, the slowdown, and the rate (1/s) to learn from, 0 if there is none."""
    spec, ready, looked = service.spec, service.ready, answered(service, looked)
    measures_errors = _lately(own, "error_rate", looked.newest_s)
    slowdown = learned_slowdown(own.slowdown, spec, looked, measures_errors=measures_errors)
    rate = looked.request_rate
    if not has_room(looked, spec):
        righted = corrected(service, looked) if rate >= 0.0 else looked
        if righted is not looked:
            return righted, slowdown, 0.0
        return looked, slowdown, 0.0 if too_few(rate, looked.cpu * ready, spec) else rate
    if fallen(looked, expected):
        slowdown = min(slowdown, own.slowdown)
    by_slots = looked
    if rate >= 0.0:
        bounded = borne_out(looked, spec, ready, expected, slowdown=slowdown)
        if bounded == rate:
            return looked, slowdown, rate
        # What is bounded is good enough to go by, not to learn from.  The busy slots may be, but of
        # few requests they say nothing: a rate that is out of line is then by chance.
        by_slots = looked._replace(request_rate=math.nan)
        looked = looked._replace(request_rate=bounded)
        if not expected > FEW:
            return looked, slowdown, 0.0
    rate = arrival_rate(by_slots, spec, ready, slowdown)
    alone = not _lately(own, "request_rate", looked.newest_s)
    return looked, slowdown, learnable(rate, expected, own.response.surge, alone=alone)


def _chance(looked: View, rate: float) -> Counting:
    """What chance there is in `rate` (1/s); unclear where it is not the measured one."""
    if rate != looked.request_rate:
        return UNCOUNTED
    return counting([row[3] for row in looked.rows], looked.spacing_s, NEWEST)


def _lately(own: ServiceMemory, figure: str, now_s: float) -> bool:
    """Whether `figure` is measured, or was until lately."""
    return now_s - own.measured_s.get(figure, NEVER) < LOST_S


def _alarm(
    service: ServiceObservation,
    traits: Traits,
    looked: View,
    slowdown: float,
    *,
    measured: FiguresThere,
    called: dict[str, _Called],
    settings: EngineSettings,
) -> Recommendation | None:
    """What the emergency path wants; what it will pass on to callees is added to `called`."""
    name, calls = service.spec.name, traits.spec.calls
    if wakes(service, looked.rows[:LOOKED_AT]) or (service.desired == 0 and name in called):
        more = called.get(name, _Called(0.0, looked.newest_s, True))
        alarm: Recommendation | None = wake(
            service, looked, traits.sizing, slowdown,
            passed_on_rate=more.rate, trigger_s=more.trigger_s, settings=settings.emergency,
        )  # fmt: skip
    else:
        alarm = emergency(
            service, looked, traits.sizing, slowdown, settings=settings.emergency,
            measures=_tells_load(measured),
        )  # fmt: skip
    if alarm is None:
        if name not in called or called[name].rate <= 0.0:
            return None
        return passed_on(
            service, looked, traits.sizing, slowdown,
            extra_rate=called[name].rate, trigger_s=called[name].trigger_s,
            settings=settings.emergency, unconfirmed=called[name].unconfirmed,
        )  # fmt: skip
    extra = unserved_rate(service, looked, slowdown, alarm.target)
    for call in calls:
        before = called.get(call.service, _Called(0.0, alarm.trigger_s, True))
        called[call.service] = before._replace(
            rate=before.rate + call.per_request * extra,
            unconfirmed=before.unconfirmed and (UNCONFIRMED in alarm.evidence or extra <= 0.0),
        )
    return alarm


def _tells_load(measured: FiguresThere) -> int | None:
    """The column of what tells how busy a service is: its cpu, or without one its request rate."""
    there = [name for name in ("cpu", "request_rate") if name not in measured.absent]
    return SAMPLE_FIELDS.index(there[0]) if there else None
