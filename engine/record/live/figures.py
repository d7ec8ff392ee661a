"""The figures of a live run, from what its journal and its metrics source tell.

What only a simulation can know is not in them: how many instances were needed in hindsight, whether
the balance of requests is right.  Figures of the whole run (response times, missed requests) are
those that the metrics source gives for it, or None.
"""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from engine.decide.callgraph import critical_services
from engine.decide.sizing import sizing
from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec
from engine.record.figures import (
    Issued,
    carried_out,
    counted,
    decision_figures,
    percentiles,
    prediction_figures,
    reversals,
)
from engine.record.live.notes import JournalContent, LiveRun, S
from engine.record.live.tables import served_s
from engine.record.readiness import InstancesOverTime, Readiness, figures, readiness
from engine.record.schema.summary import (
    Conservation,
    Cost,
    Decision,
    Figures,
    Live,
    Prediction,
    Service,
    Slo,
    Stages,
    UserRequests,
    Weddings,
)

GAP_STEPS = 12
"""Counts are taken to last until the next step, but not for longer than so many: a minute."""


def summarise(run: LiveRun, notes: JournalContent) -> Figures:
    """All figures of the run."""
    seconds = _instance_seconds(run, notes)
    events = None if run.played is None else run.played.events
    warm = {s.name: _warm_usd(run, notes, s) for s in run.specs if s.warm is not None}
    total_usd = math.fsum(seconds[s.name] / 3600.0 * s.price_per_hour for s in run.specs)
    total_usd += math.fsum(warm.values())
    return Figures(
        weddings=_weddings(run, notes),
        requests=_requests(run, notes),
        slo=_slo(run),
        services={
            s.name: _service(run, notes, s, seconds[s.name], warm_usd=warm.get(s.name))
            for s in run.specs
        },
        cost=Cost(
            total_usd=total_usd,
            per_wedding_usd=total_usd / events if events else None,
            warm_usd=math.fsum(warm.values()) if warm else None,
        ),
        decision=_decision(run, notes),
        prediction=_predictions(run, notes),
        forecaster=run.forecaster,
        prescaling=figures(prescaling(run, notes), run.engine.weddings.lead_s),
        conservation=Conservation(checked=False, worst_relative_error=None),
    )


def shell(run: LiveRun, notes: JournalContent) -> Live:
    """How the shell itself fared."""
    ages = [
        step["time_s"] - max(times)
        for step in notes.steps
        if (times := [row[0] for rows in step["samples"].values() for row in rows])
    ]
    kinds = [event.kind for event in notes.events]
    troubles: dict[str, int] = {}
    for event in notes.events:
        if event.kind == "trouble_started":
            troubles[event.name] = troubles.get(event.name, 0) + 1
    return Live(
        restarts=kinds.count("engine_restarted"),
        sample_age_s=percentiles(ages),
        troubles=dict(sorted(troubles.items())),
        played=run.played,
    )


def _decision(run: LiveRun, notes: JournalContent) -> Decision:
    compute_s = [step["compute_s"] for step in notes.steps if step["cycle"]]
    stages = _stages(run, notes)
    return decision_figures(notes.decisions.rows, len(notes.steps), compute_s, stages)


def _instance_seconds(run: LiveRun, notes: JournalContent) -> dict[str, float]:
    """Seconds that instances were there for, ready or not, by service."""
    seconds = dict.fromkeys((spec.name for spec in run.specs), 0.0)
    for step, lasted_s in _lasted(run, notes):
        for name in seconds:
            seconds[name] += lasted_s * sum(step["counts"][name][1:])
    return seconds


def _warm_usd(run: LiveRun, notes: JournalContent, spec: ServiceSpec) -> float:
    """What was paid for those held warm, in USD: at the full price until they are there."""
    usd = 0.0
    for step, lasted_s in _lasted(run, notes):
        desired, there = step.get("warm", {}).get(spec.name, (0, 0))
        preparing = max(desired - there, 0)
        usd_per_hour = there * spec.warm_price_per_hour + preparing * spec.price_per_hour
        usd += lasted_s / 3600.0 * usd_per_hour
    return usd


def _lasted(run: LiveRun, notes: JournalContent) -> Iterator[tuple[dict[str, Any], float]]:
    """Each step, and for how long (s) its counts are taken to last."""
    ends = [*(step["time_s"] for step in notes.steps[1:]), run.ended_s]
    for step, end_s in zip(notes.steps, ends, strict=False):
        yield step, min(max(end_s - step["time_s"], 0.0), GAP_STEPS * run.sample_s)


