"""A measured trace as the demand of a run: another site's load, on this platform.

The window of the trace is multiplied by one factor and split over the services that users enter at.
Between the trace's steps the load follows a smooth curve whose sums over the steps are exactly the
trace's (its cumulative sum is interpolated monotonically, Fritsch & Carlson 1980), so an hourly
trace drives seconds and nothing is added or lost.  The slow noise of `demand` shapes the time
within a step and leaves its sum alone.

What lies before the window is the history: all that may be told to a controller.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from engine.model import Calendar, FloatArray, Series
from scenarios.streams import StreamOf
from scenarios.traces import files as traces
from scenarios.traces import fixtures
from scenarios.traces.config import EventConfig, TraceConfig
from scenarios.traces.files import FileLayout, Trace
from scenarios.traces.fixtures import Listed
from scenarios.weddings import kernels
from scenarios.weddings.demand import Demand

MINUTE_S = 60.0
HOUR_S = 3600.0
DAY_S = 86_400.0
SLICE_S = 1800
"""Events in progress are shown by the half hour that they are in."""


class ReplayError(ValueError):
    """The trace cannot be replayed as asked; the message names the key."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """A window of a trace on the platform: `duration_s` seconds from `start_s` (epoch seconds).

    `history` is what was measured before the window, `rates` (T,) what comes in each second of it;
    both are requests/s of all users.  `calendar` holds the events, none without one.  `read_as`
    says in words how the trace's file was understood, `calendar_read_as` how the calendar's was.
    """

    start_s: float
    duration_s: int
    step_s: float
    history: Series
    rates: FloatArray
    calendar: Calendar
    read_as: tuple[str, ...]
    calendar_read_as: str
    parts: Mapping[str, Replay] = field(default_factory=dict)


def load(config: TraceConfig) -> Replay:
    """Read the files of `config` and cut the window out; raises ReplayError naming the key."""
    if not config.columns:
        return _load(config, config.layout)[0]
    together = replace(config.layout, columns=tuple(config.columns.values()))
    whole, factor = _load(config, together)
    parts = {
        service: _load(config, config.layout_of(column), factor)[0]
        for service, column in config.columns.items()
    }
    return replace(whole, parts=parts)


def _load(
    config: TraceConfig, layout: FileLayout, factor: float | None = None
) -> tuple[Replay, float]:
    """The replay of the columns of `layout`, and by what they are multiplied."""
    series, trace = _series(config, layout)
    start_s = _start_s(config, series)
    end_s = series.start_s + series.step_s * len(series.values)
    first = math.floor((start_s - series.start_s) / series.step_s + 1e-9)
    last = math.ceil((start_s + config.duration_s - series.start_s) / series.step_s - 1e-9)
    if start_s - HOUR_S < series.start_s or last > len(series.values):
        raise ReplayError(
            f"trace.date: the window {_moment(start_s)} … {_moment(start_s + config.duration_s)} "
            f"is not allowed (inside {_moment(series.start_s + HOUR_S)} … {_moment(end_s)}, "
            f"where {config.file.name} ends; an hour of history at least)"
        )
    gaps = np.flatnonzero(~np.isfinite(series.values[first:last]))
    if len(gaps):
        at_s = series.start_s + series.step_s * (first + int(gaps[0]))
        raise ReplayError(
            f"trace.path: {len(gaps)} of the {last - first} steps of {series.step_s:g} s in the "
            f"window have no value, the first at {_moment(at_s)}; choose another trace.date"
        )
    if factor is None:
        factor = _factor(config, series.values[first:last])
    rates = factor * _by_second(series, start_s, config.duration_s)
    begin = int((start_s - series.start_s) / series.step_s + 1e-9)
    oldest = max(begin - math.ceil(config.history_days * DAY_S / series.step_s), 0)
    history = Series(
        series.name,
        series.start_s + series.step_s * oldest,
        series.step_s,
        factor * series.values[oldest:begin],
    )
    if not np.isfinite(history.values).any():
        raise ReplayError(f"trace.date: nothing was measured in the days before {_moment(start_s)}")
    events = _calendar(config, trace)
    replay = Replay(
        start_s, config.duration_s, series.step_s, history, rates, events.calendar, trace.read_as,
        events.read_as,
    )  # fmt: skip
    return replay, factor


def realise(
    replay: Replay,
    config: TraceConfig,
    noise_sigma: float,
    noise_time_s: float,
    *,
    streams: StreamOf,
) -> Demand:
    """The demand of the window, split over the services.

    `streams` is asked for "demand.noise.<service>".  Each service's sum over a step of the trace
    is its share of the trace's.
    """
    persistence = math.exp(-1.0 / noise_time_s)
    since_s = (replay.start_s - replay.history.start_s) % replay.step_s
    step = ((np.arange(replay.duration_s) + since_s) // replay.step_s).astype(np.int64)
    rates = np.empty((len(config.services), replay.duration_s))
    for row, service in enumerate(config.services):
        share = config.mix.get(service, 1.0)
        entering = replay.parts.get(service, replay).rates
        plain = np.bincount(step, entering)
        noise_z = streams(f"demand.noise.{service}").standard_normal(replay.duration_s)
        noise = kernels.autoregressive(noise_z, persistence, noise_sigma)
        shaped = entering * np.exp(noise)
        sums = np.bincount(step, shaped)
        back = np.divide(plain, sums, out=np.zeros_like(plain), where=sums > 0.0)
        rates[row] = share * shaped * back[step]
    by_phase = _in_progress(replay, config.event)
    return Demand(
        services=config.services,
        rates=rates,
        in_progress=by_phase.sum(axis=0, dtype=np.int32),
        by_phase=by_phase,
    )


def phases(config: EventConfig) -> tuple[str, ...]:
    """Names of the half hours of an event, in the order of `Demand.by_phase`."""
    edges = range(0, 60 * config.length_min, SLICE_S)
    return tuple(f"minute_{a // 60}_to_{(a + SLICE_S) // 60}" for a in edges)


def _in_progress(replay: Replay, config: EventConfig) -> NDArray[np.int32]:
    """Events in each half hour since their start, by second (slices, T)."""
    count = np.zeros((len(phases(config)), replay.duration_s), np.int32)
    for start_s in replay.calendar.start_s.tolist():
        for k in range(len(count)):
            begin_s = round(start_s - replay.start_s) + k * SLICE_S
            end_s = round(start_s - replay.start_s) + min((k + 1) * SLICE_S, 60 * config.length_min)
            count[k, max(begin_s, 0) : max(end_s, 0)] += 1
    return count


def _series(config: TraceConfig, layout: FileLayout) -> tuple[Series, Trace]:
    """The trace on an even grid of a minute at least, checked; and as it is in the file."""
    try:
        trace = _trace(config.file, _last_change(config.file), layout)
        if trace.duplicates and config.duplicates == "refuse":
            raise ReplayError(
                f"trace.path: {config.file}: {trace.duplicates:,} rows repeat a time; each time "
                "once is allowed. Say trace.duplicates=first to take the first of them, =sum or "
                "=count if each row is an event; where a clock was set back, trace.time_zone=ZONE"
            )
        if trace.unsorted:
            raise ReplayError(
                f"trace.path: {config.file}: {trace.unsorted:,} rows are earlier than the row "
                "before them; sort them by time"
            )
        if len(trace.times_s) < 2:
            raise ReplayError(f"trace.path: {config.file}: holds one row, two at least are needed")
        series = traces.on_grid(trace, max(trace.step_s, MINUTE_S))
    except traces.TraceError as error:
        raise ReplayError(f"trace.path: {error}") from None
    negative = np.flatnonzero(series.values < 0.0)
    if len(negative):
        at_s = series.start_s + series.step_s * int(negative[0])
        raise ReplayError(
            f"trace.path: {config.file}: {series.values[negative[0]]:g} at {_moment(at_s)} "
            "is not allowed (0 or more)"
        )
    return series, trace


@lru_cache(maxsize=32)
def _trace(file: Path, _stamp: tuple[int, int], layout: FileLayout) -> Trace:
    """A file is read once for all that ask, as long as nobody changes it (`_stamp`)."""
    return traces.read(file, layout=layout)


def _last_change(file: Path) -> tuple[int, int]:
    try:
        about = file.stat()
    except OSError:
        return 0, 0  # reading it says what is wrong
    return about.st_mtime_ns, about.st_size


def _start_s(config: TraceConfig, series: Series) -> float:
    zone = ZoneInfo(config.time_zone)
    start = dt.timedelta(minutes=config.start)
    if config.date is not None:
        return (dt.datetime.combine(config.date, dt.time(), tzinfo=zone) + start).timestamp()
    end_s = series.start_s + series.step_s * len(series.values)
    day = dt.datetime.fromtimestamp(end_s - config.duration_s, zone).date()
    for date in (day, day - dt.timedelta(days=1)):
        at_s = (dt.datetime.combine(date, dt.time(), tzinfo=zone) + start).timestamp()
        if at_s + config.duration_s <= end_s:
            break
    return at_s


def _factor(config: TraceConfig, window: FloatArray) -> float:
    if config.scale is not None:
        return config.scale
    peak = float(window.max())
    if peak <= 0.0:
        raise ReplayError(
            "trace.date: the window holds nothing but zeros, so no factor makes its peak "
            "trace.peak_per_s; choose another day, or give trace.scale"
        )
    return float(config.peak_per_s or 0.0) / peak


def _by_second(series: Series, start_s: float, duration_s: int) -> FloatArray:
    """Means of each second (T,) from `start_s`; their sums over the trace's steps are the trace's.

    The step before the window and the one after it take part in the curve where they have a value.
    """
    first = math.floor((start_s - series.start_s) / series.step_s + 1e-9)
    last = math.ceil((start_s + duration_s - series.start_s) / series.step_s - 1e-9)
    first -= first > 0 and bool(np.isfinite(series.values[first - 1]))
    last += last < len(series.values) and bool(np.isfinite(series.values[last]))
    from scipy.interpolate import PchipInterpolator  # only here: most days are of no trace

    knots_s = series.start_s + series.step_s * np.arange(first, last + 1) - start_s
    total = np.concatenate(([0.0], np.cumsum(series.values[first:last]) * series.step_s))
    with np.errstate(over="ignore"):  # next to nothing after next to nothing
        curve = PchipInterpolator(knots_s, total)(np.arange(duration_s + 1, dtype=np.float64))
    rates: FloatArray = np.maximum(np.diff(curve), 0.0)
    return rates


def _calendar(config: TraceConfig, trace: Trace) -> Listed:
    """The events; their times and the trace's are of one zone where they name none."""
    if config.calendar_file is None:
        return Listed(Calendar(np.zeros(0), np.zeros(0), (), np.zeros(0)), "", True)
    try:
        events = fixtures.listed(config.calendar_file, config.time_zone)
    except fixtures.FixturesError as error:
        raise ReplayError(f"trace.calendar: {error}") from None
    elsewhere = trace.offsets_s - {0.0} - _offsets_s(config.time_zone, trace)
    if elsewhere and not events.own_zone:
        raise ReplayError(
            f"trace.calendar: {config.calendar_file}: its times name no time zone, and those of "
            f"{config.file.name} are not on the clocks of trace.time_zone={config.time_zone}; "
            "name the zone of both in trace.time_zone"
        )
    return events


def _offsets_s(zone: str, trace: Trace) -> frozenset[float]:
    """The offsets from UTC that clocks in `zone` had in the year around the trace's end."""
    end = dt.datetime.fromtimestamp(float(trace.times_s[-1]), ZoneInfo(zone))
    around = (end - dt.timedelta(days=30 * k) for k in range(-6, 7))
    return frozenset((at.astimezone(ZoneInfo(zone)).utcoffset() or dt.timedelta()).total_seconds()
                     for at in around)  # fmt: skip


def _moment(time_s: float) -> str:
    return f"{dt.datetime.fromtimestamp(time_s, dt.UTC):%Y-%m-%dT%H:%MZ}"
