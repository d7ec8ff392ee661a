"""What the audit log says of what the engine itself does.

A row's id is made of what it is about, so it is the same however often it is made.
"""

from __future__ import annotations

import hashlib
import secrets

from engine.model import Action, ActionResult
from engine.security.audit.rows import AuditEntry

ENGINE = "engine"
"""Who acts, where no person does."""

ID_DIGITS = 16


def decided(action: Action, time_s: float) -> AuditEntry:
    """An action, before it is sent."""
    return AuditEntry(
        at_ms=round(1000.0 * time_s), actor=ENGINE, action="scale", target=action.service,
        outcome="decided", why=_text(action.explanation), id=_id("decided", action.decision_id),
        before={"instances": action.from_instances},
        after={"instances": action.to_instances, "decision": action.decision_id,
               "category": action.category.value, "reason": action.reason.value},
    )  # fmt: skip


def became(result: ActionResult) -> AuditEntry:
    """What became of one."""
    return AuditEntry(
        at_ms=round(1000.0 * result.time_s), actor=ENGINE, action="result",
        target=result.decision_id, outcome=result.status.value, why=_text(result.detail),
        id=_id("result", f"{result.decision_id}/{result.status}/{result.time_s:.3f}"),
    )  # fmt: skip


def staged(entry: AuditEntry) -> str:
    """The row as a store stages it; raises ValueError as `AuditEntry.text`."""
    return entry.text().decode()


def new_id() -> str:
    """For a row about what is done once, and is never made again."""
    return secrets.token_hex(ID_DIGITS // 2)


def _id(kind: str, name: str) -> str:
    return hashlib.sha256(f"{kind}/{name}".encode("utf-8", "replace")).hexdigest()[:ID_DIGITS]


def _text(words: str) -> str:
    """Words of others; what is no text in them must not keep the row from being written."""
    return words.encode("utf-8", "replace").decode()
