"""What a look at the platform shows: the newest figures, and how far they are from what is usual.

Everything is an array with a row for each service, so that a look costs the same few dozen array
operations whatever their number.  Each figure is the median of the newest three samples that hold
it: one wild sample moves nothing.  *Residuals* are the figures with all taken out that is known
beforehand: the arrivals compared with what is booked for this time, the work of a request with what
is specified for it, the calls with the requests of the callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from engine.decide.callgraph import critical_services
from engine.decide.view import MOST_S, MOST_SHARE, most_rate
from engine.model import SAMPLE_FIELDS, FloatArray, Outlook, ServiceObservation, ServiceSpec
from engine.monitoring.findings import Symptom
from engine.monitoring.peers import PeerFigures
from engine.monitoring.settings import MonitorSettings

NEWEST = 3
CPU, MEMORY, RATE, P50, P95, P99, ERRORS, QUEUE = range(1, 9)
"""Columns of `Picture.figures`: those of a sample."""

RESIDUALS = ("load", "work", "calls", "response", "errors", "queue")
LOAD, WORK, CALLS, RESPONSE, FAILURES, WAITING = range(len(RESIDUALS))
"""Columns of `Picture.residuals`.  The first three are logarithms: arrivals over what is expected,
busy slots over what the requests should keep busy, arrivals over the calls that the callers should
make.  `response` is the logarithm of p95 over half the SLO, 0 below; `errors` the failed share;
`queue` the waiting requests per slot, as a share of `Watched.patience`."""

EFFECTS = np.array([0.25, 0.25, 0.25, 0.4, 0.01, 0.5])
"""The smallest departure of each residual that anybody has to hear of."""
ONLY_UP = np.array([False, False, False, True, True, True])
"""Residuals that are bad news in one direction alone."""
OF_SLOTS = ("cpu", "queue_per_slot")
"""Levels that say how full a service is."""
COUNTS_KEPT = 13
"""Looks for which the counts of instances are kept: a minute at 5 s."""
LEAST_BAD = 3.0
"""Fewer failed requests than this, within the newest samples, are chance."""
LEAST_BUSY = 0.5
"""With fewer busy slots than this on average nothing can be said of the work of a request."""

OF_MEDIAN = 0.5
"""Variance of the median of three normal values, as a share of that of one (0.449, rounded up)."""
EARLY_OR_LATE_S = 300.0
"""So much earlier or later than booked all of the events together may be."""

OF_CAPACITY = 0.001
"""More or less load than booked by so small a share of what is ready is nothing to hear of."""

Arrays = Mapping[str, FloatArray]
"""The memory of a detector: arrays whose first axis is the services, never changed in place."""


class Watched(NamedTuple):
    """What is fixed of the services, an array each (services,)."""

    names: tuple[str, ...]
    slots: FloatArray
    service_s: FloatArray
    slo_p95_s: FloatArray
    service_scv: FloatArray
    rate_per_instance: FloatArray
    start_s: FloatArray
    """Until an instance that was asked for serves, in 95 % of the cases."""
    calls: FloatArray
    """(services, services): requests that each of a column's makes to a row's."""
    most: FloatArray
    """(services, 1, fields): the largest value that each figure can have."""
    waited_for: NDArray[np.bool_]
    """Whether users wait for it, directly or through another service."""
    patience: FloatArray
    """How many times as many requests may wait per slot as where users wait for each.

    1 where they do.  A queue in front of work that nobody waits for takes the surges up, and there
    what waits is late when its wait comes near the promised response time: the time that a request
    for each slot waits is the service time, so this many times that is the promise."""

    @classmethod
    def of(cls, specs: Sequence[ServiceSpec]) -> Watched:
        """Those of `specs`."""
        row = {spec.name: i for i, spec in enumerate(specs)}
        critical = critical_services(specs)
        calls = np.zeros((len(specs), len(specs)))
        most = np.full((len(specs), 1, len(SAMPLE_FIELDS)), np.inf)
        for i, spec in enumerate(specs):
            for call in spec.calls:
                calls[row[call.service], i] += call.per_request
            most[i, 0, [CPU, MEMORY]] = MOST_SHARE
            most[i, 0, RATE] = most_rate(spec)
            most[i, 0, [P50, P95, P99]] = MOST_S
            most[i, 0, ERRORS] = 1.0
        return cls(
            names=tuple(row),
            slots=np.array([float(spec.slots) for spec in specs]),
            service_s=np.array([spec.service_s for spec in specs]),
            slo_p95_s=np.array([spec.slo_p95_s for spec in specs]),
            service_scv=np.array([spec.service_scv for spec in specs]),
            rate_per_instance=np.array([spec.rate_per_instance for spec in specs]),
            start_s=np.array([spec.boot.p95_s + spec.warmup_s for spec in specs]),
            calls=calls,
            most=most,
            waited_for=np.array([spec.name in critical for spec in specs]),
            patience=np.array(
                [
                    1.0 if spec.name in critical else max(spec.slo_p95_s / spec.service_s, 1.0)
                    for spec in specs
                ]
            ),
        )


def level_table(traits: Watched, settings: MonitorSettings, figures: Sequence[str]) -> FloatArray:
    """All levels: (2, services, figures, 2), usual and of a wedding day, warning and critical.

    So `table[int(wedding_day)]` are those that hold.  Full slots of a service that nobody waits
    for, and what waits there, are as usual on a wedding day as on any other.  What may wait there
    is `Watched.patience` times as much, unless the service has levels of its own.
    """
    table = np.zeros((2, len(traits.names), len(figures), 2))
    for wedding_day in (False, True):
        for i, name in enumerate(traits.names):
            for k, figure in enumerate(figures):
                stricter = wedding_day and (figure not in OF_SLOTS or bool(traits.waited_for[i]))
                own = settings.levels(name, figure, wedding_day=stricter)
                table[int(wedding_day), i, k] = own.warning, own.critical
                if figure == "queue_per_slot" and not settings.has_own(name, figure):
                    table[int(wedding_day), i, k] *= traits.patience[i]
    return table


class Picture(NamedTuple):
    """One look; arrays have a row for each service of `traits`.

    `figures` (services, fields) are in the order of `SAMPLE_FIELDS`, NaN where nothing fresh says
    them.  `sampled_s` is the time of the newest sample (-inf: none yet), `evidence_s` that of the
    one before, from which on a figure that is a median has been so, and `spacing_s` the time from
    that to the newest.  `fresh`: a sample is young enough to count; `renewed`: one came since the
    last look; `wild`: one that cannot be.
    `expected` is the booked load in requests/s (NaN: the calendar does not cover this time, or is
    not asked), `rise` its growth per second as a share, and `least` the booked load if everything
    is twice as late as it usually may be.  `against` is what the arrivals are compared with: the
    booked load, or 1 request/s where the calendar is not asked.
    `events` are booked to be in progress; on a `wedding_day` there are major ones among them, and
    soon there will be if there are before the next look.
    `residuals` and `z` (services, residuals): how far from what is usual, in its spread;
    NaN where that is not known yet.  `centre` and `scale` are what is usual, chance included.
    `peers` are the figures of single instances, where they were looked at.
    `lost` counts instances that went within a minute without anybody asking, `fell` those that were
    ready at some time since the last look.
    """

    now_s: float
    elapsed_s: float
    traits: Watched
    figures: FloatArray
    sampled_s: FloatArray
    evidence_s: FloatArray
    spacing_s: FloatArray
    fresh: NDArray[np.bool_]
    renewed: NDArray[np.bool_]
    wild: NDArray[np.bool_]
    present: NDArray[np.bool_]
    ready: FloatArray
    desired: FloatArray
    booting: FloatArray
    lost: FloatArray
    fell: FloatArray
    expected: FloatArray
    against: FloatArray
    rise: FloatArray
    least: FloatArray
    events: float
    wedding_day: bool
    wedding_day_soon: bool
    residuals: FloatArray
    centre: FloatArray
    scale: FloatArray
    z: FloatArray
    peers: PeerFigures | None = None

    def column(self, figure: int) -> FloatArray:
        """One figure of all services (services,)."""
        return self.figures[:, figure]


class Detector(Protocol):
    """A rule or a detector: pure, its memory is what it is given and returns."""

    def begin(self) -> Arrays:
        """The memory before the first look."""
        ...

    def look(self, memory: Arrays, picture: Picture) -> tuple[Arrays, Sequence[Symptom]]:
        """The memory after a look, and what it sees wrong at this moment."""
        ...


def newest_rows(windows: Sequence[NDArray[np.void] | None], now_s: float) -> FloatArray:
    """The newest samples of each window, (services, 3, fields), newest last, NaN where none is.

    Samples of the future do not count, and of two with the same time only the later does.
    """
    rows = np.full((len(windows), NEWEST, len(SAMPLE_FIELDS)), np.nan)
    for i, window in enumerate(windows):
        if window is None or not len(window):
            continue
        tail = window[-NEWEST:]
        times = tail["time_s"].tolist()
        if times[-1] > now_s or any(not a < b for a, b in pairwise(times)) or times[0] != times[0]:
            past = window[window["time_s"] <= now_s]
            by_time = {float(row["time_s"]): row for row in past[-4 * NEWEST :]}
            tail = np.array([by_time[t] for t in sorted(by_time)][-NEWEST:], dtype=window.dtype)
        count = len(tail)
        if count:
            plain = np.ascontiguousarray(tail).view(np.float64).reshape(count, -1)
            rows[i, NEWEST - count :] = plain
    return rows


JUMPS = ((RATE, 100.0, 1.0), (P95, 300.0, 0.005))
"""A figure, how many times the last one no figure is, and from which one on that can be said."""


def wild(rows: FloatArray, most: FloatArray) -> NDArray[np.bool_]:
    """(services,) whose newest sample has a figure that cannot be, or one that cannot follow."""
    before, newest = rows[:, -2], rows[:, -1]
    with np.errstate(invalid="ignore"):
        parts = [((newest < 0.0) | (newest > most[:, 0])).any(axis=1)]
        for figure, times, least in JUMPS:
            last = before[:, figure]
            parts.append((last >= least) & (newest[:, figure] > times * last))
    cannot: NDArray[np.bool_] = np.logical_or.reduce(parts)
    return cannot


def medians(rows: FloatArray, most: FloatArray) -> FloatArray:
    """The median of each figure over the rows that hold it, (services, fields).

    A figure that is negative, or larger than it can be (`most`), is none.
    """
    with np.errstate(invalid="ignore"):
        plausible = np.where((rows >= 0.0) & (rows <= most), rows, np.nan)
    ordered = np.sort(plausible, axis=1)  # NaN come last
    low, middle, high = ordered[:, 0], ordered[:, 1], ordered[:, 2]
    two = np.where(np.isnan(middle), low, 0.5 * (low + middle))
    result: FloatArray = np.where(np.isnan(high), two, middle)
    return result


def booked(outlook: Outlook, rows: NDArray[np.intp], at_s: float) -> tuple[FloatArray, FloatArray]:
    """Expected load (1/s) of the services at `rows` (-1: not in the outlook), and its growth.

    The growth is a share per second, over one bin; both (services,) and NaN where the calendar does
    not cover the time.
    """
    nothing = np.full(len(rows), np.nan)
    if not outlook.covers(at_s):
        return nothing, nothing
    last = outlook.load.shape[1] - 1
    position = (at_s - outlook.start_s) / outlook.bin_s - 0.5
    low = min(max(int(position), 0), last)
    high = min(low + 1, last)
    share = min(max(position - low, 0.0), 1.0)
    before, after = outlook.load[rows, low], outlook.load[rows, high]
    rate = before + share * (after - before)
    with np.errstate(divide="ignore", invalid="ignore"):
        rise = np.where(rate > 0.0, (after - before) / (rate * outlook.bin_s), 0.0)
    unknown = rows < 0
    if unknown.any():
        rate, rise = np.where(unknown, np.nan, rate), np.where(unknown, np.nan, rise)
    return rate, rise


def or_zero(values: FloatArray) -> FloatArray:
    """The same with 0 in place of NaN; what is infinite stays so."""
    zero: FloatArray = np.where(np.isnan(values), 0.0, values)
    return zero


def within(values: FloatArray, low: float | FloatArray, high: float | FloatArray) -> FloatArray:
    """The values, or the bound that they are beyond; as `numpy.clip`, in a third of its time."""
    bounded: FloatArray = np.minimum(np.maximum(values, low), high)
    return bounded


def by_name(
    traits: Watched, services: Sequence[ServiceObservation]
) -> list[ServiceObservation | None]:
    """The observation of each service in the order of the traits; raises ValueError for others."""
    there = {service.spec.name: service for service in services}
    unknown = [name for name in there if name not in traits.names]
    if unknown:
        raise ValueError(f"{unknown[0]} is not among the watched services")
    return [there.get(name) for name in traits.names]


def residuals_of(
    traits: Watched,
    figures: FloatArray,
    ready_then: FloatArray,
    expected: FloatArray,
    *,
    ready: FloatArray,
    rise: FloatArray,
    spacing_s: FloatArray,
) -> tuple[FloatArray, FloatArray]:
    """What is left of the figures when all is taken out that is known beforehand, and its chance.

    `figures` (services, fields), `ready_then` (services,) instances that were ready when the
    samples were taken, NaN where that changed much; `ready` (services,) those that are now, which
    stand for them there; `expected` (services,) in requests/s, `rise` its growth per second,
    `spacing_s` what lies between two samples.  Returns the residuals and the standard deviation
    that chance alone gives them, (services, residuals) both: of counts it is Poisson's, and events
    that are usually a few minutes early or late move a steep load.
    """
    rate, p95_s = figures[:, RATE], figures[:, P95]
    with np.errstate(divide="ignore", invalid="ignore"):
        busy = figures[:, CPU] * ready_then * traits.slots
        usual = rate * traits.service_s
        called = traits.calls @ or_zero(rate)
        called[(traits.calls > 0.0) @ np.isnan(rate)] = np.nan  # a caller is not measured
        there = or_zero(np.where(np.isnan(ready_then), ready, ready_then))
        waiting = figures[:, QUEUE] / np.maximum(there * traits.slots, 1.0)
        residuals = np.empty((len(figures), len(RESIDUALS)))
        residuals[:, LOAD] = np.log(rate / expected)
        residuals[:, WORK] = np.where(usual > LEAST_BUSY, np.log(busy / usual), np.nan)
        residuals[:, CALLS] = np.where(called > 0.0, np.log(rate / called), np.nan)
        residuals[:, RESPONSE] = np.log(np.maximum(2.0 * p95_s / traits.slo_p95_s, 1.0))
        bad = _bad(figures, spacing_s) >= LEAST_BAD
        residuals[:, FAILURES] = np.where(bad, figures[:, ERRORS], 0.0)
        residuals[:, WAITING] = waiting / traits.patience
        of_rate = OF_MEDIAN / (rate * spacing_s)
        of_called = OF_MEDIAN / (called * spacing_s)
        variance = np.zeros_like(residuals)
        little = OF_CAPACITY * there * traits.rate_per_instance / np.fmax(expected, rate)
        variance[:, LOAD] = of_rate + (rise * EARLY_OR_LATE_S) ** 2 + or_zero(little) ** 2
        variance[:, WORK] = of_rate
        variance[:, CALLS] = of_rate + of_called
    residuals[~np.isfinite(residuals)] = np.nan
    residuals[np.isnan(figures[:, ERRORS]), FAILURES] = np.nan
    return residuals, np.sqrt(variance)


def _bad(figures: FloatArray, spacing_s: FloatArray) -> FloatArray:
    """About how many requests failed within the newest samples."""
    return figures[:, ERRORS] * figures[:, RATE] * spacing_s * NEWEST
