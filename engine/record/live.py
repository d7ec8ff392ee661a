"""The record of a live run, made of its journal: the same files as the twin's.

What only a simulation can know is not in it: how many instances were needed in hindsight, what
became of every request, whether the balance of requests is right.  Figures of the whole run
(response times, missed requests) are those that the metrics source gives for it, or empty.
"""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray

from engine.decide.callgraph import critical_services
from engine.decide.sizing import sizing
from engine.model import SAMPLE_FIELDS, ActionResult, FloatArray, ServiceSpec, Status
from engine.record.decisions import Decisions
from engine.record.figures import (
    SCHEMA,
    Issued,
    ThresholdConfig,
    decision_figures,
    judge,
    percentiles,
    prediction_figures,
)
from engine.record.folders import write_whole
from engine.record.journal import read
from engine.record.machine import peak_rss_mib, versions
from engine.record.prescaling import table as prescaling_table
from engine.record.readiness import Counts, Readiness, figures, readiness
from engine.settings import EngineSettings

FORECAST_SHOWN_S = 900.0
COUNTS = ("desired", "ready", "booting", "draining")
METRICS = ("cpu", "memory", "p50_s", "p95_s", "p99_s")
GAP_STEPS = 12
"""Counts are taken to last until the next step, but not for longer than so many: a minute."""
UNKNOWN = ("demand_rate", "served", "shed", "timed_out", "slow", "in_flight", "needed")
S = {name: i for i, name in enumerate(SAMPLE_FIELDS)}

Totals = Mapping[str, Mapping[str, float]]
"""Figures of the whole run by service and name, as far as the metrics source knows them."""


FirstServed = Mapping[str, Sequence[float]]
"""When each instance served its first request (epoch seconds), by service."""


@dataclass(frozen=True, slots=True)
class LiveRun:
    """What the journal does not say of a run; `weddings` is how many are booked, if that is known.

    `config` is the resolved configuration as written into the record.
    """

    scenario: str
    description: str
    seed: int
    controller: str
    foresight: bool
    command: str
    config: Mapping[str, Any]
    specs: tuple[ServiceSpec, ...]
    sample_s: float
    started_s: float
    ended_s: float
    partial: bool
    thresholds: Mapping[str, ThresholdConfig]
    weddings: int | None = None
    awaited_s: tuple[float, ...] = ()
    """When major events were booked to begin (epoch seconds)."""
    engine: EngineSettings = field(default_factory=EngineSettings)
    forecaster: Mapping[str, Any] = field(default_factory=dict)
    totals: Totals = field(default_factory=dict)
    first_served: FirstServed = field(default_factory=dict)


