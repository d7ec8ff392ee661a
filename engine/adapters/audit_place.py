"""The audit log of an engine's state folder, whose rows are sealed if its owner has his keys."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from engine.adapters import cabinet_files
from engine.security.audit import log
from engine.security.audit.log import AuditLog
from engine.security.audit.sealed_rows import RowSealer


def audit_of(state: Path, *, key: Path | None = None, copies: Sequence[str] = ()) -> AuditLog:
    """The log to go on with; raises OSError, SealError, CabinetError, AuditKeyError."""
    return log.opened(state / log.FOLDER, key=key, copies=copies, sealer=row_sealer_of(state))


def row_sealer_of(state: Path) -> RowSealer | None:
    """What seals rows in a state folder, if anything does; raises OSError, SealError."""
    if cabinet_files.sealer_of(state) is None:
        return None
    return RowSealer(cabinet_files.opened(state))
