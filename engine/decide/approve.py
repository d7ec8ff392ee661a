"""Who may let an action pass, and what became of a question that was put."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.decide.rails.limits import Purse
from engine.memory import NEVER, ServiceMemory
from engine.model import Action, Approval, Category, Reason, ServiceSpec
from engine.settings import ApprovalSettings

SAME_QUESTION = 0.2


def category(
    reason: Reason, added: int, cost_per_hour: float, confidence: float, settings: ApprovalSettings
) -> Category:
    """Category of a change by `added` instances (negative: fewer) at `cost_per_hour` USD/h."""
    if reason is Reason.EMERGENCY:
        return Category.EMERGENCY
    if reason in (Reason.ROLLBACK, Reason.MANUAL):
        # A rollback restores what was approved before; a manual request is a person's own word.
        return Category.AUTOMATIC
    large = abs(added) > settings.max_instances
    dear = cost_per_hour > settings.max_cost_per_hour
    unsure = confidence < settings.min_confidence
    return Category.NEEDS_APPROVAL if large or dear or unsure else Category.AUTOMATIC


def answered(
    memory: ServiceMemory, approvals: Mapping[str, Approval], now_s: float
) -> Action | None:
    """The pending action if it has just been approved; forgets it when refused or expired."""
    pending = memory.pending
    if pending is None:
        return None
    answer = approvals.get(pending.decision_id)
    if answer is not None and answer.approved:
        memory.pending = None
        memory.pending_until_s = NEVER
        return pending
    if now_s >= memory.pending_until_s:
        memory.pending = None
        memory.pending_until_s = NEVER
    return None


def is_same_question(pending: Action, target: int) -> bool:
    """Whether `target` is so near to what was asked that asking again would be a nuisance."""
    change = pending.to_instances - pending.from_instances
    return (target > pending.from_instances) == (change > 0) and abs(
        target - pending.to_instances
    ) <= max(1.0, SAME_QUESTION * abs(change))


def still_right(
    approved: Action, spec: ServiceSpec, current: int, target: int, purse: Purse
) -> Action | None:
    """What of an approved action may be done now that the rails allow `target`; None: nothing.

    A rise may be as high as approved if it can be paid, a fall goes no further than is safe now.
    """
    if (
        approved.from_instances != current
        or target == current
        or not is_same_question(approved, target)
    ):
        return None
    to = approved.to_instances
    if target < current:
        to = max(target, to)
    elif to > target:
        to = purse.afford(spec, target, to).target
    return approved if to == approved.to_instances else replace(approved, to_instances=to)
