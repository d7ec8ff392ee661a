"""Which figures of a service are measured, which are missing for now, and which nobody measures.

What is missing may not be taken for calm, and not for alarm either.  Three cases are told apart:

- *Idle*: at no requests there is no response time and no failed share (0/0).  Nothing is missing.
- *Absent*: nobody measures the figure, as it was never seen or not for `LOST_S`.  It speaks neither
  for nor against anything; the explanation of each decision names it.
- *Lost*: it was there a while ago.  Something has broken, so nothing is taken away meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.decide.view import View
from engine.memory import NEVER

LOST_S = 3600.0
"""What has not been measured for so long is no longer taken for lost: nobody measures it."""

WORDS: Mapping[str, str] = {
    "cpu": "cpu",
    "memory": "memory",
    "request_rate": "request rate",
    "p95_s": "p95",
    "error_rate": "error rate",
    "queue_depth": "queue depth",
}
"""The figures that are decided by, as they are called in explanations."""
OF_REQUESTS = ("p95_s", "error_rate")
"""There are none of these without requests."""
OF_LOAD = ("cpu", "request_rate", "p95_s")
"""Without any of these nothing tells how busy a service is: no queue may be two of two slots in
use, or none of a thousand."""


class FiguresThere(NamedTuple):
    """What is missing of one service, and when each figure was last measured (epoch s, by name).

    `unmeasured`: none of the figures that tell how busy it is are there.
    """

    lost: tuple[str, ...]
    absent: tuple[str, ...]
    unmeasured: bool
    measured_s: Mapping[str, float]


def figures(
    before_s: Mapping[str, float], window: NDArray[np.void], view: View, now_s: float
) -> FiguresThere:
    """What `view` (of `window`) holds, with `before_s`, when each figure was measured before.

    The first look goes through all of the window: an engine may be started in the middle of a
    failure.
    """
    if view.stale:
        return FiguresThere((), (), True, before_s)
    measured_s = dict(before_s)
    lost: list[str] = []
    absent: list[str] = []
    idle = view.request_rate == 0.0
    for name in WORDS:
        if getattr(view, name) >= 0.0:
            measured_s[name] = view.newest_s
            continue
        if not before_s:
            last_s = _last_measured_s(window, name, now_s)
            if last_s > NEVER:
                measured_s[name] = last_s
        if idle and name in OF_REQUESTS:
            continue
        missing_s = now_s - measured_s.get(name, NEVER)
        (lost if missing_s < LOST_S else absent).append(name)
    missing = (*lost, *absent)
    unmeasured = all(name in missing for name in OF_LOAD)
    return FiguresThere(tuple(lost), tuple(absent), unmeasured, measured_s)


def listed(names: Sequence[str]) -> str:
    """These figures in words: "cpu, memory and p95"."""
    words = [WORDS[name] for name in names]
    return " and ".join(part for part in (", ".join(words[:-1]), words[-1]) if part)


def _last_measured_s(window: NDArray[np.void], name: str, now_s: float) -> float:
    values, times = window[name], window["time_s"]
    plausible = times[(values >= 0.0) & (values < np.inf) & (times <= now_s)]
    return float(plausible.max()) if len(plausible) else NEVER
