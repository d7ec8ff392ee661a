"""What `plan.json` says; its keys are a public interface (schema 1).

Money is USD over the horizon, rates are requests/s, shares 0-1, months are named "2027-06".
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.planning.bottleneck import Rung
from engine.planning.needs import (
    in_progress,
    load_of,
    monthly_highest,
    staffing,
    weekly_highest,
)
from engine.planning.optimise import Option, monthly_limits
from engine.planning.season_plan import floors, sized
from engine.record.machine import versions
from twin.plan.checks import Checks
from twin.plan.planning import Planned
from twin.plan.probe import ProbeResult

SCHEMA = 1
LEVELS = (0.1, 0.5, 0.9)
PEAK_DAYS = 12
DIGITS = 9
"""Significant digits that are written: enough for anybody, too few for rounding noise."""


def content(planned: Planned, checks: Checks | None, command: str) -> dict[str, Any]:
    """The whole plan as plain data."""
    config = planned.config
    whole = {
        "schema": SCHEMA,
        "kind": "plan",
        "date": config.plan.date.isoformat(),
        "horizon_months": config.plan.months,
        "months": month_names(planned),
        "risk": config.plan.risk,
        "simultaneous": config.population.simultaneous,
        "seed": config.seed,
        "paths": config.plan.paths,
        "pricing": config.pricing.name,
        "zones": config.engine.capacity.zones,
        "quota": config.budget.instances,
        "versions": versions(),
        "command": command,
        "forecast": _forecast(planned),
        "plan": _plan(planned),
        "alternatives": dataclasses.asdict(planned.alternatives),
        "recommendations": [
            {**dataclasses.asdict(advice), "kind": advice.kind.value} for advice in planned.advice
        ],
        "bottlenecks": _bottlenecks(planned, checks),
    }
    plain = _plain(whole)
    assert isinstance(plain, dict)
    return plain


def month_names(planned: Planned) -> list[str]:
    """The months in their order."""
    return list(dict.fromkeys(f"{date:%Y-%m}" for date in planned.dates))


def _forecast(planned: Planned) -> dict[str, Any]:
    horizon, drawn, counts = planned.horizon, planned.paths, planned.counts
    at_once = in_progress(horizon, drawn)
    by_month = {"at_once": monthly_highest(at_once, horizon)}
    by_week = {"at_once": weekly_highest(at_once, horizon)}
    rates: dict[str, tuple[NDArray[np.generic], NDArray[np.generic]]] = {}
    for i, spec in enumerate(planned.specs):
        load = load_of(i, horizon, drawn)
        rates[spec.name] = (monthly_highest(load, horizon), weekly_highest(load, horizon))
    starts = np.flatnonzero(np.diff(horizon.month, prepend=-1))
    weddings = np.add.reduceat(drawn.weddings, starts, axis=1)
    booked = planned.scale * planned.so_far.booked
    z = 1.2815515655446004
    busiest = np.sort(np.argsort(-counts.median, kind="stable")[:PEAK_DAYS])
    sigma = counts.sd
    return {
        "growth_per_year": math.expm1(planned.expected.counts.growth_per_year),
        "booked": float(booked.sum()),
        "monthly": [
            {
                "month": name,
                "weddings": _quantiles(weddings[:, m]),
                "booked": float(booked[horizon.month == m].sum()),
                "at_once": _quantiles(by_month["at_once"][:, m]),
                "services": {
                    spec.name: _need(planned, i, rates[spec.name][0][:, m])
                    for i, spec in enumerate(planned.specs)
                },
            }
            for m, name in enumerate(month_names(planned))
        ],
        "weekly": [
            {
                "from": planned.dates[int(np.flatnonzero(horizon.week == w)[0])].isoformat(),
                "at_once": _quantiles(by_week["at_once"][:, w]),
                "services": {
                    spec.name: _need(planned, i, rates[spec.name][1][:, w])
                    for i, spec in enumerate(planned.specs)
                },
            }
            for w in range(int(horizon.week[-1]) + 1)
        ],
        "peak_days": [
            {
                "date": planned.dates[day].isoformat(),
                "weddings": {
                    "q10": planned.scale * counts.median[day] * math.exp(-z * sigma[day]),
                    "q50": planned.scale * counts.median[day],
                    "q90": planned.scale * counts.median[day] * math.exp(z * sigma[day]),
                },
                "booked": float(booked[day]),
            }
            for day in busiest.tolist()
        ],
        "booking_curve": [
            {"days_before": days, "share": share}
            for days, share in zip(
                planned.so_far.curve.lead_days.tolist(),
                planned.so_far.curve.share.tolist(),
                strict=True,
            )
            if days <= 365.0
        ],
    }


def _need(planned: Planned, i: int, rate: NDArray[np.generic]) -> dict[str, Any]:
    """Highest rate, and today's instances that it takes at the peak."""
    spec, settings = planned.specs[i], planned.config.engine
    engine = staffing(spec, planned.specs, settings, planned.terms.noise_sigma)
    counts = engine.instances(np.asarray(rate, dtype=np.float64))
    return {"rate": _quantiles(rate), "instances": _quantiles(counts)}


