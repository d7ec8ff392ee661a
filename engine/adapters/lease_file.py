"""Who leads: of all engines on one host that share a state folder, one acts.

The kernel's lock on a file of that folder is the lead.  It ends with the process, however that
ends, so there is no lease to wait out and no stale pid to doubt; nothing is inherited by children.
The file's text says who leads, for people.  Each lead has a number, its fence, one higher than the
one before; the newest is in a file of its own that is replaced as a whole, so that a kill at any
moment cannot make the numbers begin anew.
"""

from __future__ import annotations

import datetime as dt
import fcntl
import json
import os
import socket
import time
from pathlib import Path
from typing import IO

from engine.adapters.blocking import BlockingCalls
from engine.ports.lease import NO_FENCE, Fence, NotLeadingError
from engine.record.files import write_atomically
from engine.security.foreign_json import parsed_object

LEADER = "leader"
FENCE = "fence"
TRIES, TRY_AGAIN_S = 3, 0.03


class FileLead:
    """The lead, held until `release` or the end of the process."""

    def __init__(self, path: Path, file: IO[str], fence: Fence) -> None:
        self._path = path
        self._file = file
        self.fence = fence

    @property
    def held(self) -> bool:
        """Whether the lock is still the one that others would have to take."""
        try:
            there, ours = self._path.stat(), os.fstat(self._file.fileno())
        except (OSError, ValueError):
            return False
        return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)

    def raise_above(self, above: Fence, now_s: float) -> None:
        """Go on under a higher fence than `above`; raises OSError."""
        self.fence = _announce(self._path.parent, self._file, above, now_s)

    def release(self) -> None:
        """Let another engine lead."""
        self._file.close()


def take_lead(
    state: Path, now_s: float, *, above: Fence = NO_FENCE, announce: bool = True
) -> FileLead:
    """Take the lead over `state`; raises NotLeadingError if somebody else has it, OSError.

    Without `announce`, only to find out whether it can be had: nothing is written.
    """
    state.mkdir(parents=True, exist_ok=True)
    path = state / LEADER
    file = path.open("a+", encoding="utf-8")
    try:
        _lock(file)
        fence = _announce(state, file, above, now_s) if announce else newest_fence(state)
    except BlockingIOError:
        holder = _holder(file)
        file.close()
        raise NotLeadingError(
            f"{state}: {holder} leads; stop it, wait for it (live.wait_for_lead=true), "
            "or use a state folder of its own (live.state=…)",
            holder,
        ) from None
    except OSError:
        file.close()
        raise
    return FileLead(path, file, fence)


def newest_fence(state: Path) -> Fence:
    """The fence of the newest lead over `state`; raises OSError."""
    try:
        return Fence(int((state / FENCE).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError):
        return NO_FENCE


class FileLease:
    """`engine.ports.lease.Lease`, in a state folder; `lead` if it has been taken already."""

    def __init__(self, state: Path, lead: FileLead | None = None) -> None:
        self._state = state
        self._lead = lead
        self._calls = BlockingCalls("lease")

    async def hold(self, now_s: float, above: Fence = NO_FENCE) -> Fence:
        """Take the lead or keep it; raises NotLeadingError, OSError."""
        return await self._calls.call(lambda: self._hold(now_s, above))

    async def release(self) -> None:
        """Let another engine lead."""
        await self._calls.call(self._release)

    def _hold(self, now_s: float, above: Fence) -> Fence:
        if self._lead is not None and not self._lead.held:
            self._release()  # the folder was removed, or is another one now
        if self._lead is None:
            self._lead = take_lead(self._state, now_s, above=above)
        elif self._lead.fence <= above:
            self._lead.raise_above(above, now_s)
        return self._lead.fence

    def _release(self) -> None:
        lead, self._lead = self._lead, None
        if lead is not None:
            lead.release()


def _announce(state: Path, file: IO[str], above: Fence, now_s: float) -> Fence:
    """A new fence, on the disk before anybody acts under it."""
    written = _read(file).get("lead")
    before = max(newest_fence(state), above, written if isinstance(written, int) else 0)
    fence = Fence(before + 1)
    write_atomically(state / FENCE, f"{fence}\n")
    since = dt.datetime.fromtimestamp(now_s, dt.UTC).isoformat(timespec="seconds")
    who = {"lead": fence, "pid": os.getpid(), "host": socket.gethostname(), "since": since}
    file.seek(0)
    file.truncate()
    file.write(json.dumps(who) + "\n")
    file.flush()
    os.fsync(file.fileno())
    return fence


def _lock(file: IO[str]) -> None:
    """Lock it; raises BlockingIOError.  Whoever only looks holds it for a moment: try again."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            time.sleep(TRY_AGAIN_S)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _read(file: IO[str]) -> dict[str, object]:
    file.seek(0)
    try:
        return parsed_object(file.read())
    except ValueError:
        return {}


def _holder(file: IO[str]) -> str:
    who = _read(file)
    if "pid" not in who:
        return "another engine"
    return f"the engine with pid {who['pid']} on {who.get('host')} (since {who.get('since')})"
