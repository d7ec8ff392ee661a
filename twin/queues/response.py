"""Response times without congestion, and how many instances a load needs.

A request's response is its own service and that of its synchronous calls, one after the other.
Each is gamma distributed with the service's mean and squared coefficient of variation (SCV); the
sum is fitted by one gamma distribution with the sum's mean and variance, the number of calls being
`floor(per_request)` plus one more with the fractional part as probability.  Everything that
congestion adds is in `kernels`; here is the part that changes only when a service slows down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from engine.decide.callgraph import call_order
from engine.model import FloatArray, ServiceSpec
from twin.queues.kernels import services as columns
from twin.queues.kernels import staffing, survival

SHAPE_LIMIT = 1e4
"""Largest gamma shape used: an SCV below 1e-4 counts as 1e-4."""


def base_moments(services: Sequence[ServiceSpec], slowdown: ArrayLike = 1.0) -> FloatArray:
    """Mean (s) and variance (s²) of the response without any wait, shape (services, 2).

    `slowdown`, one factor or one a service, multiplies the service times.
    """
    factors = np.broadcast_to(np.asarray(slowdown, dtype=np.float64), (len(services),))
    index = {spec.name: i for i, spec in enumerate(services)}
    moments = np.zeros((len(services), 2))
    for i in reversed(call_order(services)):
        spec = services[i]
        own_s = spec.service_s * float(factors[i])
        mean = own_s
        variance = spec.service_scv * own_s**2
        for call in spec.calls:
            if call.asynchronous:
                continue
            callee_mean, callee_variance = moments[index[call.service]]
            one_more = call.per_request - math.floor(call.per_request)
            mean += call.per_request * callee_mean
            variance += call.per_request * callee_variance
            variance += one_more * (1.0 - one_more) * callee_mean**2
        moments[i] = mean, variance
    return moments


def with_more_calls(
    services: Sequence[ServiceSpec], factors: FloatArray
) -> tuple[ServiceSpec, ...]:
    """The services with `factors` (services,) times as many synchronous calls."""
    return tuple(
        spec
        if factor == 1.0
        else replace(
            spec,
            calls=tuple(
                call
                if call.asynchronous
                else replace(call, per_request=call.per_request * float(factor))
                for call in spec.calls
            ),
        )
        for spec, factor in zip(services, factors, strict=True)
    )


def fill_response(
    services: Sequence[ServiceSpec],
    slowdown: FloatArray,
    spec: FloatArray,
    table: FloatArray,
    *,
    changed: Sequence[int],
) -> None:
    """Write the response-time columns of `spec` and the survival tables of the `changed` services.

    `spec` and `table` are those of `kernels.services.Services`; `slowdown` has one factor a
    service.
    """
    moments = base_moments(services, slowdown)
    for s in changed:
        mean_s, variance = moments[s]
        shape = min(mean_s**2 / max(variance, 1e-300), SHAPE_LIMIT)
        survival.fill_table(table[s], shape, mean_s / shape)
        spec[s, columns.SLOWDOWN] = slowdown[s]
        spec[s, columns.MEAN_S] = mean_s
        slo_s = services[s].slo_p95_s
        spec[s, columns.BASE_SLOW] = math.exp(
            survival.log_gamma_survival(shape, slo_s * shape / mean_s)
        )
        for column, share in (
            (columns.BASE_P50, 0.50),
            (columns.BASE_P95, 0.05),
            (columns.BASE_P99, 0.01),
        ):
            # the survival falls with the grid, its negative logarithm rises
            at = np.interp(-math.log(share), -table[s, 0], np.arange(survival.X_POINTS))
            spec[s, column] = math.exp(survival.LN_X0 + at * survival.D_LN_X)


def static_columns(services: Sequence[ServiceSpec]) -> FloatArray:
    """The columns that describe a service, clients and slowdown left at zero."""
    spec = np.zeros((len(services), columns.SPEC_COLUMNS))
    for s, service in enumerate(services):
        spec[s, columns.SLOTS] = service.slots
        spec[s, columns.SERVICE_S] = service.service_s
        spec[s, columns.SPREAD] = 0.5 * (1.0 + service.service_scv)
        spec[s, columns.SLO_S] = service.slo_p95_s
    return spec


def needed_curve(
    service: ServiceSpec,
    rates: FloatArray,
    platform: Sequence[ServiceSpec] = (),
    slowdown: float = 1.0,
) -> NDArray[np.int64]:
    """Smallest counts (n,) that carry `rates` (n,) arrivals a second steadily within the SLO.

    p95 of the stationary response at most `slo_p95_s`, utilisation at most 0.98; 0 for no load,
    not limited to the service's own minimum and maximum.  The calls made to other services count
    with their service times if `platform` lists those services, and are left out if it is empty.
    Compiled.  Raises ValueError if a rate is not finite.

    Hindsight, by which a controller is judged: the queue's own answer for a rate that came.  How
    many the engine asks for beforehand, by a rule and with room for what it cannot know, is
    `engine.decide.sizing`.
    """
    rates = np.ascontiguousarray(rates, dtype=np.float64)
    if not np.isfinite(rates).all():
        raise ValueError("rates must be finite")
    spec, table = _staffing(service, tuple(platform), slowdown)
    counts: NDArray[np.int64] = staffing.needed_curve(spec, table, 0, rates)
    return counts


@lru_cache(maxsize=256)
def _staffing(
    service: ServiceSpec, platform: tuple[ServiceSpec, ...], slowdown: float
) -> tuple[FloatArray, FloatArray]:
    """Columns and survival table of one service alone."""
    if not platform:
        service = replace(service, calls=())
        platform = (service,)
    names = [listed.name for listed in platform]
    if service.name not in names:
        raise ValueError(f"{service.name} is none of the services {', '.join(names)}")
    s = names.index(service.name)
    factors = np.ones(len(platform))
    factors[s] = slowdown
    spec = static_columns(platform)
    table = np.zeros((len(platform), survival.W_ROWS, survival.X_POINTS))
    fill_response(platform, factors, spec, table, changed=[s])
    spec = spec[s : s + 1].copy()
    table = table[s : s + 1].copy()
    spec.flags.writeable = False
    table.flags.writeable = False
    return spec, table