def _plan(planned: Planned) -> dict[str, Any]:
    season = planned.season
    return {
        "total_usd": season.plan.total_usd,
        "reserved_usd": math.fsum(c.bill.reserved_usd for c in season.plan.chosen.values()),
        "on_demand_usd": math.fsum(
            float(c.bill.on_demand_usd.sum()) for c in season.plan.chosen.values()
        ),
        "quota": season.plan.quota,
        "limits_together": monthly_limits(season.plan.chosen),
        "fits_the_quota": season.fits,
        "without_quota_usd": season.free.total_usd,
        "with_one_more_zone_usd": season.wider.total_usd,
        "exceeded": season.exceeded,
        "services": {
            spec.name: _service(planned, i, season.plan.chosen[spec.name])
            for i, spec in enumerate(planned.specs)
        },
    }


def _service(planned: Planned, i: int, choice: Option) -> dict[str, Any]:
    spec, terms = planned.specs[i], planned.terms
    own = sized(spec, choice.factor, terms, planned.config.engine.capacity.zones)
    return {
        "size": choice.factor,
        "slots": own.slots,
        "price_per_hour": choice.offer.on_demand_per_hour,
        "reserved_price_per_hour": choice.offer.reserved_per_hour,
        "reserved": choice.bill.reserved,
        "minimum": floors(choice, own.min_instances),
        "maximum": choice.used.maximum,
        "today": {"minimum": spec.min_instances, "maximum": spec.max_instances},
        "need": [_quantiles(choice.used.highest[:, m]) for m in range(planned.horizon.months)],
        "reserved_usd": choice.bill.reserved_usd,
        "on_demand_usd": choice.bill.on_demand_usd,
    }


def _bottlenecks(planned: Planned, checks: Checks | None) -> dict[str, Any]:
    bottlenecks: dict[str, Any] = {
        "date": planned.dates[planned.busiest].isoformat(),
        "expected_at_once": float(
            np.median(in_progress(planned.horizon, planned.paths).max(axis=1))
        ),
        "ladder": [_rung(rung) for rung in planned.ladder],
        "checked": checks is not None,
    }
    if checks is not None:
        bottlenecks["margin"] = planned.config.plan.margin
        bottlenecks["checks"] = [
            {
                "service": each.rung.service,
                "limit": each.rung.limit.value,
                "predicted": each.rung.lost,
                "confirmed": each.confirmed,
                "why_not": each.why_not,
                "below": _answer(each.below),
                "above": _answer(each.above),
            }
            for each in checks.limits
        ]
        bottlenecks["plan"] = {
            "month": month_names(planned)[checks.plan.month],
            "date": checks.plan.date,
            "response": dict(checks.plan.response),
            "kept": checks.plan.kept,
            "answer": _answer(checks.plan.answer),
        }
    return bottlenecks


def _rung(rung: Rung) -> dict[str, Any]:
    return {**dataclasses.asdict(rung), "limit": rung.limit.value}


def _answer(answer: ProbeResult | None) -> dict[str, Any] | None:
    return None if answer is None else dataclasses.asdict(answer)


def _quantiles(values: NDArray[np.generic]) -> dict[str, float]:
    at_level = np.quantile(np.asarray(values, dtype=np.float64), LEVELS, method="nearest")
    return {
        f"q{round(100 * level)}": float(value)
        for level, value in zip(LEVELS, at_level, strict=True)
    }


def _plain(value: object) -> object:
    """JSON's types, floats with `DIGITS` digits; what is not finite is null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, np.ndarray):
        return [_plain(inner) for inner in value.tolist()]
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
    return value
