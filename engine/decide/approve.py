"""What is decided: each grant becomes an action with its explanation, a question, or nothing."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from engine.decide.allocate import Granted
from engine.decide.approvals import approved_now, category, is_same_question, still_pending
from engine.decide.explain import explain
from engine.decide.observe import Seen
from engine.decide.recommend.wedding import context
from engine.decide.restraints import Allowed
from engine.memory import Pending
from engine.model import (
    Action,
    Approval,
    Category,
    Declined,
    Observation,
    Recommendation,
    Rollback,
)
from engine.settings import EngineSettings


class Decided(NamedTuple):
    """What is decided for a service: an action, a question, a dry action, or nothing of these.

    `taken` is the recommendation behind the action, `pending` the question that waits from now on,
    `decisions` how many decisions the engine has made by then.
    """

    decisions: int
    declined: tuple[Declined, ...]
    pending: Pending | None
    action: Action | None = None
    question: Action | None = None
    dry: Action | None = None
    taken: Recommendation | None = None


def approve(
    seen: Sequence[Seen],
    allowed: Sequence[Allowed],
    granted: Sequence[Granted],
    approvals: Mapping[str, Approval],
    *,
    observation: Observation,
    decisions: int,
    settings: EngineSettings,
) -> tuple[Decided, ...]:
    """What is decided for each service; `decisions` were made before this step."""
    decided = []
    for one, may, gets in zip(seen, allowed, granted, strict=True):
        decision = _decided(
            one,
            may,
            gets,
            approvals,
            observation=observation,
            decisions=decisions,
            settings=settings,
        )
        decisions = decision.decisions
        decided.append(decision)
    return tuple(decided)


def _decided(
    seen: Seen,
    allowed: Allowed,
    granted: Granted,
    approvals: Mapping[str, Approval],
    *,
    observation: Observation,
    decisions: int,
    settings: EngineSettings,
) -> Decided:
    now_s, current, chosen = observation.now_s, seen.service.desired, allowed.chosen
    declined, note, pending = allowed.declined, allowed.notes, seen.memory.pending
    if chosen is not None and granted.why and chosen.target != current:
        declined = (*declined, Declined(chosen, granted.why))
        note = f"{note}; {granted.why}" if note else granted.why
    if pending is not None:
        released = granted.released
        if released is not None and granted.target != current:
            if granted.target != released.to_instances:
                released = replace(released, to_instances=granted.target)
            return Decided(decisions, declined, None, action=released, taken=chosen)
        if chosen is not None and approved_now(seen, approvals, now_s) is not None:
            declined = (*declined, Declined(chosen, "approved, but no longer right"))
        pending = still_pending(seen, approvals, now_s)
    if chosen is None or granted.target == current:
        return Decided(decisions, declined, pending)
    decisions += 1
    action = _action(
        seen,
        chosen,
        granted.target,
        note,
        observation=observation,
        number=decisions,
        settings=settings,
    )
    if settings.mode == "recommend_only":
        return Decided(decisions, declined, pending, dry=action)
    if action.category is Category.NEEDS_APPROVAL:
        if pending is not None and is_same_question(pending.action, action.to_instances):
            return Decided(decisions, declined, pending)
        asked = Pending(action, now_s + settings.approval.expires_s)
        return Decided(decisions, declined, asked, question=action)
    kept = pending if pending is not None and pending.refused else None
    return Decided(decisions, declined, kept, action=action, taken=chosen)


def _action(
    seen: Seen,
    chosen: Recommendation,
    target: int,
    note: str,
    *,
    observation: Observation,
    number: int,
    settings: EngineSettings,
) -> Action:
    spec, now_s, current = seen.traits.spec, observation.now_s, seen.service.desired
    cost_per_hour = (target - current) * spec.price_per_hour
    ahead_s = chosen.evidence.get("ahead_s", seen.traits.lead_s)
    behind = context(observation.outlook, now_s + ahead_s)
    return Action(
        decision_id=_decision_id(spec.name, current, target, now_s, number=number),
        service=spec.name,
        from_instances=current,
        to_instances=target,
        reason=chosen.reason,
        category=category(
            chosen.reason, target - current, cost_per_hour, chosen.confidence,
            settings=settings.approval,
        ),
        confidence=chosen.confidence,
        cost_per_hour=cost_per_hour,
        rollback=Rollback(current),
        weddings=behind,
        evidence=chosen.evidence,
        trigger_s=chosen.trigger_s,
        decided_s=now_s,
        explanation=explain(
            spec.name, current, target, chosen.reason,
            evidence=chosen.evidence, weddings=behind, notes=note, noun=observation.outlook.noun,
        ),
        scale_id=chosen.scale_id,
    )  # fmt: skip


def _decision_id(service: str, current: int, target: int, now_s: float, *, number: int) -> str:
    """The same decision has the same id wherever it is made: it is the idempotency key.

    The `number` of the decision is for a clock that was set back: a time may come twice.
    """
    text = f"{service}|{current}|{target}|{now_s:.3f}|{number}"
    return f"{service}-{hashlib.blake2b(text.encode(), digest_size=6).hexdigest()}"
