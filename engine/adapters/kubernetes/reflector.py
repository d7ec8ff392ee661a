"""All objects of one kind as they are now: list, watch from there, and list again when that ends.

What the API server says is no proof that it is so: from its cache it answers while its database is
dead, and a connection through a dead path says nothing at all.  So it is known when each watch was
last heard; a watch that is silent for longer than it was asked to last is given up; and whoever
finds that the objects disagree with something newer has them listed anew (`recheck`).  A list
without a version is answered from the database, or not.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from engine.adapters.kubernetes.api import GONE, Api, ApiError

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.1, 2.0
"""Before a list is tried again."""

_Kept = TypeVar("_Kept")


class Reflector(Generic[_Kept]):
    """Keeps `keep(object)` of each object, by uid; None leaves it out."""

    def __init__(
        self,
        api: Api,
        path: str,
        keep: Callable[[dict[str, Any]], _Kept | None],
        duration_s: float,
        **parameters: str,
    ) -> None:
        self.objects: dict[str, _Kept] = {}
        self.path = path
        self.heard_s = float("-inf")
        """When a list or the watch said something last (monotonic)."""
        self.trouble = ""
        """Why there is neither, "" while there is."""
        self.lists = 0
        self._api = api
        self._keep = keep
        self._duration_s = duration_s
        self._parameters = parameters
        self._version = ""
        self._listed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin; has to be called in the loop in which it is asked."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._follow())

    async def recheck(self) -> None:
        """List anew, now; raises ApiError when that fails, and keeps what there was."""
        await self._stop()
        try:
            await self._list()
        except ApiError as error:
            self.trouble = str(error)
            raise
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self.trouble = f"{self.path}: what was answered is no list ({error!r:.80})"
            raise ApiError(self.trouble) from None
        finally:
            self.start()

    async def listed(self, patience_s: float) -> None:
        """Wait for the first list; raises ApiError when it does not come."""
        self.start()
        try:
            async with asyncio.timeout(patience_s):
                await self._listed.wait()
        except TimeoutError:
            raise ApiError(self.trouble or f"{self.path}: no list in {patience_s:g} s") from None

    async def close(self) -> None:
        """End it."""
        await self._stop()

    async def _stop(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([task])

    async def _follow(self) -> None:
        pause_s = FIRST_PAUSE_S
        while True:
            began_s, why = time.monotonic(), ""
            try:
                if not self._version:
                    await self._list()
                async for event in self._api.watch(
                    self.path, self._version, self._duration_s, **self._parameters
                ):
                    self._take(event)
                    pause_s = FIRST_PAUSE_S
            except ApiError as error:
                # What vanished while nobody watched is only missing from a new list.
                self._version = ""
                why = "" if error.status == GONE else str(error)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                self._version = ""
                why = f"{self.path}: what was answered is no list and no event ({error!r:.80})"
            self.trouble = why
            if why or time.monotonic() - began_s < 1.0:  # it would turn in circles
                await asyncio.sleep(pause_s)
                pause_s = min(2.0 * pause_s, LONGEST_PAUSE_S)

    async def _list(self) -> None:
        asked_s = time.monotonic()
        body = await self._api.get(self.path, **self._parameters)
        objects: dict[str, _Kept] = {}
        for one in body.get("items") or ():
            kept = self._keep(one)
            if kept is not None:
                objects[str(one["metadata"]["uid"])] = kept
        self.objects = objects
        self._version = str((body.get("metadata") or {}).get("resourceVersion", ""))
        if not self._version:
            raise ApiError(f"{self.path}: the list has no version")
        self.heard_s, self.trouble = asked_s, ""
        self.lists += 1
        self._listed.set()

    def _take(self, event: dict[str, Any]) -> None:
        body = event["object"]
        meta = body.get("metadata") or {}
        self._version = str(meta.get("resourceVersion") or self._version)
        self.heard_s, self.trouble = time.monotonic(), ""
        if event["type"] == "BOOKMARK":
            return
        uid = str(meta.get("uid", ""))
        kept = None if event["type"] == "DELETED" else self._keep(body)
        if kept is None:
            self.objects.pop(uid, None)
        else:
            self.objects[uid] = kept
