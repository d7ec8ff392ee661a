"""Carries rows from the store, where they are staged with what they are about, into the log.

A row is appended first and forgotten by the store then.  Who is killed between the two leaves it
in both, and the log knows it again by its id: so each row is in the log once, whenever whoever
carries is killed, and however many of them carry at the same time.
"""

from __future__ import annotations

import asyncio
import threading

import structlog

from engine.ports.store import Staged
from engine.security.audit.log import AuditLog

BATCH = 256
"""Rows that are appended under one signature."""

LOOK_S = 0.5
"""Between two looks of a running engine at whether there is something to carry."""

log = structlog.stdlib.get_logger(__name__)


class Courier:
    """Between one store and one log; any of its threads may carry."""

    def __init__(self, staged: Staged, audit: AuditLog) -> None:
        self._staged = staged
        self.audit = audit
        self._lock = threading.Lock()
        self.trouble = ""
        """Why the last attempt failed, "" if it did not."""

    def carry(self) -> int:
        """Carry all that waits; how many rows that were.  Raises OSError, ValueError."""
        count = 0
        with self._lock:
            try:
                while rows := self._staged.staged(BATCH):
                    self.audit.take(rows)
                    ids = [row.id for row in rows]
                    self._staged.unstage(ids)
                    self.audit.forget(ids)
                    count += len(rows)
            except (OSError, ValueError) as error:
                self.trouble = f"rows of the audit log wait in the store: {error}"
                raise
            self.trouble = ""
        return count

    def try_to_carry(self) -> bool:
        """As `carry`, for who has done what the rows are about: they wait if it cannot be."""
        before = self.trouble
        try:
            self.carry()
        except (OSError, ValueError):
            if self.trouble != before:
                log.error(f"audit: {self.trouble}")
            return False
        return True

    async def keep_carrying(self) -> None:
        """Carry whatever comes, until this is cancelled."""
        while True:
            await asyncio.to_thread(self.try_to_carry)
            await asyncio.sleep(LOOK_S)