def _service(
    run: LiveRun,
    notes: JournalContent,
    spec: ServiceSpec,
    instance_s: float,
    *,
    warm_usd: float | None,
) -> Service:
    totals = run.totals.get(spec.name, {})
    samples = _samples(notes, spec.name)
    cpu = samples[:, S["cpu"]]
    cpu = cpu[np.isfinite(cpu)]
    counts = [step["counts"][spec.name] for step in notes.steps]
    hours = instance_s / 3600.0
    return Service(
        p50_s=totals.get("p50_s"),
        p95_s=totals.get("p95_s"),
        p99_s=totals.get("p99_s"),
        slo_p95_s=spec.slo_p95_s,
        cpu_mean=float(cpu.mean()) if len(cpu) else None,
        cpu_max=float(cpu.max()) if len(cpu) else None,
        instances_max=max((sum(c[1:]) for c in counts), default=0),
        instance_hours=hours,
        cost_usd=hours * spec.price_per_hour + (warm_usd or 0.0),
        warm_usd=warm_usd,
        violation_ratio=_violation_ratio([totals]),
        under_provisioned_share=None,
        over_provisioned_share=None,
        reversals=reversals(carried_out(notes.decisions.rows)).get(spec.name, 0),
        unverified_share=None,
    )


def _samples(notes: JournalContent, service: str) -> FloatArray:
    rows = [row for _, row in sorted(notes.samples.get(service, {}).items())]
    return np.array(rows, dtype=np.float64).reshape(-1, len(SAMPLE_FIELDS))


def _facing(run: LiveRun) -> list[str]:
    return [spec.name for spec in run.specs if spec.user_facing]


def _requests(run: LiveRun, notes: JournalContent) -> UserRequests:
    """User-facing requests: counted by the source, or else summed up from the samples."""
    facing = _facing(run)
    by_time: dict[float, float] = {}
    sampled = sampled_failed = 0.0
    for name in facing:
        for time_s, row in notes.samples.get(name, {}).items():
            rate, errors = row[S["request_rate"]], row[S["error_rate"]]
            if math.isfinite(rate):
                tick_s = run.tick(time_s)
                by_time[tick_s] = by_time.get(tick_s, 0.0) + rate
                sampled += rate * run.sample_s
                sampled_failed += rate * run.sample_s * (errors if errors > 0.0 else 0.0)
    totals = [run.totals.get(name, {}) for name in facing]
    total, failed = _whole(totals, "requests"), _whole(totals, "failed")
    return UserRequests(
        total=round(sampled) if total is None else total,
        peak_rate_per_s=max(by_time.values(), default=0.0),
        failed=round(sampled_failed) if failed is None else failed,
        served=_whole(totals, "served"),
        shed=_whole(totals, "shed"),
        timed_out=_whole(totals, "timed_out"),
        retried=_whole(totals, "retried"),
    )


def _whole(totals: Sequence[Mapping[str, float]], name: str) -> int | None:
    total = _sum(totals, name)
    return None if total is None else round(total)


def _slo(run: LiveRun) -> Slo:
    totals = [run.totals.get(name, {}) for name in _facing(run)]
    requests, lost = _sum(totals, "requests"), _lost(totals)
    return Slo(
        violation_ratio=_violation_ratio(totals),
        violation_minutes=None,
        longest_violation_s=None,
        availability=None if lost is None or not requests else 1.0 - lost / requests,
    )


def _violation_ratio(totals: Sequence[Mapping[str, float]]) -> float | None:
    """Share of requests that failed or were slower than their SLO; None if that is not known."""
    requests, lost, slow = _sum(totals, "requests"), _lost(totals), _sum(totals, "slow")
    if lost is None or slow is None or not requests:
        return None
    return (lost + slow) / requests


def _lost(totals: Sequence[Mapping[str, float]]) -> float | None:
    """Failed, shed and timed out; what the source does not tell apart is in `failed`."""
    failed = _sum(totals, "failed")
    if failed is None:
        return None
    return failed + (_sum(totals, "shed") or 0.0) + (_sum(totals, "timed_out") or 0.0)


def _sum(totals: Sequence[Mapping[str, float]], name: str) -> float | None:
    """The sum over services; None if one of them does not know it."""
    values = [total[name] for total in totals if math.isfinite(total.get(name, math.nan))]
    return math.fsum(values) if values and len(values) == len(totals) else None