@dataclass(slots=True)
class _Notes:
    """The journal, read."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    decisions: Decisions = field(default_factory=Decisions)
    events: list[dict[str, Any]] = field(default_factory=list)
    samples: dict[str, dict[float, list[float]]] = field(default_factory=dict)


def check_thresholds(run: LiveRun) -> None:
    """Find out before the run whether each threshold names a figure; raises ValueError if not."""
    known = {
        name: threshold
        for name, threshold in run.thresholds.items()
        if not threshold.metric.startswith("prediction.")  # horizons are known after the run
    }
    judge(_summary(run, _Notes()), known)


def write(run: LiveRun, journal: Path, output: Path, render: Callable[[Path], None]) -> Path:
    """Write the record of what `journal` tells, let `render` add the reports; returns its folder.

    Raises OutputError when that is impossible, ValueError when a threshold names no figure.
    """
    notes = _read(journal, run)
    summary = _summary(run, notes)
    summary["thresholds"] = _judged(summary, run)

    def fill(folder: Path) -> None:
        text = yaml.safe_dump(dict(run.config), sort_keys=False, allow_unicode=True, width=100)
        (folder / "config.yaml").write_text(text)
        _timeline(run, notes).to_parquet(folder / "timeline.parquet", index=False)
        _decisions(run, notes).to_parquet(folder / "decisions.parquet", index=False)
        _weddings(notes).to_parquet(folder / "weddings.parquet", index=False)
        prescaling_table(_readiness(run, notes)).to_parquet(
            folder / "prescaling.parquet", index=False
        )
        with (folder / "events.jsonl").open("w") as lines:
            for event in notes.events:
                lines.write(json.dumps(event) + "\n")
        (folder / "summary.json").write_text(json.dumps(summary, indent=2) + "\n")

    started = dt.datetime.fromtimestamp(run.started_s, dt.UTC)
    name = f"{started:%Y%m%dT%H%M%SZ}-{run.controller}-live"
    return write_whole(output / run.scenario, name, fill, render)


def _read(journal: Path, run: LiveRun) -> _Notes:
    notes = _Notes(samples={spec.name: {} for spec in run.specs})
    for line in read(journal):
        match line.get("kind"):
            case "step":
                notes.steps.append(line)
                for row in line["rows"]:
                    notes.decisions.put(row)
                for service, rows in line["samples"].items():
                    for row in rows:
                        if row[0] > run.started_s:
                            notes.samples[service][row[0]] = row
            case "result":
                notes.decisions.result(
                    ActionResult(
                        line["decision_id"], Status(line["status"]), line["time_s"], line["detail"]
                    )
                )
            case "event":
                notes.events.append(line["event"])
    return notes


def _judged(summary: dict[str, Any], run: LiveRun) -> list[dict[str, Any]]:
    """What is not known cannot have been kept; what did not occur exceeded nothing."""
    # A horizon that no forecast fell due at is as unknown as any other figure.
    horizons = {
        threshold.metric.split(".")[1]: dict.fromkeys(("wape", "coverage_80", "pinball"))
        for threshold in run.thresholds.values()
        if threshold.metric.startswith("prediction.")
    }
    known = {**summary, "prediction": {**horizons, **summary["prediction"]}}
    judged = judge(known, dict(run.thresholds))
    for item in judged:
        if item["value"] is None and not item["metric"].startswith("decision."):
            item["passed"] = False
    return judged


def _tick(time_s: float, run: LiveRun) -> float:
    return math.floor(time_s / run.sample_s + 1e-6) * run.sample_s


def _timeline(run: LiveRun, notes: _Notes) -> pd.DataFrame:
    """One row for each step and service, with the sample that belongs to it, if it ever came."""
    steps = {_tick(step["due_s"], run): step for step in notes.steps}
    times = np.array(sorted(steps))
    names = [spec.name for spec in run.specs]
    frames = []
    for spec in run.specs:
        samples = _by_tick(run, notes, spec.name, times)
        rate = samples[:, S["request_rate"]]
        counts = _counts(steps, times, spec.name)
        columns: dict[str, Any] = {
            "time_s": times,
            "service": pd.Categorical([spec.name] * len(times), categories=names),
            "arrival_rate": rate,
            "failed": rate * run.sample_s * samples[:, S["error_rate"]],
            "queued": samples[:, S["queue_depth"]],
        }
        columns |= {name: np.full(len(times), math.nan) for name in UNKNOWN}
        columns |= {name: samples[:, S[name]] for name in METRICS}
        columns |= {name: counts[:, k].astype(np.int32) for k, name in enumerate(COUNTS)}
        forecast = _forecasts(run, notes, spec.name, times)
        columns |= {f"forecast_q{q}": forecast[:, k] for k, q in enumerate((10, 50, 90))}
        columns["wedding_floor"] = _floors(steps, times, spec.name)
        columns["cost_per_hour"] = counts[:, 1:].sum(axis=1) * spec.price_per_hour
        frames.append(pd.DataFrame(columns))
    return pd.concat(frames, ignore_index=True)


def _by_tick(run: LiveRun, notes: _Notes, service: str, times: FloatArray) -> FloatArray:
    """The sample that each step at `times` (steps,) could have seen: (steps, fields), NaN if none.

    A sample belongs to the first step at or after it.
    """
    table = np.full((len(times), len(SAMPLE_FIELDS)), math.nan)
    for time_s, row in notes.samples.get(service, {}).items():
        k = int(np.searchsorted(times, time_s - 1e-6))
        if k < len(times) and times[k] - time_s < run.sample_s:
            table[k] = row
    return table


def _counts(steps: Mapping[float, dict[str, Any]], times: FloatArray, service: str) -> FloatArray:
    rows = [steps[time_s]["counts"][service] for time_s in times.tolist()]
    return np.array(rows, dtype=np.float64).reshape(len(times), len(COUNTS))


def _floors(
    steps: Mapping[float, dict[str, Any]], times: FloatArray, service: str
) -> NDArray[np.int32]:
    """The wedding floor in force: as of the last step that gave one."""
    found, floor = np.zeros(len(times), np.int32), 0
    for k, time_s in enumerate(times.tolist()):
        floor = int(steps[time_s]["floors"].get(service, floor))
        found[k] = floor
    return found


def _forecasts(run: LiveRun, notes: _Notes, service: str, times: FloatArray) -> FloatArray:
    """What had been forecast a quarter of an hour before: (steps, 3)."""
    shown = np.full((len(times), 3), math.nan)
    for step in notes.steps:
        for name, horizon_s, *quantiles in step["forecasts"]:
            if name == service and horizon_s == FORECAST_SHOWN_S:
                due_s = _tick(step["time_s"] + horizon_s, run)
                shown[(times >= due_s) & (times < due_s + 60.0)] = quantiles
    return shown


def _decisions(run: LiveRun, notes: _Notes) -> pd.DataFrame:
    """The twin's table, and when the first request was served on what an action had added."""
    frame = notes.decisions.table()
    served = [_served_s(run, row) for row in notes.decisions.rows]
    return frame.assign(served_s=np.array(served, dtype=np.float64))


