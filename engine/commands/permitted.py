"""What somebody does with the engine's state by hand: only what he may, and never unseen."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from engine.adapters.audit_place import audit_of
from engine.security import local
from engine.security.audit.rows import AuditEntry, Values
from engine.security.roles import Permission, Principal, Situation, refusal


class NotAllowedError(Exception):
    """Who runs the command may not; the message says why."""


@contextlib.contextmanager
def permitted(
    state: Path, permission: Permission, *, verb: str, target: str, why: str, after: Values
) -> Iterator[Principal]:
    """Who runs this process, if he may do what the block does; it is in the audit log before.

    A block that raises ValueError or OSError has failed, which is written down as well.  Raises
    NotAllowedError, OSError.
    """
    who = local.principal(state)
    reason = refusal(who, permission, "", Situation(), now_s=time.time())
    audit = audit_of(state)

    def note(outcome: str, because: str) -> None:
        entry = AuditEntry(
            at_ms=round(time.time() * 1000.0), actor=who.name, action=verb, target=target,
            outcome=outcome, why=because, after=after,
        )  # fmt: skip
        audit.append(entry)

    if reason:
        note("refused", reason)
        raise NotAllowedError(reason)
    note("accepted", why)
    try:
        yield who
    except (ValueError, OSError) as error:
        note("failed", str(error))
        raise
