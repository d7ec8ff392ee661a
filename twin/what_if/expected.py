"""The load to come, as the engine of a moment expects it: no more is known to anybody.

The calendar gives the shape, the engine's forecasts how the day departs from it, the newest samples
how it departs now.  Where the calendar does not reach, its last load goes on.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from engine.api.what_if import Moment, ServiceMoment, TriedChange
from engine.model import SAMPLE_FIELDS, FloatArray, Outlook, ServiceSpec
from scenarios.weddings.demand import Demand

GRID_S = 60.0
RATE = SAMPLE_FIELDS.index("request_rate")
NEWEST = 12
"""Samples whose mean is the load of now."""


def demand(
    moment: Moment, specs: Sequence[ServiceSpec], change: TriedChange, duration_s: int
) -> Demand:
    """What enters at each of `specs` in each second, with what `change` adds to it."""
    grid_s = np.arange(0.0, duration_s + GRID_S, GRID_S)
    seconds = np.arange(duration_s, dtype=np.float64)
    load = np.stack([arriving(moment, spec.name, grid_s) for spec in specs])
    entering = np.maximum(entered(specs, load), 0.0)
    rates = np.stack([np.interp(seconds, grid_s, row) for row in entering])
    for row, spec in enumerate(specs):
        if spec.name == change.load_service:
            more = (change.load_factor - 1.0) * np.interp(seconds, grid_s, load[row])
            rates[row] = np.maximum(
                rates[row] + np.where(seconds >= change.after_s, more, 0.0), 0.0
            )
    outlook, times_s = moment.outlook, moment.time_s + seconds
    in_phases = outlook.in_phases if len(outlook.phases) else outlook.events[None, :]
    by_phase = np.rint(np.stack([_binned(outlook, row, times_s) for row in in_phases]))
    return Demand(
        services=tuple(spec.name for spec in specs),
        rates=rates,
        in_progress=np.rint(_binned(outlook, outlook.events, times_s)).astype(np.int32),
        by_phase=by_phase.astype(np.int32),
    )


def arriving(moment: Moment, name: str, ahead_s: FloatArray) -> FloatArray:
    """Requests/s expected to arrive at a service, calls included, `ahead_s` from now; (n,)."""
    service, outlook = moment.services[name], moment.outlook
    row, now_s = outlook.services.get(name), moment.time_s
    points = [(0.0, rate) for rate in [_now(service)] if math.isfinite(rate)]
    if math.isfinite(moment.forecast_s):
        points += [
            (moment.forecast_s + one.horizon_s - now_s, one.q50)
            for one in service.forecasts
            if moment.forecast_s + one.horizon_s > now_s and math.isfinite(one.q50)
        ]
    at_s, rates = np.array([point[0] for point in points]), np.array([p[1] for p in points])
    if row is None or not outlook.load.shape[1]:
        return np.interp(ahead_s, at_s, rates) if points else np.zeros(len(ahead_s))
    booked = _binned(outlook, outlook.load[row], now_s + ahead_s)
    if not points:
        return booked
    then = _binned(outlook, outlook.load[row], now_s + at_s)
    comparable = then > 0.0
    if not comparable.any():
        return np.interp(ahead_s, at_s, rates)
    return booked * np.interp(ahead_s, at_s[comparable], rates[comparable] / then[comparable])


def entered(specs: Sequence[ServiceSpec], load: FloatArray) -> FloatArray:
    """What of the `load` (services, n) no other service's calls account for; may be negative."""
    rows = {spec.name: row for row, spec in enumerate(specs)}
    left = load.copy()
    for row, spec in enumerate(specs):
        for call in spec.calls:
            left[rows[call.service]] -= call.per_request * load[row]
    return left


def _now(service: ServiceMoment) -> float:
    rates = service.samples[-NEWEST:, RATE]
    rates = rates[np.isfinite(rates)]
    return float(rates.mean()) if len(rates) else math.nan


def _binned(outlook: Outlook, values: FloatArray, times_s: FloatArray) -> FloatArray:
    """`values` (bins,) between the middles of the bins; beyond them the first and the last."""
    if not len(values):
        return np.zeros(len(times_s))
    middles = outlook.start_s + outlook.bin_s * (np.arange(len(values)) + 0.5)
    return np.interp(times_s, middles, values)
