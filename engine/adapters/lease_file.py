"""Who leads: of all engines on one host that share a state folder, one acts.

The kernel's lock on a file of that folder is the lead.  It ends with the process, however that
ends, so there is no lease to wait out and no stale pid to doubt; nothing is inherited by children.
The file's text says who leads, for people; each lead has a number, one higher than the one before.
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

LEADER = "leader"
TRIES, TRY_AGAIN_S = 3, 0.03


class NotLeadingError(RuntimeError):
    """Another engine leads: `holder`."""

    def __init__(self, state: Path, holder: str) -> None:
        super().__init__(
            f"{state}: {holder} leads; stop it, wait for it (live.wait_for_lead=true), "
            "or use a state folder of its own (live.state=…)"
        )
        self.holder = holder


class Lead:
    """The lead, held until `release` or the end of the process."""

    def __init__(self, file: IO[str], number: int) -> None:
        self._file = file
        self.number = number

    def release(self) -> None:
        """Let another engine lead."""
        self._file.close()


def take_lead(state: Path, now_s: float, *, announce: bool = True) -> Lead:
    """Take the lead over `state`; raises NotLeadingError if somebody else has it, OSError.

    Without `announce`, only to find out whether it can be had: nothing is written.
    """
    state.mkdir(parents=True, exist_ok=True)
    file = (state / LEADER).open("a+", encoding="utf-8")
    try:
        _lock(file)
    except BlockingIOError:
        holder = _holder(file)
        file.close()
        raise NotLeadingError(state, holder) from None
    except OSError:
        file.close()
        raise
    number = _number(file) + 1
    if not announce:
        return Lead(file, number)
    file.seek(0)
    file.truncate()
    since = dt.datetime.fromtimestamp(now_s, dt.UTC).isoformat(timespec="seconds")
    who = {"lead": number, "pid": os.getpid(), "host": socket.gethostname(), "since": since}
    file.write(json.dumps(who) + "\n")
    file.flush()
    os.fsync(file.fileno())
    return Lead(file, number)


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
        found = json.loads(file.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _holder(file: IO[str]) -> str:
    found = _read(file)
    if "pid" not in found:
        return "another engine"
    return f"the engine with pid {found['pid']} on {found.get('host')} (since {found.get('since')})"


def _number(file: IO[str]) -> int:
    number = _read(file).get("lead")
    return number if isinstance(number, int) else 0