def _served_s(run: LiveRun, row: Mapping[str, Any]) -> float:
    """The first first request of an instance of the service after the action was accepted."""
    if row["kind"] != "action" or row["to_instances"] <= row["from_instances"]:
        return math.nan
    firsts = run.first_served.get(row["service"], ())
    return min((time_s for time_s in firsts if time_s > row["accepted_s"]), default=math.nan)


def _weddings(notes: _Notes) -> pd.DataFrame:
    """What the booked schedule said at each step: weddings in progress."""
    rows = [(s["time_s"], s["weddings"]) for s in notes.steps if s["weddings"] is not None]
    return pd.DataFrame(rows, columns=["time_s", "in_progress"], dtype="float64")


def _summary(run: LiveRun, notes: _Notes) -> dict[str, Any]:
    started = dt.datetime.fromtimestamp(run.started_s, dt.UTC)
    seconds = _instance_seconds(run, notes)
    services = {spec.name: _service(run, notes, spec, seconds[spec.name]) for spec in run.specs}
    rows = notes.decisions.rows
    cycles = [step["compute_s"] for step in notes.steps if step["cycle"]]
    lasted_s = run.ended_s - run.started_s
    total_usd = math.fsum(seconds[s.name] / 3600.0 * s.price_per_hour for s in run.specs)
    return {
        "schema": SCHEMA,
        "scenario": run.scenario,
        "description": run.description,
        "controller": run.controller,
        "foresight": run.foresight,
        "seed": run.seed,
        "resolution": "requests",
        "world": "live",
        "started_at": started.isoformat(timespec="seconds"),
        "partial": run.partial,
        "versions": versions(),
        "command": run.command,
        "weddings": _wedding_figures(run, notes, started),
        "requests": _requests(run, notes),
        "slo": _slo(run),
        "services": services,
        "cost": {
            "total_usd": total_usd,
            "per_wedding_usd": total_usd / run.weddings if run.weddings else None,
        },
        "decision": {
            **decision_figures(rows, len(notes.steps), len(cycles)),
            "compute_s": percentiles(cycles),
            "stages": _stages(run, notes),
        },
        "prediction": _predictions(run, notes),
        "forecaster": dict(run.forecaster),
        "prescaling": figures(_readiness(run, notes), run.engine.weddings.lead_s),
        "faults": {},
        "conservation": {"checked": False, "worst_relative_error": None},
        "live": _shell(notes),
        "thresholds": [],
        "simulation": {
            "wall_s": lasted_s,
            "compile_s": None,
            "simulated_s": lasted_s,
            "speedup": None,
            "peak_rss_mib": peak_rss_mib(),
        },
    }


