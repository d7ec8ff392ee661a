"""A glance: whether the newest samples are such that a look would say nothing new.

A look works out everything, over all services; a glance compares the two newest samples of each
service with the *bands* that the last look left: how far each figure may go before any rule or
detector could have something to say.  Two samples, as the figures of a look are medians of three
and only two that agree move them: what a glance lets pass would not have moved a look either.
What builds up slowly (budgets, levels that creep) is weighed by time and waits for the next look,
`calm_s` after the last at the latest.  Whatever cannot be compared, a service or a sample that
is missing, instances that went or are not asked for any more, is looked at.

It is plain Python, and reads the numbers out of the windows as they lie there, of the newest sample
alone as long as that is in its bands: for a handful of services that takes a hundredth of a look.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.model import SAMPLE_DTYPE, SAMPLE_FIELDS, FloatArray, ServiceObservation, ServiceSpec
from engine.monitoring.picture import (
    CALLS,
    CPU,
    FAILURES,
    JUMPS,
    LEAST_BAD,
    LEAST_BUSY,
    LOAD,
    MEMORY,
    NEWEST,
    RATE,
    RESPONSE,
    WAITING,
    WORK,
    Picture,
    Watched,
    level_table,
    or_zero,
    within,
)
from engine.monitoring.settings import MonitorSettings

FAR, MORE, MOST = 3.0, 1.0, 5.5
"""Spreads from what is usual that are let pass: three, or one more than there were, but never what
an outlier is (six)."""
COLUMNS = (
    "rate_low", "rate_high", "work_low", "work_high", "calls_low", "calls_high", "cpu_high",
    "memory_high", "p95_high", "errors_high", "queue_high", "ready", "most_desired", "most_ready",
)  # fmt: skip
LEVELS = ("cpu", "memory", "p95_s", "error_rate", "queue_per_slot")
MOST_DESIRED, MOST_READY = COLUMNS.index("most_desired"), COLUMNS.index("most_ready")
"""The most instances that were asked for, and that were ready, since the last look: whatever gets
less is looked at, and what gets more may get less again."""
SAMPLE_BYTES = SAMPLE_DTYPE.itemsize
A_SAMPLE: Callable[[Any, int], tuple[Any, ...]] = Struct(f"{len(SAMPLE_FIELDS)}d").unpack_from
A_TIME: Callable[[Any, int], tuple[Any, ...]] = Struct("d").unpack_from
"""A sample, and the time of one, at a byte of a window."""
NOBODY: frozenset[tuple[int, bool]] = frozenset()
NEAR_FULL = 0.05
"""So much more of slots or memory may be taken than at the last look, where it may be full soon."""

Bands = Sequence[Sequence[float]]
"""A row for each service, in the order of `COLUMNS`; NaN bounds nothing."""
More = tuple[int, float, float]
"""Of a row of which more are asked for or ready than ever since the last look: the most of both."""


class Glances:
    """What is fixed for them."""

    def __init__(self, specs: Sequence[ServiceSpec], settings: MonitorSettings) -> None:
        self._specs = tuple(specs)
        self._stale_after_s = settings.stale_after_s
        self._from_share = settings.saturation.from_share
        self._most: list[list[float]] = Watched.of(self._specs).most[:, 0].tolist()
        row = {spec.name: i for i, spec in enumerate(specs)}
        calls: dict[int, list[tuple[int, float]]] = {}
        for i, spec in enumerate(specs):
            for call in spec.calls:
                calls.setdefault(row[call.service], []).append((i, call.per_request))
        self._calls = tuple(calls.items())
        self._warning = level_table(Watched.of(specs), settings, LEVELS)[..., 0]

    def bands(self, picture: Picture) -> FloatArray:
        """The bands that this look leaves, (services, columns)."""
        traits, figures = picture.traits, picture.figures
        reach = within(np.abs(or_zero(picture.z)) + MORE, FAR, MOST) * picture.scale
        high, low = picture.centre + reach, picture.centre - reach
        slots = picture.ready * traits.slots
        # A wedding day may begin before the next look.
        warning = self._warning[int(picture.wedding_day or picture.wedding_day_soon)]
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Where the calendar says nothing, or is not asked, the last look is compared with.
            of_rate = figures[:, RATE] / np.exp(picture.residuals[:, LOAD])
            of_work = traits.service_s / slots
            busy = figures[:, RATE] * traits.service_s > LEAST_BUSY
            columns = (
                of_rate * np.exp(low[:, LOAD]),
                of_rate * np.exp(high[:, LOAD]),
                np.where(busy, of_work * np.exp(low[:, WORK]), np.nan),
                np.where(busy, of_work * np.exp(high[:, WORK]), np.nan),
                np.exp(low[:, CALLS]),
                np.exp(high[:, CALLS]),
                np.minimum(
                    warning[:, 0],
                    np.maximum(self._from_share, or_zero(figures[:, CPU]) + NEAR_FULL),
                ),
                np.minimum(
                    warning[:, 1],
                    np.maximum(self._from_share, or_zero(figures[:, MEMORY]) + NEAR_FULL),
                ),
                np.fmin(warning[:, 2], 0.5 * traits.slo_p95_s * np.exp(high[:, RESPONSE])),
                np.fmin(warning[:, 3], high[:, FAILURES]),
                np.fmin(warning[:, 4], traits.patience * high[:, WAITING]) * slots,
                picture.ready,
                picture.desired,
                picture.ready,
            )
            bands = np.empty((len(slots), len(COLUMNS)))
            for k, column in enumerate(columns):
                bands[:, k] = column
        bands[~np.isfinite(bands)] = np.nan
        result: FloatArray = bands
        return result

    def calm(
        self, services: Sequence[ServiceObservation], bands: Bands, now_s: float
    ) -> Sequence[More] | None:
        """None: something left its band, or that cannot be said; else what became more."""
        if len(services) != len(self._specs):
            return None
        rates: list[float] = []
        more: list[More] = []
        stale_s = now_s - self._stale_after_s
        for service, spec, band, most in zip(services, self._specs, bands, self._most, strict=True):
            if service.spec is not spec and service.spec.name != spec.name:
                return None
            ready = service.ready
            if service.desired < band[12] or ready < band[13]:
                return None  # not asked for any more, or gone
            if service.desired > band[12] or ready > band[13]:
                row = len(rates)
                more.append((row, max(service.desired, band[12]), max(ready, band[13])))
            window = service.window
            at = (len(window) - 1) * SAMPLE_BYTES
            if at <= 0:
                return None
            if not window.flags.c_contiguous:
                window = np.ascontiguousarray(window)
            (before_s,) = A_TIME(window, at - SAMPLE_BYTES)
            newest_s, cpu, memory, rate, _, p95_s, _, errors, queue = A_SAMPLE(window, at)
            if not (before_s < newest_s <= now_s and newest_s >= stale_s):
                return None
            # Of so many more or fewer instances the same requests keep another share busy.
            changed = band[11] / ready if ready > 0 else 1.0
            if (
                rate < band[0]
                or rate > band[1]
                or cpu < band[2] * changed * rate
                or cpu > band[3] * changed * rate
                or cpu > band[6]
                or memory > band[7]
                or p95_s > band[8]
                or queue > band[10]
                or errors > band[9]
            ) and (_is_wild(window, at, most) or _have_both_left(window, at, band, changed)):
                return None
            rates.append(rate)
        now = self._calls_left(rates, bands)
        if now and now & self._calls_left([float(s.window[-2]["request_rate"]) for s in services],
                                          bands):  # fmt: skip
            return None
        return more

    def _calls_left(self, rates: Sequence[float], bands: Bands) -> frozenset[tuple[int, bool]]:
        """Services that are called less or more often than usual for what their callers get.

        `rates` are those of one sample, by row; of each service its row, and whether it is more.
        """
        left: list[tuple[int, bool]] = []
        for callee, callers in self._calls:
            called = 0.0
            for caller, per_request in callers:
                called += per_request * rates[caller]
            band, rate = bands[callee], rates[callee]
            if rate < band[4] * called:
                left.append((callee, False))
            if rate > band[5] * called:
                left.append((callee, True))
        return frozenset(left) if left else NOBODY


def _is_wild(window: NDArray[np.void], at: int, most: Sequence[float]) -> bool:
    """As `engine.monitoring.picture.wild` of the newest sample, at `at`; negative ones aside."""
    before, newest = A_SAMPLE(window, at - SAMPLE_BYTES), A_SAMPLE(window, at)
    return any(value > highest for value, highest in zip(newest, most, strict=True)) or any(
        before[figure] >= least and newest[figure] > times * before[figure]
        for figure, times, least in JUMPS
    )


def _have_both_left(
    window: NDArray[np.void], at: int, band: Sequence[float], changed: float
) -> bool:
    """Whether a figure of both newest samples, of which the last is `at`, left its band."""
    before_s, cpu_0, memory_0, rate_0, _, p95_0, _, errors_0, queue_0 = A_SAMPLE(
        window, at - SAMPLE_BYTES
    )
    newest_s, cpu_1, memory_1, rate_1, _, p95_1, _, errors_1, queue_1 = A_SAMPLE(window, at)
    least, most = band[2] * changed, band[3] * changed
    if (
        (rate_0 < band[0] and rate_1 < band[0])
        or (rate_0 > band[1] and rate_1 > band[1])
        or (cpu_0 < least * rate_0 and cpu_1 < least * rate_1)
        or (cpu_0 > most * rate_0 and cpu_1 > most * rate_1)
        or (cpu_0 > band[6] and cpu_1 > band[6])
        or (memory_0 > band[7] and memory_1 > band[7])
        or (p95_0 > band[8] and p95_1 > band[8])
        or (queue_0 > band[10] and queue_1 > band[10])
    ):
        return True
    if errors_0 > band[9] and errors_1 > band[9]:
        bad = min(errors_0 * rate_0, errors_1 * rate_1) * (newest_s - before_s) * NEWEST
        return bool(bad >= LEAST_BAD)
    return False
