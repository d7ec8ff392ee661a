"""Read a metric window as it really comes: late, with holes, NaN and single wild samples.

Each figure is the median of the newest three samples that hold it, so one sample with a wrong
unit moves nothing; samples older than `stale_after_s` do not count, and a service without any is
`stale`: nobody may take silence for calm.  A sample from the future is no sample.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from engine.model import ServiceObservation

NEWEST = 3
READ = 5
NAN = math.nan

Row = tuple[float, float, float, float, float, float, float, float, float]
"""One sample in the order of `SAMPLE_FIELDS`."""


class View(NamedTuple):
    """What the newest samples of one service say; NaN where none of them holds the figure.

    `cpu`, `memory`, `error_rate` are fractions, `request_rate` 1/s, `queue_depth` requests,
    `p95_s` seconds.  `rows` are the fresh samples, newest first.  `age_s` is the age of the newest
    sample of all (infinite without any).
    """

    age_s: float
    newest_s: float
    rows: tuple[Row, ...]
    cpu: float
    memory: float
    request_rate: float
    p95_s: float
    error_rate: float
    queue_depth: float

    @property
    def age(self) -> str:
        """The age in words."""
        return f"{self.age_s:.0f} s old" if math.isfinite(self.age_s) else "no sample yet"

    @property
    def stale(self) -> bool:
        """No fresh sample."""
        return not self.rows


def newest(window: NDArray[np.void], now_s: float) -> Row | None:
    """The newest sample of `window`, as it lies there, that was taken by `now_s`; None if none."""
    if len(window) == 0:
        return None
    row: Row = window[-1].item()
    if row[0] <= now_s:
        return row
    past = window[window["time_s"] <= now_s]
    return past[-1].item() if len(past) else None


def view(service: ServiceObservation, now_s: float, stale_after_s: float) -> View:
    """Read the window of `service` at `now_s`."""
    newest_s = -math.inf
    oldest_s = now_s - stale_after_s
    rows: list[Row] = []
    ordered = True
    newest_rows = service.window[-READ:].tolist()
    if not all(row[0] <= now_s for row in newest_rows):
        # A time that is NaN, or ahead of now, cannot be placed; what lies before it can.
        newest_rows = service.window[service.window["time_s"] <= now_s][-READ:].tolist()
    for row in reversed(newest_rows):
        time_s = row[0]
        newest_s = max(newest_s, time_s)
        if time_s >= oldest_s:
            ordered = ordered and not (rows and time_s >= rows[-1][0])
            rows.append(row)
    if not ordered:
        # Out of order, or twice: by time, and of two with the same time only one counts.
        rows = sorted({row[0]: row for row in reversed(rows)}.values(), reverse=True)
    if not rows:
        age_s = now_s - newest_s
        return View(age_s, newest_s, (), NAN, NAN, NAN, NAN, NAN, NAN)
    fresh = rows[:NEWEST]
    return View(
        age_s=now_s - newest_s,
        newest_s=newest_s,
        rows=tuple(rows),
        cpu=_median(fresh, 1),
        memory=_median(fresh, 2),
        request_rate=_median(fresh, 3),
        p95_s=_median(fresh, 5),
        error_rate=_median(fresh, 7),
        queue_depth=_median(fresh, 8),
    )


def _median(rows: list[Row], column: int) -> float:
    """Median of the plausible (finite, not negative) values of a column; NaN without any."""
    if len(rows) == NEWEST:
        a, b, c = rows[0][column], rows[1][column], rows[2][column]
        if a >= 0.0 and b >= 0.0 and c >= 0.0 and a + b + c < math.inf:
            if a <= b:
                return b if b <= c else max(a, c)
            return a if a <= c else max(b, c)
    values = sorted([row[column] for row in rows if 0.0 <= row[column] < math.inf])
    if not values:
        return NAN
    count = len(values)
    return 0.5 * (values[(count - 1) // 2] + values[count // 2])