def _weddings(run: LiveRun, notes: JournalContent) -> Weddings:
    """What was booked for the time of the run: how many really took place is not known here."""
    booked = [(s["weddings"], s["time_s"]) for s in notes.steps if s["weddings"] is not None]
    most, at_s = max(booked, default=(0.0, run.started_s), key=lambda pair: pair[0])
    return Weddings(
        total=None if run.played is None else run.played.events,
        peak_simultaneous=round(most),
        peak_at=dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="seconds"),
    )


def _stages(run: LiveRun, notes: JournalContent) -> Stages:
    """Where the time went from the sample to the first request on a new instance."""
    actions = [row for row in notes.decisions.rows if row["kind"] == "action"]
    accepted = [row for row in actions if row["accepted_s"] == row["accepted_s"]]
    waited = [served_s(run, row) - row["accepted_s"] for row in accepted]
    return Stages(
        sample_to_decision_s=percentiles([r["time_s"] - r["trigger_s"] for r in actions]),
        decision_to_accepted_s=percentiles([r["accepted_s"] - r["time_s"] for r in accepted]),
        accepted_to_served_s=counted([wait_s for wait_s in waited if wait_s == wait_s]),
    )


def prescaling(run: LiveRun, notes: JournalContent) -> list[Readiness]:
    """How ready major events found the capacity.

    What was needed is what the engine's sizing gives for what arrived; a step that is missing has
    the counts of the one before, a sample that is missing the rate of the one before.
    """
    first_s, rates = _rates(run, notes)
    if not notes.steps or not rates.shape[1] or not run.awaited_s:
        return []
    times = first_s + run.sample_s * (np.arange(rates.shape[1]) + 1.0)
    steps = sorted(notes.steps, key=lambda step: float(step["time_s"]))
    at = np.searchsorted([step["time_s"] for step in steps], times + 1e-6, side="right") - 1
    critical = critical_services(run.specs)
    ready = np.zeros(rates.shape, np.int32)
    floors, needed = np.zeros_like(ready), np.zeros(rates.shape)
    for i, spec in enumerate(run.specs):
        size = sizing(spec, run.engine.capacity, critical=spec.name in critical)
        needed[i] = size.instances_along(_carried_on(rates[i]), size.utilisation)
        counts = np.array([step["counts"][spec.name][1] for step in steps])
        floor, promised = 0, []
        for step in steps:
            floor = int(step["floors"].get(spec.name, floor))
            promised.append(floor)
        ready[i] = np.where(at >= 0, counts[at], 0)
        floors[i] = np.where(at >= 0, np.array(promised)[at], 0)
    seen = InstancesOverTime(first_s, run.sample_s, ready, needed, floors)
    return readiness(run.specs, seen, np.array(run.awaited_s), run.engine.weddings.lead_s)


def _carried_on(rates: FloatArray) -> FloatArray:
    """The rates (steps,) with the last known one where one is missing; 0 before the first."""
    sampled = np.isfinite(rates)
    last = np.maximum.accumulate(np.where(sampled, np.arange(len(rates)), -1))
    carried: FloatArray = np.where(last >= 0, rates[np.maximum(last, 0)], 0.0)
    return carried


def _predictions(run: LiveRun, notes: JournalContent) -> dict[str, Prediction]:
    names = [spec.name for spec in run.specs]
    issued = [
        Issued(names.index(name), horizon_s, step["time_s"] + horizon_s, *quantiles)
        for step in notes.steps
        for name, horizon_s, *quantiles in step["forecasts"]
    ]
    first_s, rates = _rates(run, notes)
    sampled = np.isfinite(rates)
    return prediction_figures(
        issued, np.where(sampled, rates, 0.0), first_s, run.sample_s, measured=sampled
    )


def _rates(run: LiveRun, notes: JournalContent) -> tuple[float, FloatArray]:
    """Requests/s (services, steps) as sampled, NaN where nothing came, and when the first begins.

    Step k lasts until `first_s` + (k + 1) * `sample_s`.
    """
    first_s = run.tick(run.started_s)
    count = max(int((run.ended_s - first_s) / run.sample_s), 0)
    rates = np.full((len(run.specs), count), math.nan)
    for i, spec in enumerate(run.specs):
        for time_s, row in notes.samples.get(spec.name, {}).items():
            k = math.ceil((time_s - first_s) / run.sample_s - 1e-6) - 1
            if 0 <= k < count:
                rates[i, k] = row[S["request_rate"]]
    return first_s, rates
