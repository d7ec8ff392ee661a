"""What the engine wants, as it stands in the cluster: ScaledObjects are watched, the Lease is read.

A watch may be deaf without a word, so the ScaledObjects are listed anew from time to time, and a
scaler that has not seen the cluster for `silent_s` knows no more than one whose engine is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import time
from collections.abc import Iterable, Mapping
from typing import Any

from engine.adapters.kubernetes.api import Api, ApiError
from engine.adapters.kubernetes.keda.answers import WantedNow
from engine.adapters.kubernetes.keda.pulse import SHARE, Ear, path_of
from engine.adapters.kubernetes.keda.scaled_objects import PublishedCount, published
from engine.adapters.kubernetes.owners import SCALED_OBJECTS
from engine.adapters.kubernetes.reflector import Reflector
from engine.adapters.kubernetes.settings import KubernetesConfig

LISTENS_S = 2.0
"""How often the Lease is read, unless silence is to be noticed sooner."""


class Published:
    """The ScaledObjects of some namespaces, and whether the engine is there."""

    def __init__(
        self, api: Api, config: KubernetesConfig, namespaces: Iterable[str], lease_in: str
    ) -> None:
        self.changed = asyncio.Event()
        """Set, and replaced, when something may have changed."""
        self._api = api
        self._config = config
        self._lease = path_of(lease_in, config.keda.lease)
        self._ear = Ear()
        self._lease_trouble = ""
        plural, group = SCALED_OBJECTS[1], SCALED_OBJECTS[0]
        self._watches = [
            Reflector[PublishedCount](
                api, f"/apis/{group}/namespaces/{name}/{plural}", self._keep, config.watch_s
            )
            for name in sorted(set(namespaces))
        ]
        self._by_name: dict[tuple[str, str], PublishedCount] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to look."""
        for watch in self._watches:
            watch.start()
        self._task = asyncio.create_task(self._listen())

    def standing(self) -> WantedNow:
        """What is to be gone by now."""
        if self._by_name is None:
            self._by_name = {
                (one.namespace, one.name): one
                for watch in self._watches
                for one in watch.objects.values()
            }
        return WantedNow(self._by_name, self._trouble())

    async def close(self) -> None:
        """Stop looking."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        for watch in self._watches:
            await watch.close()

    def _trouble(self) -> str:
        now_s, patience_s = time.monotonic(), self._config.keda.silent_s
        for watch in self._watches:
            if now_s - watch.heard_s > patience_s:
                return f"the cluster is not seen: {watch.trouble or 'nothing was heard yet'}"
        silent_s = now_s - self._ear.heard_s
        if silent_s > patience_s:
            ago = "never" if silent_s == float("inf") else f"{silent_s:.0f} s ago"
            why = f" ({self._lease_trouble})" if self._lease_trouble else ""
            return f"the engine was last heard {ago}, silent_s is {patience_s:g}{why}"
        return ""

    def _keep(self, body: Mapping[str, Any]) -> PublishedCount:
        # After this one is in its place.
        asyncio.get_running_loop().call_soon(self._tell)
        return published(body)

    def _tell(self) -> None:
        self._by_name = None
        self.changed.set()
        self.changed = asyncio.Event()

    async def _listen(self) -> None:
        while True:
            was = self._trouble()
            try:
                lease = await self._api.get(self._lease)
                self._ear.hear(lease, time.monotonic(), dt.datetime.now(dt.UTC))
                self._lease_trouble = ""
            except ApiError as error:
                self._lease_trouble = str(error)
            for watch in self._watches:
                if time.monotonic() - watch.heard_s > self._config.stale_s:
                    with contextlib.suppress(ApiError):  # the watch says so itself
                        await watch.recheck()
            if self._trouble() != was:
                self._tell()
            await asyncio.sleep(min(LISTENS_S, self._config.keda.silent_s / SHARE))
