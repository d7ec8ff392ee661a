"""Events on a workload: what the engine did or would do, and why; `kubectl describe` shows them."""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import os
import socket
from collections.abc import Mapping

from engine.adapters.kubernetes.api import MANAGER, Api, ApiError
from engine.adapters.kubernetes.workloads import KubeObject
from engine.model import Action

DONE, ADVISED, PUBLISHED = "Scaled", "WouldScale", "Wanted"
"""Reasons of events: it was done, only recommended, or said to KEDA."""
LONGEST_NOTE = 1000
"""Characters of an event's words; the API server takes 1,024 bytes."""
AGAIN_S = 600.0
"""The same advice is told again after so long."""
AT_ONCE = 100
"""Events under way; beyond that none is begun, as no decision waits for them."""


def event(
    target: KubeObject, uid: str, reason: str, action: Action, *, now: dt.datetime
) -> dict[str, object]:
    """The event of one decision; sent twice, it has the same name."""
    stamp = now.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    number = hashlib.sha256(f"{reason} {action.decision_id}".encode()).hexdigest()[:16]
    said = (
        f"{action.from_instances} → {action.to_instances} ({action.reason}): {action.explanation}"
    )
    note = said.encode()[:LONGEST_NOTE].decode(errors="ignore")
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{target.name[:200]}.{number}", "namespace": target.namespace},
        "involvedObject": {
            "apiVersion": target.api, "kind": target.kind, "namespace": target.namespace,
            "name": target.name, "uid": uid,
        },
        "reason": reason,
        "message": note,
        "type": "Normal",
        "source": {"component": MANAGER},
        "reportingComponent": MANAGER,
        "reportingInstance": f"{socket.gethostname()}-{os.getpid()}"[:128],
        "firstTimestamp": stamp,
        "lastTimestamp": stamp,
        "count": 1,
    }  # fmt: skip


class Teller:
    """Writes events beside what the engine does; a decision neither waits for one nor needs it."""

    def __init__(self, api: Api) -> None:
        self.trouble = ""
        """Why the last one could not be written, "" if it was."""
        self._api = api
        self._under_way: set[asyncio.Task[None]] = set()
        self._advised: dict[str, tuple[tuple[int, int, str], float]] = {}

    def tell(self, target: KubeObject, uid: str, reason: str, action: Action) -> None:
        """Begin to write it."""
        if len(self._under_way) >= AT_ONCE:
            return
        body = event(target, uid, reason, action, now=dt.datetime.now(dt.UTC))
        task = asyncio.create_task(self._write(target.namespace, body))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def is_news(self, action: Action, now_s: float) -> bool:
        """Whether this advice was not given for the service just before."""
        advice = (action.from_instances, action.to_instances, action.reason.value)
        before = self._advised.get(action.service)
        if before is not None and before[0] == advice and now_s - before[1] < AGAIN_S:
            return False
        self._advised[action.service] = (advice, now_s)
        return True

    async def close(self) -> None:
        """Let those that are under way be written, a little while."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=1.0)
        for task in self._under_way:
            task.cancel()

    async def _write(self, namespace: str, body: Mapping[str, object]) -> None:
        try:
            await self._api.post(f"/api/v1/namespaces/{namespace}/events", body)
            self.trouble = ""
        except ApiError as error:
            if error.status != 409:  # it is there already
                self.trouble = f"events cannot be written: {error}"