def _instance_seconds(run: LiveRun, notes: _Notes) -> dict[str, float]:
    """Seconds that instances were there for, ready or not, by service."""
    found = dict.fromkeys((spec.name for spec in run.specs), 0.0)
    ends = [*(step["time_s"] for step in notes.steps[1:]), run.ended_s]
    for step, end_s in zip(notes.steps, ends, strict=False):
        lasted_s = min(max(end_s - step["time_s"], 0.0), GAP_STEPS * run.sample_s)
        for name in found:
            found[name] += lasted_s * sum(step["counts"][name][1:])
    return found


def _service(
    run: LiveRun, notes: _Notes, spec: ServiceSpec, instance_s: float
) -> dict[str, float | None]:
    totals = run.totals.get(spec.name, {})
    samples = _samples(notes, spec.name)
    cpu = samples[:, S["cpu"]]
    cpu = cpu[np.isfinite(cpu)]
    counts = [step["counts"][spec.name] for step in notes.steps]
    hours = instance_s / 3600.0
    return {
        "p50_s": totals.get("p50_s"),
        "p95_s": totals.get("p95_s"),
        "p99_s": totals.get("p99_s"),
        "slo_p95_s": spec.slo_p95_s,
        "cpu_mean": float(cpu.mean()) if len(cpu) else None,
        "cpu_max": float(cpu.max()) if len(cpu) else None,
        "instances_max": max((sum(c[1:]) for c in counts), default=0),
        "instance_hours": hours,
        "cost_usd": hours * spec.price_per_hour,
        "violation_ratio": _violation_ratio([totals]),
        "under_provisioned_share": None,
        "over_provisioned_share": None,
    }


def _samples(notes: _Notes, service: str) -> FloatArray:
    rows = [row for _, row in sorted(notes.samples.get(service, {}).items())]
    return np.array(rows, dtype=np.float64).reshape(-1, len(SAMPLE_FIELDS))


def _facing(run: LiveRun) -> list[str]:
    return [spec.name for spec in run.specs if spec.user_facing]


def _requests(run: LiveRun, notes: _Notes) -> dict[str, float | None]:
    """User-facing requests: counted by the source, or else summed up from the samples."""
    facing = _facing(run)
    by_time: dict[float, float] = {}
    sampled = sampled_failed = 0.0
    for name in facing:
        for time_s, row in notes.samples.get(name, {}).items():
            rate, errors = row[S["request_rate"]], row[S["error_rate"]]
            if math.isfinite(rate):
                tick_s = _tick(time_s, run)
                by_time[tick_s] = by_time.get(tick_s, 0.0) + rate
                sampled += rate * run.sample_s
                sampled_failed += rate * run.sample_s * (errors if errors > 0.0 else 0.0)
    totals = [run.totals.get(name, {}) for name in facing]
    counted = _sum(totals, "requests")
    figures: dict[str, float | None] = {
        "total": round(sampled if counted is None else counted),
        "peak_rate_per_s": max(by_time.values(), default=0.0),
    }
    failed = _sum(totals, "failed")
    figures["failed"] = round(sampled_failed if failed is None else failed)
    for name in ("served", "shed", "timed_out", "retried"):
        total = _sum(totals, name)
        figures[name] = None if total is None else round(total)
    return figures


def _slo(run: LiveRun) -> dict[str, float | None]:
    totals = [run.totals.get(name, {}) for name in _facing(run)]
    requests, lost = _sum(totals, "requests"), _lost(totals)
    return {
        "violation_ratio": _violation_ratio(totals),
        "violation_minutes": None,
        "longest_violation_s": None,
        "availability": None if lost is None or not requests else 1.0 - lost / requests,
    }


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
    values = [total.get(name) for total in totals]
    known = [value for value in values if value is not None]
    return math.fsum(known) if known and len(known) == len(values) else None


