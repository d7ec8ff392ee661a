"""Read a metric window as it really comes: late, with holes, NaN and single wild samples.

Each figure is the median of the newest three samples, so one with a wrong unit moves nothing.
Where some of these do not hold it, older ones take their place; but not of response times and
errors, which are missing where nobody asks.  Samples older than `stale_after_s` do not count,
unless they come so seldom that three of them take longer; a service without any that counts is
`stale`: nobody may take silence for calm.  A sample from the future is no sample, and a figure that
cannot be is no figure.

The CPU and the memory are shares of the instances that were ready when the sample was taken.  They
are read as shares of what is ready now: samples are late, and the count may have changed meanwhile.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from engine.decide.ready_then import Counts, ready_then
from engine.model import ServiceObservation, ServiceSpec

NEWEST = 3
READ = 5
COPIES = 4
"""A sample may be there so many times and the older ones are read all the same."""
MOST_SPACING_S = 120.0
"""Samples that are further apart than this are too rare to scale by."""
NAN = math.nan

MOST_SHARE = 2.0
"""A cpu or memory of more than this is no share of what is provisioned, whatever bursts."""
MOST_S = 3600.0
"""No response takes longer: its caller is long gone."""
MOST_LOAD = 100.0
"""No more arrives than so many times what the service at its maximum could serve."""

Row = tuple[float, float, float, float, float, float, float, float, float]
"""One sample in the order of `SAMPLE_FIELDS`."""


class View(NamedTuple):
    """What the newest samples of one service say; NaN where none of three holds the figure.

    `cpu`, `memory`, `error_rate` are fractions, `request_rate` 1/s, `queue_depth` requests,
    `p95_s` seconds.  `rows` are the fresh samples, newest first, without what cannot be.
    `ready_then` says how many instances were ready at the time of each, and `cpu_then` is the share
    of those.
    `age_s` is the age of the newest sample of all (infinite without any), `spacing_s` what lies
    between two.
    """

    age_s: float
    newest_s: float
    spacing_s: float
    rows: tuple[Row, ...]
    ready_then: tuple[int, ...]
    cpu_then: float
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


def most_rate(spec: ServiceSpec) -> float:
    """The highest request rate (1/s) of `spec` that can be one."""
    return MOST_LOAD * max(spec.max_instances, 1) * spec.rate_per_instance


def possible(row: Row, highest_rate: float = math.inf) -> Row:
    """The sample without the figures that are higher than any can be: they are none."""
    time_s, cpu, memory, rate, p50_s, p95_s, p99_s, error_rate, queue = row
    if not (
        cpu > MOST_SHARE
        or memory > MOST_SHARE
        or p50_s > MOST_S
        or p95_s > MOST_S
        or p99_s > MOST_S
        or error_rate > 1.0
        or rate > highest_rate
    ):
        return row
    return (
        time_s,
        NAN if cpu > MOST_SHARE else cpu,
        NAN if memory > MOST_SHARE else memory,
        NAN if rate > highest_rate else rate,
        NAN if p50_s > MOST_S else p50_s,
        NAN if p95_s > MOST_S else p95_s,
        NAN if p99_s > MOST_S else p99_s,
        NAN if error_rate > 1.0 else error_rate,
        queue,
    )


def newest(service: ServiceObservation, now_s: float) -> Row | None:
    """The newest sample of `service` that was taken by `now_s`, in its order; None if none."""
    window, highest_rate = service.window, most_rate(service.spec)
    if len(window) == 0:
        return None
    row: Row = window[-1].item()
    if row[0] <= now_s:
        return possible(row, highest_rate)
    past = window[window["time_s"] <= now_s]
    return possible(past[-1].item(), highest_rate) if len(past) else None


def view(
    service: ServiceObservation, now_s: float, stale_after_s: float, counts: Counts = ()
) -> View:
    """Read the window of `service` at `now_s`; `counts` says how many were ready when."""
    read = service.window[-READ:].tolist()
    if _in_order(read, now_s):
        read.reverse()
    else:
        # Out of order, or twice: by time, and of two with the same time only the later counts.
        # Further back than else, as each may be there several times.  A time that is NaN, or ahead
        # of now, cannot be placed; what lies before it can.
        past = service.window[service.window["time_s"] <= now_s][-COPIES * READ :].tolist()
        read = sorted({row[0]: row for row in past}.values(), reverse=True)[:READ]
    newest_s = read[0][0] if read else -math.inf
    age_s, spacing_s = now_s - newest_s, _spacing_s([row[0] for row in read])
    oldest_s = now_s - fresh_for_s(spacing_s, stale_after_s)
    highest_rate = most_rate(service.spec)
    rows: list[Row] = [possible(row, highest_rate) for row in read if row[0] >= oldest_s]
    if not rows:
        return View(age_s, newest_s, spacing_s, (), (), NAN, NAN, NAN, NAN, NAN, NAN, NAN)
    ready = service.ready
    then = [ready_then(counts, row[0], ready) for row in rows]
    fresh = rows[:NEWEST]
    cpu = cpu_then = _median(rows, 1)
    memory = _median(rows, 2)
    if then != [ready] * len(rows):
        cpu, memory = (_median_now(rows, column, then, ready) for column in (1, 2))
    return View(
        age_s=age_s,
        newest_s=newest_s,
        spacing_s=spacing_s,
        rows=tuple(rows),
        ready_then=tuple(then),
        cpu_then=cpu_then,
        cpu=cpu,
        memory=memory,
        request_rate=_median(rows, 3),
        p95_s=_median(fresh, 5),
        error_rate=_median(fresh, 7),
        queue_depth=_median(rows, 8),
    )


def _in_order(rows: list[Row], now_s: float) -> bool:
    """Whether the samples are by time, none of them twice or ahead of now."""
    before_s = -math.inf
    for row in rows:
        if not before_s < row[0] <= now_s:
            return False
        before_s = row[0]
    return True


def fresh_for_s(spacing_s: float, stale_after_s: float) -> float:
    """How old a sample may be: `stale_after_s`, or three times what lies between two if longer.

    Beyond `MOST_SPACING_S` a gap is no spacing.
    """
    return max(stale_after_s, NEWEST * min(spacing_s, MOST_SPACING_S))


def _spacing_s(times_s: list[float]) -> float:
    """What usually lies between two samples, newest first: the lower median; 0 without three.

    One gap alone may be a failure that is over.
    """
    gaps_s = sorted([after_s - before_s for after_s, before_s in pairwise(times_s)])
    return gaps_s[(len(gaps_s) - 1) // 2] if len(gaps_s) > 1 else 0.0


def _median_now(rows: list[Row], column: int, then: list[int], ready: int) -> float:
    """The median of a share of what was ready `then`, as a share of what is `ready` now."""
    shares = [
        (row[column] * count / max(ready, 1),) for row, count in zip(rows, then, strict=False)
    ]
    return _median(shares, 0)


def _median(rows: Sequence[tuple[float, ...]], column: int) -> float:
    """Median of the plausible (finite, not negative) values of a column in the newest three rows.

    NaN without any; where there are one or two, those of older rows make it three.
    """
    if len(rows) >= NEWEST:
        a, b, c = rows[0][column], rows[1][column], rows[2][column]
        if a >= 0.0 and b >= 0.0 and c >= 0.0 and a + b + c < math.inf:
            if a <= b:
                return b if b <= c else max(a, c)
            return a if a <= c else max(b, c)
    values = [row[column] for row in rows[:NEWEST] if 0.0 <= row[column] < math.inf]
    if not values:
        return NAN
    older = [row[column] for row in rows[NEWEST:] if 0.0 <= row[column] < math.inf]
    values = sorted(values + older[: NEWEST - len(values)])
    count = len(values)
    return 0.5 * (values[(count - 1) // 2] + values[count // 2])
