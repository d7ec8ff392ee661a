"""The store of one host: files in a state folder, each whole or not at all.

    requests/, answers/    what people ask for (`engine.adapters.request_files`)
    memory.json            what the engine remembers
    status.json            how it is, for whoever asks
    fence, store.lock      the newest lead, and the lock under which each write compares with it

Two engines with one folder on one host cannot both lead; that each write is compared with the
newest lead all the same is for the one that is asleep in the middle of a write while its lead ends.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from engine.adapters import request_files
from engine.adapters.blocking import BlockingCalls
from engine.adapters.lease_file import FENCE, newest_fence
from engine.model import Approval
from engine.ports.lease import Fence, FencedOffError
from engine.ports.store import Requests
from engine.record.files import write_atomically

MEMORY = "memory.json"
UNREADABLE = "memory.unreadable.json"
LOCK = "store.lock"


class FileStore:
    """`engine.ports.store.Store`, in the folder `state`."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._calls = BlockingCalls("store")

    async def requests(self, now_s: float) -> Requests:
        """All that holds at `now_s`; what cannot be read is a complaint."""
        return await self._calls.call(lambda: request_files.read(self.state, now_s))

    async def remove_answers(self, answers: Sequence[Approval], fence: Fence) -> None:
        """Remove the answers' files; raises FencedOffError, OSError."""
        await self._write(fence, lambda: request_files.remove_answers(self.state, answers))

    async def memory(self) -> str:
        """The text of the memory's file, "" without one; raises OSError, ValueError."""
        return await self._calls.call(self._memory)

    async def keep_memory(self, text: str, fence: Fence) -> None:
        """Write the memory's file, on the disk when this returns; raises as `remove_answers`."""
        await self._write(fence, lambda: write_atomically(self.state / MEMORY, text + "\n"))

    async def put_memory_aside(self, fence: Fence) -> str:
        """Give the memory's file another name; returns it.  Raises as `remove_answers`."""
        await self._write(fence, self._put_aside)
        return UNREADABLE

    async def show_status(self, text: str, fence: Fence) -> None:
        """Write the status' file; raises as `remove_answers`."""
        # Of a status that a loss of power takes nobody asks for.
        await self._write(
            fence,
            lambda: write_atomically(self.state / request_files.STATUS, text + "\n", durable=False),
        )

    async def close(self) -> None:
        """Nothing to let go of."""

    def _memory(self) -> str:
        try:
            return (self.state / MEMORY).read_text(encoding="utf-8").removesuffix("\n")
        except FileNotFoundError:
            return ""

    def _put_aside(self) -> None:
        path = self.state / MEMORY
        if path.exists():
            path.replace(self.state / UNREADABLE)

    async def _write(self, fence: Fence, write: Callable[[], None]) -> None:
        def fenced() -> None:
            with self._locked():
                newest = newest_fence(self.state)
                if fence < newest:
                    raise FencedOffError(fence, newest)
                if fence > newest:
                    write_atomically(self.state / FENCE, f"{fence}\n")
                write()

        await self._calls.call(fenced)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        handle = os.open(self.state / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)
