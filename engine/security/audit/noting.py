"""What the audit log says of what the engine itself does."""

from __future__ import annotations

from engine.model import Action, ActionResult
from engine.security.audit.rows import AuditEntry

ENGINE = "engine"
"""Who acts, where no person does."""


def decided(action: Action, time_s: float) -> AuditEntry:
    """An action, before it is sent."""
    return AuditEntry(
        at_ms=round(1000.0 * time_s), actor=ENGINE, action="scale", target=action.service,
        outcome="decided", why=action.explanation,
        before={"instances": action.from_instances},
        after={"instances": action.to_instances, "decision": action.decision_id,
               "category": action.category.value, "reason": action.reason.value},
    )  # fmt: skip


def became(result: ActionResult) -> AuditEntry:
    """What became of one."""
    return AuditEntry(
        at_ms=round(1000.0 * result.time_s), actor=ENGINE, action="result",
        target=result.decision_id, outcome=result.status.value, why=result.detail,
    )  # fmt: skip
