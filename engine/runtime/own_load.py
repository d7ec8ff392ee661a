"""How busy the engine itself is, in the words that any service is measured in.

So an engine can be a service of its own platform file (docs/guides/many-engines.md): what it is
asked for are samples, each of one service at one time; a step serves those that came since the one
before; the response time is from when the step was due until it was over; and what waits are the
samples of steps that were due and not made, since the one before took too long.  Its one slot is
the thread that steps, busy while it has the processor.

All but what waits only grows, so a look that is missed loses nothing.  What it is asked for grows
with the time, not with the steps: who looks between two steps now and then sees none of them or
two, and would take that for a load that comes and goes.  Nor does it grow with the samples that
came: they come later where an engine has too much to do, and that is no reason to ask less of it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.record.response_times import Buckets, log_spaced

LONGEST_S = 15.0
"""An engine that makes no step for so long is asked for no more: others may have its shards."""
SILENT_S = 60.0
"""Of a service without a new sample for so long none comes due."""
BUCKETS = Buckets(log_spaced(0.002, 0.002 * 1.5**26, 27).round(6))
"""Of response times: 2 ms to 76 s, by a half each."""


class OwnLoad:
    """Counts what the steps took up, and how long they took."""

    def __init__(self, busy_s: Callable[[], float] = time.thread_time) -> None:
        """`busy_s` says how long (s) the thread that asks has had the processor."""
        self.samples = 0
        """Taken up since the engine began."""
        self.waiting = 0
        """Of the steps that were left out before the newest one."""
        self._busy_of = busy_s
        self._busy_s = 0.0
        self._counts = [0] * len(BUCKETS)
        self._sum_s = 0.0
        self._newest_s: dict[str, float] = {}
        self._renewed_s: dict[str, float] = {}
        """When the step was due that had the last new sample of each service."""
        self._renewed: set[str] = set()
        self._seen: set[str] = set()
        """Services that this step has new samples of, and any."""
        self._now = 0
        self._arrived = self._per_s = self._at_s = 0.0

    def take_up(self, windows: Mapping[str, NDArray[np.void]]) -> None:
        """A step has the `windows` of some services; of one that is new the last sample counts."""
        for name, window in windows.items():
            if not len(window):
                continue
            times_s = window["time_s"]
            newest_s = float(times_s[-1])
            before_s = self._newest_s.get(name)
            self._newest_s[name] = newest_s
            new = 1
            if before_s is not None:
                new = len(times_s) - int(times_s.searchsorted(before_s, side="right"))
            self._now += new
            self._seen.add(name)
            if new > 0:
                self._renewed.add(name)

    def let_go(self, services: Iterable[str]) -> None:
        """Another engine has them from now on."""
        for name in services:
            self._newest_s.pop(name, None)

    def stepped(self, due_s: float, now_s: float, *, left_out: int, sample_s: float) -> None:
        """The step of `due_s` is over; before it, so many were `left_out` (times: epoch seconds).

        One is due each `sample_s`.
        """
        took_s = now_s - due_s
        self._arrived = arrived(self._arrived, self._per_s, self._at_s, now_s)
        self._renewed_s.update(dict.fromkeys(self._renewed, due_s))
        due = sum(due_s - self._renewed_s[name] <= SILENT_S for name in self._seen)
        self._per_s, self._at_s = due / sample_s, now_s
        self.samples += self._now
        self.waiting = max(left_out, 0) * len(self._seen)
        self._counts[BUCKETS.bucket(max(took_s, 0.0))] += self._now
        self._sum_s += self._now * max(took_s, 0.0)
        self._busy_s = self._busy_of()
        self._now = 0
        self._renewed.clear()
        self._seen.clear()

    def shown(self) -> dict[str, Any]:
        """All of it, for the status: `counts` are of `BUCKETS`."""
        return {
            "arrived": self._arrived, "per_s": self._per_s, "at_s": self._at_s,
            "samples": self.samples, "waiting": self.waiting, "busy_s": self._busy_s,
            "counts": list(self._counts), "sum_s": self._sum_s,
        }  # fmt: skip


def arrived(before: float, per_s: float, at_s: float, now_s: float) -> float:
    """Samples that have come due by `now_s`: `before` until `at_s`, and then so many a second."""
    return before + per_s * min(max(now_s - at_s, 0.0), LONGEST_S)


def left_out(last: int, due: int) -> int:
    """Beats between the step that was made `last` (-1: none was) and the one that is due."""
    return due - last - 1 if last >= 0 else 0
