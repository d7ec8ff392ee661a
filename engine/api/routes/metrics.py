"""What is seen now and what it says: figures, trends, forecasts, thresholds, headroom."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response

from engine.api.access import Asker, Context, Reader
from engine.api.answers import answer, documented, duration_s, moment, named_services
from engine.api.board import shown
from engine.api.context import ApiContext
from engine.api.figures import TREND_FIELDS, figure, series_of
from engine.api.metrics_documents import (
    AnalysisDocument,
    BottlenecksDocument,
    CapacityDocument,
    RealtimeDocument,
)
from engine.api.snapshot import ServiceLook, StepLook, WeddingsLook
from engine.decide.callgraph import critical_services
from engine.decide.sizing import Sizing, sizing
from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec, Thresholds
from engine.security.roles import Principal

router = APIRouter(prefix="/api/scalability")

SURE = 2.0
"""A line rises or falls if its slope is so many standard errors from none."""
LEAST_RANGE_S = 60.0
NEAR = 0.9
"""Of a threshold: what is nearer is said."""
F = {name: i for i, name in enumerate(SAMPLE_FIELDS)}

Services = Annotated[
    str,
    Query(
        max_length=2000,
        description="Names with commas between them; without it: all",
        examples=["api"],
    ),
]
LAST_S = 4_102_444_800
"""2100; what is asked about lies before."""

Range = Annotated[
    str,
    Query(
        alias="timeRange",
        max_length=12,
        description="How far back trends and series reach: 90s, 15m, 2h",
        examples=["15m"],
    ),
]


@router.get(
    "/metrics/realtime",
    operation_id="realtime",
    summary="Everything that is seen now",
    response_model=RealtimeDocument,
    responses=documented(validated=True),
)
async def realtime(
    request: Request,
    context: Context,
    principal: Reader,
    services: Services = "",
    *,
    time_range: Range = "15m",
    until: Annotated[
        int,
        Query(
            ge=0,
            le=LAST_S,
            description="Where trends and series end (epoch seconds); without it: now",
        ),
    ] = 0,
) -> Response:
    """Current metrics, trends, predictions, the booked weddings, and when that was."""
    look, names, range_s = _asked(context, principal, services, time_range)
    return answer(
        request,
        look.text(
            ("realtime", names, range_s, until), lambda: _realtime(look, names, range_s, until)
        ),
    )


@router.get(
    "/metrics/analysis",
    operation_id="analysis",
    summary="What the figures say",
    response_model=AnalysisDocument,
    responses=documented(validated=True),
)
async def analysis(
    request: Request,
    context: Context,
    principal: Reader,
    services: Services = "",
    *,
    time_range: Range = "15m",
) -> Response:
    """Each figure beside its threshold, its trend, and when it would get there."""
    look, names, range_s = _asked(context, principal, services, time_range)
    return answer(
        request, look.text(("analysis", names, range_s), lambda: _analysis(look, names, range_s))
    )


@router.get(
    "/predictions/capacity",
    operation_id="capacity",
    summary="The instances that the next hours need",
    response_model=CapacityDocument,
    responses=documented(validated=True),
)
async def capacity(
    request: Request, context: Context, principal: Asker, services: Services = ""
) -> Response:
    """By the engine's own forecasts and sizing, as of its newest cycle."""
    look = context.look()
    names = named_services("services", services, context.visible(principal))
    sizes = sizes_of(context)
    return answer(request, look.text(("capacity", names), lambda: _capacity(look, names, sizes)))


@router.get(
    "/bottlenecks",
    operation_id="bottlenecks",
    summary="Which service gives way first",
    response_model=BottlenecksDocument,
    responses=documented(validated=True),
)
async def bottlenecks(
    request: Request, context: Context, principal: Asker, services: Services = ""
) -> Response:
    """By how much load may grow until a service can carry no more, the first in front."""
    look = context.look()
    names = named_services("services", services, context.visible(principal))
    sizes = sizes_of(context)
    return answer(
        request, look.text(("bottlenecks", names), lambda: _bottlenecks(look, names, sizes))
    )


def sizes_of(context: ApiContext) -> Mapping[str, Sizing]:
    """The engine's sizing of each service."""
    specs = tuple(context.board.specs.values())
    critical = critical_services(specs)
    settings = context.board.settings.capacity
    return {s.name: sizing(s, settings, critical=s.name in critical) for s in specs}


def _asked(
    context: ApiContext, principal: Principal, services: str, time_range: str
) -> tuple[StepLook, tuple[str, ...], float]:
    most_s = context.config.limits.range_s
    range_s = duration_s("timeRange", time_range, LEAST_RANGE_S, most_s)
    names = named_services("services", services, context.visible(principal))
    return context.look(), names, range_s


