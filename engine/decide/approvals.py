"""Which actions a person has to let pass, and what the answers to earlier questions allow.

A question is put once and expires.  A refusal is final: the action that it was about is never
carried out, whoever approves it afterwards, and the same question is not put again before it would
have expired.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from engine.decide.observe import Seen
from engine.memory import Pending
from engine.model import Action, Approval, Category, Reason
from engine.settings import ApprovalSettings

SAME_QUESTION = 0.2


def final_answers(answers: Sequence[Approval]) -> Mapping[str, Approval]:
    """The answers by decision id; of several to one question a refusal counts, else the first."""
    final: dict[str, Approval] = {}
    for answer in answers:
        if answer.decision_id not in final or not answer.approved:
            final[answer.decision_id] = answer
    return final


def category(
    reason: Reason,
    added: int,
    cost_per_hour: float,
    confidence: float,
    *,
    settings: ApprovalSettings,
) -> Category:
    """Category of a change by `added` instances (negative: fewer) at `cost_per_hour` USD/h."""
    if reason is Reason.EMERGENCY:
        return Category.EMERGENCY
    if reason in (Reason.ROLLBACK, Reason.MANUAL, Reason.BOUNDS):
        # A rollback restores what was approved before; what a person asks for, and the bounds that
        # people have set, are their own word.
        return Category.AUTOMATIC
    large = abs(added) > settings.max_instances
    dear = cost_per_hour > settings.max_cost_per_hour
    unsure = confidence < settings.min_confidence
    return Category.NEEDS_APPROVAL if large or dear or unsure else Category.AUTOMATIC


def approved_now(seen: Seen, approvals: Mapping[str, Approval], now_s: float) -> Action | None:
    """The pending action, if it has just been approved, in time and not after a refusal."""
    pending = seen.memory.pending
    if pending is None or pending.refused:
        return None
    answer = approvals.get(pending.action.decision_id)
    if answer is None or not answer.approved:
        return None
    in_time = min(now_s, answer.time_s) < pending.expires_s
    return pending.action if in_time else None


def released(
    seen: Seen, target: int, most: int, approvals: Mapping[str, Approval], *, now_s: float
) -> Action | None:
    """What of an approved action may be done now that the rails allow `target`; None: nothing.

    A rise may be as high as approved, but not above `most`, where the service is pinned or has its
    maximum; a fall goes no further than is safe now.
    """
    approved = approved_now(seen, approvals, now_s)
    current = seen.service.desired
    if (
        approved is None
        or approved.from_instances != current
        or target == current
        or not is_same_question(approved, target)
    ):
        return None
    to = approved.to_instances
    to = max(target, to) if target < current else min(to, most)
    return approved if to == approved.to_instances else replace(approved, to_instances=to)


def is_same_question(asked: Action, target: int) -> bool:
    """Whether `target` is so near to what was asked that asking again would be a nuisance."""
    change = asked.to_instances - asked.from_instances
    return (target > asked.from_instances) == (change > 0) and abs(
        target - asked.to_instances
    ) <= max(1.0, SAME_QUESTION * abs(change))


def still_pending(seen: Seen, approvals: Mapping[str, Approval], now_s: float) -> Pending | None:
    """The question that still waits after the answers; a refused one waits for its expiry."""
    pending = seen.memory.pending
    if pending is None or now_s >= pending.expires_s:
        return None
    answer = approvals.get(pending.action.decision_id)
    if answer is None or pending.refused:
        return pending
    return None if answer.approved else pending._replace(refused=True)
