"""The memory at the end of a step, made of what every phase has found out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from engine.decide.approve import Decided
from engine.decide.assess_weddings import Ahead
from engine.decide.figures import OF_REQUESTS
from engine.decide.observe import Scope, Seen
from engine.decide.rails.rise import before_rise, by_figures
from engine.decide.rails.take_back import VANISHED
from engine.decide.restraints import Allowed
from engine.decide.verify import Verdict, watched
from engine.decide.wishes import Wish
from engine.memory import NEVER, Memory, Sent, ServiceMemory, Watch
from engine.model import Action, Reason
from engine.settings import EngineSettings

EARLY_S = 1e-6
"""A cycle may begin so much earlier: times are sums of fractions."""


class Course(NamedTuple):
    """What the phases made of one service, one after the other."""

    seen: Seen
    verdict: Verdict
    ahead: Ahead | None
    wish: Wish
    allowed: Allowed
    decided: Decided


def after(
    memory: Memory, scope: Scope, courses: Sequence[Course], settings: EngineSettings
) -> Memory:
    """`memory`, as it was at the beginning of the step, after all of it."""
    now_s = memory.last_step_s
    newest_s = {**memory.newest_s, **scope.newest_s}
    services = dict(memory.services)
    for one, verdict, to_come, wish, may, decision in courses:
        own = one.memory
        last_out_s, last_in_s = own.last_out_s, own.last_in_s
        sent, watch = own.sent, verdict.watch
        action = decision.action
        if action is not None:
            sent = _sent(own, action, verdict.undoes, now_s)
            if action.to_instances > action.from_instances:
                last_out_s = now_s
            elif VANISHED not in action.evidence:  # of a step taken back nothing is left, no rest
                last_in_s = now_s
            watch = _watch(one, action, watch)
        rise_s, before = _rise(one, wish, action, now_s)
        name = one.traits.spec.name
        newest_s[name] = max(newest_s.get(name, NEVER), one.view.newest_s)
        services[name] = ServiceMemory(
            last_out_s=last_out_s,
            last_in_s=last_in_s,
            hold_out_until_s=verdict.hold_out_until_s,
            hold_in_until_s=verdict.hold_in_until_s,
            calm_from_s=wish.calm_from_s,
            short_from_s=own.short_from_s,
            asked_s=one.asked_s,
            rise_s=rise_s,
            before_rise=before,
            held_at=verdict.held_at,
            counts=own.counts,
            measured_s=one.figures.measured_s,
            targets=may.targets,
            response=one.response if to_come is None else to_come.response,
            slowdown=one.slowdown,
            desired=own.desired,
            sent=sent,
            straggler=own.straggler,
            watch=watch,
            pending=decision.pending,
        )
    return Memory(
        last_step_s=now_s,
        next_cycle_s=now_s + settings.cycle_s - EARLY_S if scope.full else memory.next_cycle_s,
        decisions=courses[-1].decided.decisions if courses else memory.decisions,
        services=services,
        newest_s=newest_s,
        absent_s=memory.absent_s,
    )


def _rise(one: Seen, wish: Wish, action: Action | None, now_s: float) -> tuple[float, int]:
    """When figures last asked for what is there or more, and the count before they did."""
    own, chosen = one.memory, wish.chosen
    if chosen is None or chosen.target < one.service.desired or not by_figures(one, chosen):
        return own.rise_s, own.before_rise
    if action is None:
        return now_s, own.before_rise
    return now_s, before_rise(one, now_s)


def _sent(own: ServiceMemory, action: Action, undoes: Watch | None, now_s: float) -> Sent:
    """The command, and what there was before it in case it turns out not to have happened."""
    out = action.to_instances > action.from_instances
    rest_s, highest = own.last_out_s if out else own.last_in_s, action.to_instances
    before = own.sent
    if before is not None and not before.accepted:
        highest = max(highest, before.highest)
        # Where somebody's step was noticed since, the rest after that one stands.
        if (before.to_instances > before.from_instances) == out and rest_s == before.sent_s:
            rest_s = before.rest_s
    return Sent(
        action.decision_id, action.from_instances, action.to_instances, highest, now_s, rest_s,
        undoes=undoes if action.reason is Reason.ROLLBACK else None,
    )  # fmt: skip


def _watch(one: Seen, action: Action, before: Watch | None) -> Watch | None:
    """A step is watched; one that undoes another is not, nor one that wakes a service.

    What was asked for while it slept, and was given up, would be blamed on the step.
    """
    if action.reason is Reason.ROLLBACK:
        return before
    if action.from_instances == 0:
        return None
    # Whose errors were not to be seen, or nothing at all, was not seen to be well.
    unseen = one.view.stale or any(name in one.figures.lost for name in OF_REQUESTS)
    return watched(action, one.view, healthy=not (one.assessment.breach or unseen))