# --- realtime


def _realtime(
    look: StepLook, names: Sequence[str], range_s: float, until_s: float
) -> dict[str, Any]:
    end_s = min(until_s, look.time_s) if until_s else look.time_s
    return {
        "last_updated_s": round(look.time_s, 3),
        "last_updated": moment(look.time_s),
        "step": look.number,
        "range_s": range_s,
        "services": {name: _service(look, look.services[name], range_s, end_s) for name in names},
        "wedding_context": weddings_document(look.weddings),
    }


def weddings_document(weddings: WeddingsLook) -> dict[str, Any]:
    """What is booked, as an answer shows it."""
    return {
        "noun": weddings.noun,
        "in_progress": figure(weddings.now),
        "major_in_progress": figure(weddings.major_now),
        "next_peak": figure(weddings.peak),
        "next_peak_at_s": figure(weddings.peak_at_s, 12),
        "protection": weddings.major_ahead,
        "known_until_s": figure(weddings.known_until_s, 12),
    }


def _service(look: StepLook, service: ServiceLook, range_s: float, end_s: float) -> dict[str, Any]:
    rows = service.samples.since(end_s - range_s)
    rows = rows[rows[:, F["time_s"]] <= end_s]
    newest = service.samples.newest
    return {
        **shown(service),
        "sample_age_s": None
        if newest is None
        else round(look.time_s - float(newest[F["time_s"]]), 3),
        "trends": trends(rows),
        "predictions": [
            {
                "horizon_s": one.horizon_s,
                "at_s": round(look.forecast_s + one.horizon_s, 3),
                "q10": figure(one.q10),
                "q50": figure(one.q50),
                "q90": figure(one.q90),
            }
            for one in service.forecasts
        ],
        "series": series_of(rows, end_s, range_s),
    }


def trends(rows: FloatArray) -> dict[str, dict[str, Any]]:
    """How each figure moved over the samples (n, fields)."""
    return {name: _trend(rows[:, F["time_s"]], rows[:, F[name]]) for name in TREND_FIELDS}


def _trend(times_s: FloatArray, values: FloatArray) -> dict[str, Any]:
    there = np.isfinite(values)
    times_s, values = times_s[there], values[there]
    if not len(values):
        unknown: dict[str, Any] = dict.fromkeys(("mean", "lowest", "highest", "per_minute"))
        return {**unknown, "direction": "unknown"}
    mean = float(values.mean())
    trend = {
        "mean": figure(mean),
        "lowest": figure(float(values.min())),
        "highest": figure(float(values.max())),
        "per_minute": None,
        "direction": "unknown",
    }
    if len(values) < 3:
        return trend
    slope, error = line(times_s, values)
    moved = abs(slope) > SURE * error and abs(slope) > 1e-12
    trend["per_minute"] = figure(60.0 * slope)
    trend["direction"] = ("rising" if slope > 0.0 else "falling") if moved else "steady"
    return trend


def line(times_s: FloatArray, values: FloatArray) -> tuple[float, float]:
    """Slope (1/s) of the least-squares line through the values (n,), and its standard error."""
    x = times_s - times_s.mean()
    spread = float(x @ x)
    if spread <= 0.0:
        return 0.0, 0.0
    slope = float(x @ values) / spread
    rest = values - values.mean() - slope * x
    return slope, math.sqrt(float(rest @ rest) / max(len(values) - 2, 1) / spread)


# --- analysis

FIGURES: tuple[tuple[str, Callable[[Thresholds], float]], ...] = (
    ("cpu", lambda limits: limits.cpu_up),
    ("memory", lambda limits: limits.memory_up),
    ("request_rate", lambda limits: limits.request_rate_up),
    ("response_time", lambda limits: limits.response_time_up),
    ("queue_depth", lambda limits: limits.queue_depth_up),
)


def _analysis(look: StepLook, names: Sequence[str], range_s: float) -> dict[str, Any]:
    return {
        "last_updated_s": round(look.time_s, 3),
        "range_s": range_s,
        "services": {name: _analysed(look, look.services[name], range_s) for name in names},
    }


