"""A glance: whether the newest samples are such that a look would say nothing new.

A look works out everything, over all services; a glance compares the two newest samples of each
service with the *bands* that the last look left: how far each figure may go before any rule or
detector could have something to say.  Two samples, as the figures of a look are medians of three
and only two that agree move them: what a glance lets pass would not have moved a look either.
What builds up slowly (budgets, levels that creep) is weighed by time and waits for the next look,
`calm_s` after the last at the latest.  Whatever cannot be compared, a service or a sample that
is missing, instances that went or are not asked for any more, is looked at.

It is plain Python: for a handful of services that takes a fortieth of a look.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from engine.model import FloatArray, ServiceObservation, ServiceSpec
from engine.monitoring.picture import (
    CALLS,
    CPU,
    FAILURES,
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
    or_zero,
)
from engine.monitoring.settings import MonitorSettings

FAR, MORE, MOST = 3.0, 1.0, 5.5
"""Spreads from what is usual that are let pass: three, or one more than there were, but never what
an outlier is (six)."""
COLUMNS = (
    "rate_low", "rate_high", "work_low", "work_high", "calls_low", "calls_high", "cpu_high",
    "memory_high", "p95_high", "errors_high", "queue_high", "ready", "most_desired", "most_ready",
)  # fmt: skip
MOST_DESIRED, MOST_READY = COLUMNS.index("most_desired"), COLUMNS.index("most_ready")
"""The most instances that were asked for, and that were ready, since the last look: whatever gets
less is looked at, and what gets more may get less again."""
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
        row = {spec.name: i for i, spec in enumerate(specs)}
        calls: dict[int, list[tuple[int, float]]] = {}
        for i, spec in enumerate(specs):
            for call in spec.calls:
                calls.setdefault(row[call.service], []).append((i, call.per_request))
        self._calls = tuple(calls.items())
        levels = [
            [
                settings.levels(spec.name, figure).warning
                for figure in ("cpu", "memory", "p95_s", "error_rate", "queue_per_slot")
            ]
            for spec in specs
        ]
        self._warning = np.array(levels).reshape(len(levels), 5)

    def bands(self, picture: Picture) -> FloatArray:
        """The bands that this look leaves, (services, columns)."""
        traits, figures = picture.traits, picture.figures
        reach = np.clip(np.abs(or_zero(picture.z)) + MORE, FAR, MOST) * picture.scale
        high, low = picture.centre + reach, picture.centre - reach
        slots = picture.ready * traits.slots
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            # Where the calendar says nothing, or is not asked, the last look is compared with.
            of_rate = figures[:, RATE] / np.exp(picture.residuals[:, LOAD])
            of_work = traits.service_s / slots
            busy = figures[:, RATE] * traits.service_s > LEAST_BUSY
            bands = np.stack(
                (
                    of_rate * np.exp(low[:, LOAD]),
                    of_rate * np.exp(high[:, LOAD]),
                    np.where(busy, of_work * np.exp(low[:, WORK]), np.nan),
                    np.where(busy, of_work * np.exp(high[:, WORK]), np.nan),
                    np.exp(low[:, CALLS]),
                    np.exp(high[:, CALLS]),
                    np.minimum(
                        self._warning[:, 0],
                        np.maximum(self._from_share, or_zero(figures[:, CPU]) + NEAR_FULL),
                    ),
                    np.minimum(
                        self._warning[:, 1],
                        np.maximum(self._from_share, or_zero(figures[:, MEMORY]) + NEAR_FULL),
                    ),
                    np.fmin(
                        self._warning[:, 2], 0.5 * traits.slo_p95_s * np.exp(high[:, RESPONSE])
                    ),
                    np.fmin(self._warning[:, 3], high[:, FAILURES]),
                    np.fmin(self._warning[:, 4], high[:, WAITING]) * slots,
                    picture.ready,
                    picture.desired,
                    picture.ready,
                ),
                axis=1,
            )
        bands[~np.isfinite(bands)] = np.nan
        result: FloatArray = bands
        return result

    def calm(
        self, services: Sequence[ServiceObservation], bands: Bands, now_s: float
    ) -> Sequence[More] | None:
        """None: something left its band, or that cannot be said; else what became more."""
        if len(services) != len(self._specs):
            return None
        rates: list[tuple[float, float]] = []
        more: list[More] = []
        stale_s = now_s - self._stale_after_s
        for service, spec, band in zip(services, self._specs, bands, strict=True):
            if service.spec is not spec and service.spec.name != spec.name:
                return None
            ready = service.ready
            if service.desired < band[12] or ready < band[13]:
                return None  # not asked for any more, or gone
            if service.desired > band[12] or ready > band[13]:
                row = len(rates)
                more.append((row, max(service.desired, band[12]), max(ready, band[13])))
            # Of so many more or fewer instances the same requests keep another share busy.
            changed = band[11] / ready if ready > 0 else 1.0
            least, most = band[2] * changed, band[3] * changed
            window = service.window
            if len(window) < 2:
                return None
            (
                (before_s, cpu_0, memory_0, rate_0, _, p95_0, _, errors_0, queue_0),
                (newest_s, cpu_1, memory_1, rate_1, _, p95_1, _, errors_1, queue_1),
            ) = window[-2:].tolist()
            if not (before_s < newest_s <= now_s and newest_s >= stale_s):
                return None
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
                return None
            if errors_0 > band[9] and errors_1 > band[9]:
                bad = min(errors_0 * rate_0, errors_1 * rate_1) * (newest_s - before_s) * NEWEST
                if bad >= LEAST_BAD:
                    return None
            rates.append((rate_0, rate_1))
        return None if self._calls_changed(rates, bands) else more

    def _calls_changed(self, rates: Sequence[tuple[float, float]], bands: Bands) -> bool:
        """Whether a service is called more or less often than usual for what its callers get.

        `rates` are those of the last two samples, by row.
        """
        for callee, callers in self._calls:
            called_0 = called_1 = 0.0
            for caller, per_request in callers:
                rate_0, rate_1 = rates[caller]
                called_0 += per_request * rate_0
                called_1 += per_request * rate_1
            low, high = bands[callee][4], bands[callee][5]
            rate_0, rate_1 = rates[callee]
            if (rate_0 < low * called_0 and rate_1 < low * called_1) or (
                rate_0 > high * called_0 and rate_1 > high * called_1
            ):
                return True
        return False