def _wedding_figures(run: LiveRun, notes: _Notes, started: dt.datetime) -> dict[str, Any]:
    """What was booked: how many really took place is not known here."""
    booked = [(s["weddings"], s["time_s"]) for s in notes.steps if s["weddings"] is not None]
    most, at_s = max(booked, default=(0.0, started.timestamp()), key=lambda pair: pair[0])
    return {
        "total": run.weddings,
        "peak_simultaneous": round(most),
        "peak_at": dt.datetime.fromtimestamp(at_s, dt.UTC).isoformat(timespec="seconds"),
    }


def _stages(run: LiveRun, notes: _Notes) -> dict[str, Any]:
    """Where the time went from the sample to the first request on a new instance."""
    actions = [row for row in notes.decisions.rows if row["kind"] == "action"]
    accepted = [row for row in actions if row["accepted_s"] == row["accepted_s"]]
    waited = [_served_s(run, row) - row["accepted_s"] for row in accepted]
    served = [duration_s for duration_s in waited if duration_s == duration_s]
    return {
        "sample_to_decision_s": percentiles([r["time_s"] - r["trigger_s"] for r in actions]),
        "decision_to_accepted_s": percentiles([r["accepted_s"] - r["time_s"] for r in accepted]),
        "accepted_to_served_s": {"count": len(served), **percentiles(served)},
    }


def _readiness(run: LiveRun, notes: _Notes) -> list[Readiness]:
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
        floor, known = 0, []
        for step in steps:
            floor = int(step["floors"].get(spec.name, floor))
            known.append(floor)
        ready[i] = np.where(at >= 0, counts[at], 0)
        floors[i] = np.where(at >= 0, np.array(known)[at], 0)
    found = Counts(first_s, run.sample_s, ready, needed, floors)
    return readiness(run.specs, found, np.array(run.awaited_s), run.engine.weddings.lead_s)


def _carried_on(rates: FloatArray) -> FloatArray:
    """The rates (steps,) with the last known one where one is missing; 0 before the first."""
    known = np.isfinite(rates)
    last = np.maximum.accumulate(np.where(known, np.arange(len(rates)), -1))
    carried: FloatArray = np.where(last >= 0, rates[np.maximum(last, 0)], 0.0)
    return carried


def _predictions(run: LiveRun, notes: _Notes) -> dict[str, Any]:
    names = [spec.name for spec in run.specs]
    issued = [
        Issued(names.index(name), horizon_s, step["time_s"] + horizon_s, *quantiles)
        for step in notes.steps
        for name, horizon_s, *quantiles in step["forecasts"]
    ]
    first_s, rates = _rates(run, notes)
    known = np.isfinite(rates)
    return prediction_figures(
        issued, np.where(known, rates, 0.0), first_s, run.sample_s, known=known
    )


def _rates(run: LiveRun, notes: _Notes) -> tuple[float, FloatArray]:
    """Requests/s (services, steps) as sampled, NaN where nothing came, and when the first begins.

    Step k lasts until `first_s` + (k + 1) * `sample_s`.
    """
    first_s = _tick(run.started_s, run)
    count = max(int((run.ended_s - first_s) / run.sample_s), 0)
    rates = np.full((len(run.specs), count), math.nan)
    for i, spec in enumerate(run.specs):
        for time_s, row in notes.samples.get(spec.name, {}).items():
            k = math.ceil((time_s - first_s) / run.sample_s - 1e-6) - 1
            if 0 <= k < count:
                rates[i, k] = row[S["request_rate"]]
    return first_s, rates


def _shell(notes: _Notes) -> dict[str, Any]:
    """How the shell itself fared."""
    ages = [
        step["time_s"] - max(times)
        for step in notes.steps
        if (times := [row[0] for rows in step["samples"].values() for row in rows])
    ]
    kinds = [event["kind"] for event in notes.events]
    troubles: dict[str, int] = {}
    for event in notes.events:
        if event["kind"] == "trouble_started":
            troubles[event["name"]] = troubles.get(event["name"], 0) + 1
    return {
        "restarts": kinds.count("engine_restarted"),
        "sample_age_s": percentiles(ages),
        "troubles": dict(sorted(troubles.items())),
    }
