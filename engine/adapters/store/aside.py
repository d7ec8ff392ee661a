"""What emergency access asks for while the store takes nothing: kept beside it, then carried in.

Who has emergency access may ask for more instances though the database is down.  That is a line of
a file in the state folder, on the disk before anybody is told that it was taken; the shell acts on
it as on what is in the store.  Once the store takes something again the line is carried in, with
its row for the audit log, in one transaction.  A manual action has an id that the store knows it
by, so a line whose carrier was killed, before or after, is in the store once: what is there is not
asked again, as somebody may have asked for another count since.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import structlog

from engine.adapters.store import written
from engine.adapters.store.letters import PLAIN, Letters
from engine.model import ManualScale
from engine.ports.desk import Asked, Desk, RequestError
from engine.ports.lease import Fence
from engine.ports.store import Kept, Requests, RowKind, Store

NAME = "aside.jsonl"
CONTEXT = "aside"
WAIT_S = 0.5
"""The store is waited for so long while there is something beside it."""

log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class AsideScales:
    """Manual actions that were asked for together, each with its row of the audit log."""

    scales: tuple[ManualScale, ...]
    audits: tuple[str, ...]


class Aside:
    """The file of a state folder; any number of these, in any process, are the same."""

    def __init__(self, state: Path, letters: Letters = PLAIN) -> None:
        self._path = state / NAME
        self._letters = letters

    def add(self, asked: Sequence[tuple[ManualScale, str]]) -> None:
        """Keep them, all or none, on the disk when this returns; raises OSError."""
        content = json.dumps(
            {
                "scales": [written.of_request(scale, None) for scale, _ in asked],
                "audits": [audit for _, audit in asked],
            }
        )
        line = self._letters.closed(content, CONTEXT).encode() + b"\n"
        is_new = not self._path.exists()
        with self._locked(os.O_RDWR | os.O_CREAT) as file:
            # A line that was cut off is nobody's: nobody was told that it was taken.
            end = os.pread(file, os.fstat(file).st_size, 0).rfind(b"\n") + 1
            os.ftruncate(file, end)
            os.lseek(file, end, os.SEEK_SET)
            try:
                if os.write(file, line) < len(line):
                    raise OSError(errno.ENOSPC, "not all of it was taken", str(self._path))
                os.fsync(file)
            except OSError:
                with contextlib.suppress(OSError):
                    os.ftruncate(file, end)
                raise
        if is_new:
            folder = os.open(self._path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def waiting(self) -> tuple[AsideScales, ...]:
        """All that is there, the oldest first; raises OSError."""
        return self._parsed(self._read())

    def scale(self, scale_id: str) -> ManualScale | None:
        """The manual action with that id, if it waits; raises OSError."""
        return next(
            (one for entry in self.waiting() for one in entry.scales if one.id == scale_id), None
        )

    def carry(self, desk: Desk) -> None:
        """Put all that is there into the store, each once; raises OSError, and goes on later."""
        content = self._read()
        if not content:
            return
        entries = self._parsed(content)
        for entry in entries:
            if any(desk.row(RowKind.SCALE, scale.id) for scale in entry.scales):
                continue
            asked = zip(entry.scales, entry.audits, strict=True)
            try:
                desk.ask_together([(Asked(scale, None), audit) for scale, audit in asked])
            except RequestError as error:
                log.error(f"what was kept beside the store is not taken: {error}")
        with self._locked(os.O_RDWR) as file:
            if os.pread(file, os.fstat(file).st_size + 1, 0) == content:
                if len(entries) < sum(map(bool, content.split(b"\n")[:-1])):
                    # For people to look at.
                    name = f"{NAME}.unread-{hashlib.sha256(content).hexdigest()[:8]}"
                    self._path.with_name(name).write_bytes(content)
                os.ftruncate(file, 0)
                os.fsync(file)

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except FileNotFoundError:
            return b""

    def _parsed(self, content: bytes) -> tuple[AsideScales, ...]:
        """The lines; one without an end is of nobody who was told that it was taken."""
        entries = []
        for line in content.split(b"\n")[:-1]:
            if not line:
                continue
            try:
                raw = json.loads(self._letters.opened(line.decode(), CONTEXT))
                scales = tuple(written.scale_of(text) for text in raw["scales"])
                entries.append(AsideScales(scales, tuple(raw["audits"])))
            except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
                log.error(f"{self._path}: a line cannot be read: {type(error).__name__}")
        return tuple(entries)

    @contextlib.contextmanager
    def _locked(self, flags: int) -> Iterator[int]:
        file = os.open(self._path, flags | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)


class StoreWithAside:
    """`engine.ports.store.Store`: the shell's, with what waits beside it."""

    def __init__(self, store: Store, desk: Desk, aside: Aside) -> None:
        self._store = store
        self._desk = desk
        self._aside = aside
        self._last = Requests()
        self._asking: asyncio.Task[Requests] | None = None

    async def requests(self, now_s: float) -> Requests:
        """Those of the store; while it says nothing those that it last said, and what waits."""
        waiting = await asyncio.to_thread(self._waiting)
        if not waiting:
            self._last = await self._store.requests(now_s)
            return self._last
        if self._asking is None:
            self._asking = asyncio.create_task(self._carried(now_s))
        await asyncio.wait([self._asking], timeout=WAIT_S)
        why = "it does not answer"
        if self._asking.done():
            asking, self._asking = self._asking, None
            try:
                self._last = asking.result()
                return self._last
            except OSError as error:
                why = str(error)
        scales = {scale.service: scale for scale in self._last.scales}
        ours = [scale for entry in waiting for scale in entry.scales if now_s < scale.expires_s]
        scales.update({scale.service: scale for scale in ours})
        return replace(
            self._last,
            answers=(),
            scales=tuple(scales.values()),
            complaints=(f"the store cannot be read: {why}",),
            aside=frozenset(scale.id for scale in ours),
        )

    def _waiting(self) -> tuple[AsideScales, ...]:
        try:
            return self._aside.waiting()
        except OSError as error:
            log.error(f"what is kept beside the store cannot be read: {error}")
            return ()

    async def _carried(self, now_s: float) -> Requests:
        await asyncio.to_thread(self._aside.carry, self._desk)
        return await self._store.requests(now_s)

    async def newest(self) -> Fence:
        """As the store."""
        return await self._store.newest()

    async def memory(self) -> str:
        """As the store."""
        return await self._store.memory()

    async def keep(self, kept: Kept, fence: Fence) -> None:
        """As the store."""
        await self._store.keep(kept, fence)

    async def put_memory_aside(self, fence: Fence) -> str:
        """As the store."""
        return await self._store.put_memory_aside(fence)

    async def show_status(self, text: str, fence: Fence) -> None:
        """As the store."""
        await self._store.show_status(text, fence)

    async def close(self) -> None:
        """As the store."""
        if self._asking is not None:
            self._asking.cancel()
        await self._store.close()