def _analysed(look: StepLook, service: ServiceLook, range_s: float) -> dict[str, Any]:
    rows = service.samples.since(look.time_s - range_s)
    over = {name: _share_of(service, name, rows) for name, _ in FIGURES}
    figures = []
    worst = -math.inf
    for name, limit_of in FIGURES:
        limit, values = limit_of(service.spec.thresholds), over[name]
        there = np.isfinite(values)
        value = float(values[there][-1]) if there.any() else math.nan
        share = value / limit
        worst = max(worst, share) if math.isfinite(share) else worst
        reached_s = math.nan
        if there.sum() >= 3:
            slope, error = line(rows[there, F["time_s"]], values[there])
            if slope > SURE * error and value < limit:
                reached_s = (limit - value) / slope
        figures.append(
            {
                "figure": name,
                "value": figure(value),
                "threshold": limit,
                "share": figure(share),
                "reached_in_s": figure(reached_s),
            }
        )
    verdict = "above" if worst >= 1.0 else "near" if worst >= NEAR else "ok"
    return {
        "verdict": verdict if math.isfinite(worst) else "no_samples",
        "utilisation": figure(_utilisation(service)),
        "figures": figures,
        "trends": trends(rows),
    }


def _share_of(service: ServiceLook, name: str, rows: FloatArray) -> FloatArray:
    """A figure in the unit of its threshold: see `engine.model.Thresholds`."""
    spec = service.spec
    if name == "request_rate":
        most = service.ready * spec.rate_per_instance
        return rows[:, F["request_rate"]] / most if most else np.full(len(rows), math.nan)
    if name == "response_time":
        return rows[:, F["p95_s"]] / spec.slo_p95_s
    if name == "queue_depth":
        slots = service.ready * spec.slots
        return rows[:, F["queue_depth"]] / slots if slots else np.full(len(rows), math.nan)
    return rows[:, F[name]]


def _utilisation(service: ServiceLook) -> float:
    """Share of the slots that the newest sample's requests keep busy."""
    rate, most = _rate(service), service.ready * service.spec.rate_per_instance
    return rate / most if most else math.nan


def _rate(service: ServiceLook) -> float:
    newest = service.samples.newest
    return math.nan if newest is None else float(newest[F["request_rate"]])


# --- capacity and headroom


def _capacity(look: StepLook, names: Sequence[str], sizes: Mapping[str, Sizing]) -> dict[str, Any]:
    services = {}
    for name in names:
        service = look.services[name]
        services[name] = {
            "desired": service.desired,
            "ready": service.ready,
            "max_instances": service.spec.max_instances,
            "needed": [
                {
                    "horizon_s": one.horizon_s,
                    "at_s": round(look.forecast_s + one.horizon_s, 3),
                    "request_rate_q50": figure(one.q50),
                    "request_rate_q90": figure(one.q90),
                    "instances": needed(service.spec, sizes[name], one.q90, one.q50),
                }
                for one in service.forecasts
            ],
        }
    return {
        "last_updated_s": round(look.time_s, 3),
        "forecast_s": figure(look.forecast_s, 12),
        "services": services,
    }


def needed(spec: ServiceSpec, size: Sizing, likely: float, median: float) -> int:
    """Instances for a load (1/s) within the service's limits."""
    count = size.needed(likely, median) if math.isfinite(likely + median) else 0
    return min(max(count, spec.min_instances), spec.max_instances)


def _bottlenecks(
    look: StepLook, names: Sequence[str], sizes: Mapping[str, Sizing]
) -> dict[str, Any]:
    budget = look.budget
    total = sum(service.desired for service in look.services.values())
    cost = math.fsum(s.desired * s.spec.price_per_hour for s in look.services.values())
    rows = []
    for name in names:
        service, spec = look.services[name], look.services[name].spec
        ceiling = sizes[name].utilisation
        most = float(spec.max_instances)
        limited_by = "stateful" if spec.stateful else "max_instances"
        by_quota = service.desired + budget.instances - total
        by_budget = service.desired + (budget.usd_per_hour - cost) / max(spec.price_per_hour, 1e-9)
        for count, limit in ((by_quota, "quota"), (by_budget, "budget")):
            if count < most:
                most, limited_by = max(math.floor(count), 0), limit
        carried = ceiling * most * spec.rate_per_instance
        rate, newest = _rate(service), service.samples.newest
        growth = carried / rate if rate > 0.0 else math.nan
        rows.append(
            {
                "service": name,
                "request_rate": figure(rate),
                "carried_now": ceiling * service.ready * spec.rate_per_instance,
                "carried_at_most": carried,
                "utilisation": figure(_utilisation(service)),
                "growth": figure(growth),
                "limited_by": limited_by,
                "queue_depth": None if newest is None else figure(float(newest[F["queue_depth"]])),
                "p95_share_of_slo": (
                    None if newest is None else figure(float(newest[F["p95_s"]]) / spec.slo_p95_s)
                ),
            }
        )
    rows.sort(key=lambda row: (row["growth"] is None, row["growth"] or 0.0, row["service"]))
    first = rows[0] if rows and rows[0]["growth"] is not None else None
    return {
        "last_updated_s": round(look.time_s, 3),
        "bottleneck": first["service"] if first else "",
        "services": rows,
    }
