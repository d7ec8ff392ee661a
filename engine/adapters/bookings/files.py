"""Reading a file that somebody else writes, at any moment and in any way.

Whoever replaces a file atomically is understood at once.  One that is written in place is read when
it has been left alone for `SETTLED_S` and did not change while it was read; until then the last
listing counts.  What is missing in a file that was cut between two rows is covered by the rule that
what is only missing is not gone yet (`known`).
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

SETTLED_S = 2.0
MOST_BYTES = 1024 * 1024 * 1024
UNSETTLED = 20
"""Looks for which a file may be unsettled before that is told."""

Signature = tuple[int, int, int, int]


class FeedError(OSError):
    """The source cannot be read; the message says why, the same each time."""


class WatchedFile:
    """The content of a file whenever it has changed."""

    def __init__(self, path: Path, wall_s: Callable[[], float] = time.time) -> None:
        self._path = path
        self._wall_s = wall_s
        self._read: Signature | None = None
        self._unsettled = 0

    def changed(self) -> bool:
        """Whether the file is another one than was read last."""
        try:
            return _signature(self._path.stat()) != self._read
        except OSError:
            return self._read is not None

    def content(self) -> tuple[bytes, float] | None:
        """The bytes and when they were written; None if they are as before, or being written.

        Raises FeedError.
        """
        try:
            with self._path.open("rb") as file:
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    raise FeedError(f"{self._path} is no file")
                if before.st_size > MOST_BYTES:
                    raise FeedError(f"{self._path} is larger than {MOST_BYTES:,} bytes")
                if _signature(before) == self._read:
                    return None
                age_s = self._wall_s() - before.st_mtime
                if 0.0 <= age_s < SETTLED_S and self._read is not None:
                    self._not_yet()
                    return None
                content = file.read()
                after = os.fstat(file.fileno())
        except OSError as error:
            if isinstance(error, FeedError):
                raise
            raise FeedError(f"{self._path} cannot be read: {error.strerror}") from None
        if _signature(before) != _signature(after):
            self._not_yet()
            return None
        self._read, self._unsettled = _signature(before), 0
        return content, before.st_mtime

    def again(self) -> None:
        """Read it anew at the next look, whether it has changed or not."""
        self._read = None

    def _not_yet(self) -> None:
        self._unsettled += 1
        if self._unsettled >= UNSETTLED:
            raise FeedError(f"{self._path} is being written all the time")


def _signature(seen: os.stat_result) -> Signature:
    return seen.st_ino, seen.st_size, seen.st_mtime_ns, seen.st_ctime_ns
