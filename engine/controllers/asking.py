"""What the baselines share: turning a count that is wanted into an action."""

from __future__ import annotations

from collections.abc import Mapping

from engine.model import Action, Category, Reason, Rollback, ServiceObservation, WeddingContext


def ask(
    service: ServiceObservation,
    target: int,
    now_s: float,
    *,
    reason: Reason,
    trigger_s: float,
    evidence: Mapping[str, float],
    explanation: str,
) -> Action:
    """An action that nobody has to approve and that is never rolled back."""
    spec, current = service.spec, service.desired
    return Action(
        decision_id=f"{spec.name}-{now_s:.0f}-{current}-{target}",
        service=spec.name,
        from_instances=current,
        to_instances=target,
        reason=reason,
        category=Category.AUTOMATIC,
        confidence=1.0,
        cost_per_hour=(target - current) * spec.price_per_hour,
        rollback=Rollback(current),
        weddings=WeddingContext(),
        evidence=evidence,
        trigger_s=trigger_s,
        decided_s=now_s,
        explanation=explanation,
    )
