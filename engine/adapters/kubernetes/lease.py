"""Who leads, in a Lease of the cluster: for engines that share workloads and no folder.

`leaseTransitions` is the fence, one higher with each lead.  A lead lasts 8 s from when another
engine saw it last renewed, by that engine's own monotonic clock; so no two clocks are compared.
The holder renews each 2 s in a task of its own, and stops 6 s after it *sent* its last good
renewal: whoever waits cannot have begun its 8 s before that.  Each write is made on the version
that was read, so of two that take a lead at once one has its way.

A lease keeps two engines from acting at once only as long as their clocks run; the fence, which
stands on each workload, keeps what is late from counting in any case.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import os
import socket
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from engine.adapters.kubernetes.access import AccessError, access_of
from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.keda.pulse import API, KIND, path_of, stamp
from engine.adapters.kubernetes.settings import KubernetesConfig
from engine.adapters.kubernetes.workloads import at
from engine.config.strict import ConfigError
from engine.ports.lease import NO_FENCE, Fence, NotLeadingError

TTL_S = 8.0
"""A lease that nobody renewed for so long can be taken."""
ACT_S = 6.0
"""The holder leads for so long after it sent its last good renewal."""
RENEW_S = 2.0
SOON_S = 0.05
CHANGED = (404, 409, 422)
"""What a write is answered whose object is another one by now, or gone."""


def lease_of(name: str, options: Mapping[str, str]) -> KubernetesLease:
    """The lease of this name in the cluster that `options` reach; raises ConfigError."""
    config = KubernetesConfig.of(options)
    try:
        access = access_of(config)
    except AccessError as error:
        raise ConfigError(f"live.cluster_lease: {error}") from None
    return KubernetesLease(Api(access, config.timeout_s), access.namespace, name)


@dataclass(frozen=True, slots=True)
class SeenLease:
    """The Lease as it was read: its version, who has it, and under which fence."""

    version: str
    holder: str
    fence: Fence


class KubernetesLease:
    """`engine.ports.lease.Lease`, in the Lease `name` of a namespace; makes it if there is none."""

    def __init__(
        self,
        api: Api,
        namespace: str,
        name: str,
        clock_s: Callable[[], float] = time.monotonic,
        *,
        renew_s: float = RENEW_S,
    ) -> None:
        self.holder = f"{socket.gethostname()}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._api = api
        self._folder = path_of(namespace)
        self._path = path_of(namespace, name)
        self._meta = {"name": name, "namespace": namespace}
        self._clock_s = clock_s
        self._renew_s = renew_s
        self._fence = NO_FENCE
        self._until_s = float("-inf")
        self._newest = NO_FENCE
        """The highest fence that was seen: the object may have been deleted since."""
        self._seen: SeenLease | None = None
        self._unchanged_since_s = 0.0
        """Since when what was seen has not changed, by this engine's clock."""
        self._trouble = ""
        self._busy = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    # --- the port

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        """Take the lead or keep it; raises NotLeadingError, also when no renewal came through."""
        del now_s  # the engine's wall clock may be set
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._renewed())
        if not self.holds(self._fence) or self._fence <= above:
            async with self._busy:
                await self._turn(above)
        if self.holds(self._fence):
            return self._fence
        seen = self._seen
        if self._trouble or seen is None:
            raise NotLeadingError(f"who leads is not known: {self._trouble}", "nobody in sight")
        raise NotLeadingError(f"{seen.holder or 'nobody'} leads", seen.holder or "nobody")

    def holds(self, fence: Fence) -> bool:
        """Whether this engine leads under `fence` at this moment."""
        return fence != NO_FENCE and fence == self._fence and self._clock_s() < self._until_s

    async def release(self) -> None:
        """Let another engine lead at once; one that cannot be told waits until it is over."""
        async with self._busy:
            if self._task is not None:
                self._task.cancel()
                self._task = None
            held, self._until_s = self.holds(self._fence), float("-inf")
            self._fence, seen = NO_FENCE, self._seen
            if held and seen is not None:
                with contextlib.suppress(ApiError):
                    await self._write(seen.version, "", seen.fence)

    # --- inside

    async def _renewed(self) -> None:
        """Renew, or look, in time; what goes wrong is told by `hold`."""
        while True:
            await asyncio.sleep(self._pause_s())
            async with self._busy:
                await self._turn(NO_FENCE)

    def _pause_s(self) -> float:
        """Until the next renewal or look: at once when another's lead is certain to be over."""
        left_s = self._unchanged_since_s + TTL_S - self._clock_s()
        seen = self._seen
        if seen is None or self._is_kept(seen) or not SOON_S < left_s < self._renew_s:
            return self._renew_s
        return left_s + SOON_S

    async def _turn(self, above: Fence) -> None:
        """One renewal, or one look and a try to take it if it is over; `_trouble` is why not."""
        try:
            await self._try(above)
        except ApiError as error:
            self._trouble = str(error)
        else:
            self._trouble = ""

    async def _try(self, above: Fence) -> None:
        if self._seen is None or self._seen.holder != self.holder:
            await self._look()
        seen = self._seen
        try:
            if seen is not None and self._is_kept(seen) and seen.fence > above:
                await self._confirmed(seen, seen.fence)
            elif seen is None or self._is_free(seen):
                await self._confirmed(seen, Fence(max(self._newest, above) + 1))
        except ApiError as error:
            if error.status not in CHANGED:
                raise
            await self._look()
            if self._seen == seen:
                raise  # nobody was faster: it is refused for what it says

    def _is_kept(self, seen: SeenLease) -> bool:
        """Whether this engine leads; who stopped in between does so under a new fence."""
        return seen.holder == self.holder and self.holds(seen.fence)

    def _is_free(self, seen: SeenLease) -> bool:
        """Whether it is nobody's, this engine's own, or has not been renewed for too long."""
        if seen.holder in ("", self.holder):
            return True
        return self._clock_s() - self._unchanged_since_s >= TTL_S

    async def _confirmed(self, seen: SeenLease | None, fence: Fence) -> None:
        """Have it under `fence`, until so long after this was sent."""
        sent_s = self._clock_s()
        if seen is None:
            lease = {
                "apiVersion": API, "kind": KIND, "metadata": self._meta,
                "spec": self._spec(self.holder, fence),
            }  # fmt: skip
            self._note(await self._api.post(self._folder, lease))
        else:
            await self._write(seen.version, self.holder, fence)
        self._fence, self._until_s = fence, sent_s + ACT_S

    async def _write(self, version: str, holder: str, fence: Fence) -> None:
        self._note(
            await self._api.patch(
                self._path,
                [
                    {"op": "test", "path": "/metadata/resourceVersion", "value": version},
                    {"op": "add", "path": "/spec", "value": self._spec(holder, fence)},
                ],
            )
        )

    async def _look(self) -> None:
        """Read it; raises ApiError."""
        try:
            self._note(await self._api.get(self._path))
        except ApiError as error:
            if error.status != 404:
                raise
            self._seen = None

    def _note(self, lease: Mapping[str, Any]) -> None:
        there = at(lease, "/spec/leaseTransitions")
        seen = SeenLease(
            str(at(lease, "/metadata/resourceVersion") or ""),
            str(at(lease, "/spec/holderIdentity") or ""),
            Fence(there) if isinstance(there, int) else NO_FENCE,
        )
        if seen != self._seen:
            # From the answer on: it may have been renewed just before that was given.
            self._seen, self._unchanged_since_s = seen, self._clock_s()
        self._newest = Fence(max(self._newest, seen.fence))

    def _spec(self, holder: str, fence: Fence) -> dict[str, Any]:
        now = stamp(dt.datetime.now(dt.UTC))
        spec: dict[str, Any] = {
            "leaseDurationSeconds": round(TTL_S), "leaseTransitions": int(fence), "renewTime": now,
        }  # fmt: skip
        return spec | ({"holderIdentity": holder} if holder else {})
