"""Made-up run records: the columns and keys of a real one, figures that look like a wedding day."""

from __future__ import annotations

import datetime as dt
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

START_S = dt.datetime(2027, 6, 19, 8, tzinfo=dt.UTC).timestamp()
PHASES = {
    "getting_ready": (18.0, 2.6, 0.34),
    "ceremony": (20.6, 1.9, 0.16),
    "cocktail_hour": (21.8, 2.0, 0.26),
    "dinner": (23.0, 2.1, 0.30),
    "party": (25.6, 2.4, 0.50),
    "after": (27.8, 1.9, 0.20),
}
# name: (share of the demand, requests/s an instance, SLO in s, USD/h, boot in s)
SERVICES = {
    "api": (0.31, 400.0, 0.5, 0.096, 60),
    "database": (0.56, 10600.0, 0.1, 0.403, 420),
    "file-storage": (0.02, 266.0, 1.0, 0.192, 60),
    "real-time": (0.67, 25600.0, 0.2, 0.096, 45),
    "ai-services": (0.006, 4.4, 5.0, 1.006, 240),
}


@dataclass
class Made:
    """What to put into a record, before it is written."""

    summary: dict[str, Any]
    timeline: pd.DataFrame
    decisions: pd.DataFrame
    weddings: pd.DataFrame
    events: list[dict[str, Any]]
    config: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "summary.json").write_text(json.dumps(self.summary, indent=2))
        (folder / "config.yaml").write_text(yaml.safe_dump(self.config, sort_keys=False))
        (folder / "events.jsonl").write_text("".join(json.dumps(e) + "\n" for e in self.events))
        for name in ("timeline", "decisions", "weddings"):
            getattr(self, name).to_parquet(folder / f"{name}.parquet", index=False)
        return folder


def make(
    samples: int = 240,
    services: dict[str, tuple[float, float, float, float, int]] | None = None,
    *,
    interval_s: float | None = None,
    faults: bool = True,
    actions: bool = True,
    seed: int = 1,
) -> Made:
    """A day of weddings in `samples` samples; the fewer, the further apart."""
    rng = np.random.Generator(np.random.Philox(seed))
    services = SERVICES if services is None else services
    step_s = 86400.0 / max(samples, 1) if interval_s is None else interval_s
    t = START_S + step_s * np.arange(1, samples + 1)
    wedding_rows = _weddings(np.arange(START_S, START_S + samples * step_s, 60.0))
    parts, rows = [], []
    for i, (name, figures) in enumerate(services.items()):
        part, acts = _service(
            rng, name, figures, t, step_s=step_s, hit=faults and i == 0, act=actions
        )
        parts.append(part)
        rows += acts
    timeline = pd.concat(parts, ignore_index=True)
    timeline["service"] = pd.Categorical(timeline["service"], categories=list(services))
    decisions = pd.DataFrame(sorted(rows, key=lambda row: row["time_s"]), columns=DECISIONS)
    decisions = decisions.astype(dict.fromkeys(FLOATS, "float64"))
    events = _events(t) if faults and samples else []
    summary = _summary(timeline, decisions, wedding_rows, services, t=t, step_s=step_s)
    return Made(summary, timeline, decisions, wedding_rows, events, _config(services))


FLOATS = (
    "time_s", "confidence", "cost_per_hour", "trigger_s", "accepted_s", "completed_s", "weddings",
    "major_weddings",
)  # fmt: skip
DECISIONS = (
    *FLOATS, "kind", "decision_id", "service", "from_instances", "to_instances", "reason",
    "category", "outcome", "why", "rollback_to", "evidence", "explanation",
)  # fmt: skip


def _hours(t: np.ndarray) -> np.ndarray:
    return 8.0 + (t - START_S) / 3600.0


def _busy(hours: np.ndarray) -> np.ndarray:
    shape = np.exp(-0.5 * ((hours - 21.7) / 2.6) ** 2) + 0.35 * np.exp(
        -0.5 * ((hours - 26.0) / 2.2) ** 2
    )
    return 0.03 + 0.97 * shape / 1.1


def _weddings(t: np.ndarray) -> pd.DataFrame:
    hours = _hours(t)
    phases = {
        name: (78_800 * 0.62 * share * 2.2 * np.exp(-0.5 * ((hours - at) / sd) ** 2)).astype(int)
        for name, (at, sd, share) in PHASES.items()
    }
    total = np.sum(list(phases.values()), axis=0) if len(t) else np.zeros(0, int)
    return pd.DataFrame({"time_s": t, "in_progress": total, **phases})


def _service(
    rng: np.random.Generator,
    name: str,
    figures: tuple[float, float, float, float, int],
    t: np.ndarray,
    *,
    step_s: float,
    hit: bool,
    act: bool,
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    share, per_instance, slo_s, price, boot_s = figures
    hours, n = _hours(t), len(t)
    smooth = 262_000 * share * _busy(hours)
    outage = hit & (hours > 21.7) & (hours < 22.2)
    rate = smooth * (1 + 0.6 * outage) * np.exp(rng.normal(0, 0.025, n))
    forecast = smooth * np.exp(np.cumsum(rng.normal(0, 0.002, n)))
    band = 0.10 * forecast
    first = slice(0, int(np.sum(t < START_S + 900)))
    q10, q50, q90 = forecast - band, forecast.copy(), forecast + 1.2 * band
    for q in (q10, q50, q90):
        q[first] = np.nan
    needed = np.ceil(rate / per_instance * 1.25).astype(int) + 2
    every = max(round(300 / step_s), 1)
    desired = np.zeros(n, int)
    rows: list[dict[str, Any]] = []
    now = 0
    for k in range(n):
        if k == 0:
            now = int(smooth[: 2 * every].max() / per_instance * 1.6) + 5
        elif act and (k % every == 0 or (outage[k] and needed[k] > now and k % 3 == 0)):
            ahead = smooth[k : k + max(round(1500 / step_s), 2)].max()
            target = int(ahead / per_instance * 1.45) + 4
            urgent = bool(outage[k] and needed[k] > now)
            target = int(max(target, needed[k] * 1.2 if urgent else 0))
            if outage[k] and target < now:
                target = now
            if urgent or abs(target - now) > 0.03 * now:
                rows.append(
                    _action(
                        t[k],
                        name,
                        now,
                        target,
                        price=price,
                        urgent=urgent,
                        boot_s=boot_s,
                        rate=rate[k],
                    )
                )
                now = target
        if k % 7 == 3:
            rows.append(_declined(t[k], name, now, k))
        desired[k] = now
    lag = max(round(boot_s / step_s), 1)
    booted = np.concatenate([np.full(lag, desired[0]), desired])[:n] if n else desired
    ready = np.minimum(desired, booted)
    load = rate * 1.25 / np.maximum(ready * per_instance, 1e-9)
    p95 = slo_s * 0.3 * (1 + 9 * np.clip(load - 0.9, 0, 3) ** 1.5) * np.exp(rng.normal(0, 0.06, n))
    arrived = np.round(rate * step_s)
    slow = np.where(p95 > slo_s, 0.06 * arrived, 0.0)
    frame = pd.DataFrame(
        {
            "time_s": t,
            "service": name,
            "demand_rate": rate,
            "arrival_rate": rate,
            "served": arrived - np.round(0.001 * slow),
            "failed": np.round(0.001 * slow),
            "shed": np.zeros(n),
            "timed_out": np.zeros(n),
            "slow": slow,
            "queued": np.zeros(n),
            "in_flight": rate * 0.04,
            "cpu": np.clip(load * 0.8, 0, 1),
            "memory": np.full(n, 0.4),
            "p50_s": p95 * 0.3,
            "p95_s": p95,
            "p99_s": p95 * 1.7,
            "desired": desired,
            "ready": ready,
            "booting": np.maximum(desired - ready, 0),
            "draining": np.zeros(n, int),
            "needed": needed,
            "forecast_q10": q10,
            "forecast_q50": q50,
            "forecast_q90": q90,
            "wedding_floor": (desired * 0.5).astype(int),
            "cost_per_hour": desired * price,
        }
    )
    return frame, rows


def _action(
    at_s: float,
    name: str,
    now: int,
    target: int,
    *,
    price: float,
    urgent: bool,
    boot_s: int,
    rate: float,
) -> dict[str, Any]:
    out = target > now
    reason = "emergency" if urgent else "forecast" if out else "cost"
    because = (
        f"it is drowning (cpu 97%, {rate / 9:,.0f} waiting, 3.1% failing)"
        if urgent
        else f"{rate:,.0f} requests/s (± 9%) are expected in 25 min"
    )
    verb = "scale out" if out else "scale in"
    return {
        "time_s": at_s, "kind": "action", "decision_id": f"{name}-{at_s:.0f}", "service": name,
        "from_instances": now, "to_instances": target, "reason": reason,
        "category": "emergency" if urgent else "automatic", "outcome": "completed", "why": "",
        "confidence": 0.93, "cost_per_hour": (target - now) * price, "rollback_to": now,
        "trigger_s": at_s - (9.0 if urgent else 4.0 + at_s % 11), "accepted_s": at_s + 1.0,
        "completed_s": at_s + boot_s, "weddings": 80_000.0, "major_weddings": 4_000.0,
        "evidence": json.dumps({"rate": rate}),
        "explanation": f"{name}: {verb} {now} → {target} because {because}; 80,212 weddings booked "
        "then, 4,120 of them major.",
    }  # fmt: skip


def _declined(at_s: float, name: str, now: int, k: int) -> dict[str, Any]:
    why = (
        f"cooldown for another {k % 280 + 1} s",
        "wedding protection for the next 2 h",
        "forecast asks for as much or more",
        "one step is at most -30%",
        "holding is cheaper than trimming and booting",
    )[k // 7 % 5]
    return {
        "time_s": at_s, "kind": "recommendation", "decision_id": "", "service": name,
        "from_instances": now, "to_instances": now - 1, "reason": "cpu", "category": "",
        "outcome": "declined", "why": why, "confidence": 0.8, "cost_per_hour": math.nan,
        "rollback_to": -1, "trigger_s": at_s - 5, "accepted_s": math.nan,
        "completed_s": math.nan, "weddings": math.nan, "major_weddings": math.nan,
        "evidence": "{}", "explanation": "",
    }  # fmt: skip


def _events(t: np.ndarray) -> list[dict[str, Any]]:
    at_s = START_S + 13.7 * 3600
    return [
        {"time_s": at_s, "kind": "fault_started", "name": "viral_moment", "service": "api",
         "what": "flash_crowd", "detail": "demand × 1.6"},
        {"time_s": at_s + 1800, "kind": "fault_ended", "name": "viral_moment", "service": "api",
         "what": "flash_crowd", "detail": ""},
        {"time_s": START_S + 17 * 3600, "kind": "fault_fired", "name": "zone_outage",
         "service": "", "detail": "zone b: 41 instances lost"},
    ]  # fmt: skip


def _percentiles(values: np.ndarray) -> dict[str, float | None]:
    if len(values) == 0:
        return dict.fromkeys(("p50", "p95", "p99", "max"))
    p50, p95, p99 = np.percentile(values, (50, 95, 99))
    return {"p50": p50, "p95": p95, "p99": p99, "max": float(values.max())}


def _summary(
    timeline: pd.DataFrame,
    decisions: pd.DataFrame,
    weddings: pd.DataFrame,
    services: dict[str, Any],
    *,
    t: np.ndarray,
    step_s: float,
) -> dict[str, Any]:
    actions = decisions[decisions["kind"] == "action"]
    waited = (actions["accepted_s"] - actions["trigger_s"]).to_numpy()
    urgent = (actions["category"] == "emergency").to_numpy(bool)
    total, bad = float(timeline["served"].sum()), float(timeline["slow"].sum())
    lost = float(timeline["failed"].sum())
    ratio = bad / total if total else 0.0
    table = {}
    for name, (_, _, slo_s, price, _) in services.items():
        part = timeline[timeline["service"] == name]
        hours = float(part["desired"].sum()) * step_s / 3600
        table[name] = {
            "p50_s": slo_s * 0.1, "p95_s": slo_s * 0.33, "p99_s": slo_s * 0.6, "slo_p95_s": slo_s,
            "cpu_mean": 0.55, "cpu_max": 0.97,
            "instances_max": int(part["desired"].max()) if len(part) else 0,
            "instance_hours": hours, "cost_usd": hours * price, "violation_ratio": ratio,
            "under_provisioned_share": float((part["ready"] < part["needed"]).mean() or 0.0)
            if len(part) else 0.0,
            "over_provisioned_share": 0.93,
        }  # fmt: skip
    cost = sum(s["cost_usd"] for s in table.values())
    peak = int(weddings["in_progress"].to_numpy().argmax()) if len(weddings) else 0
    compute = np.random.Generator(np.random.Philox(7)).lognormal(-6.9, 0.4, 5760)
    thresholds = [
        ("violations", "slo.violation_ratio", "<=", 0.0005, ratio),
        ("availability", "slo.availability", ">=", 0.9999, 1 - lost / total if total else 1.0),
        ("emergency_reaction", "decision.emergency_s.max", "<=", 30.0, 10.0),
        ("peak", "weddings.peak_simultaneous", ">=", 90000, 100000),
    ]
    return {
        "schema": 1,
        "scenario": "june_peak",
        "description": "The busiest Saturday of June: 100,000 weddings in progress at the same "
        "instant, with a viral moment at the peak.",
        "controller": "engine",
        "seed": 1,
        "resolution": "fluid",
        "world": "twin",
        "started_at": "2026-11-24T03:00:00+00:00",
        "partial": False,
        "versions": {"python": "3.11.2", "numpy": "2.4.0", "simpy": "4.1.2", "wedtwin": "0.1.0"},
        "command": "python -m twin run scenario=june_peak seed=1",
        "weddings": {
            "total": 162_344,
            "peak_simultaneous": int(weddings["in_progress"].max()) if len(weddings) else 0,
            "peak_at": "2027-06-19T21:40:00+00:00"
            if len(weddings) == 0
            else dt.datetime.fromtimestamp(weddings["time_s"].iloc[peak], dt.UTC).isoformat(),
        },
        "requests": {
            "total": total, "peak_rate_per_s": 262_113.4, "served": total, "failed": lost,
            "shed": 0, "timed_out": 0,
        },
        "slo": {
            "violation_ratio": ratio, "violation_minutes": 12,
            "availability": 1 - lost / total if total else 1.0,
        },
        "services": table,
        "cost": {"total_usd": cost, "per_wedding_usd": cost / 162_344},
        "decision": {
            "cycles": 5760,
            "actions": len(actions),
            "by_reason": {str(k): int(v) for k, v in actions["reason"].value_counts().items()},
            "compute_s": _percentiles(compute),
            "trigger_to_execution_s": _percentiles(waited),
            "emergency_s": {"count": int(urgent.sum()), **_percentiles(waited[urgent])},
        },
        "prediction": {
            "300": {"wape": 0.031, "coverage_80": 0.84, "pinball": 0.0102},
            "900": {"wape": 0.042, "coverage_80": 0.82, "pinball": 0.0131},
            "3600": {"wape": 0.066, "coverage_80": 0.79, "pinball": 0.0212},
            "7200": {"wape": 0.091, "coverage_80": 0.77, "pinball": 0.0301},
        },
        "conservation": {"checked": True, "worst_relative_error": 3.1e-13},
        "thresholds": [
            {"name": name, "metric": metric, "operator": operator, "limit": limit, "value": value,
             "outcome": "passed" if (value <= limit if operator == "<=" else value >= limit)
             else "failed"}
            for name, metric, operator, limit, value in thresholds
        ],
        "simulation": {
            "wall_s": 5.2, "simulated_s": len(t) * step_s, "speedup": len(t) * step_s / 5.2,
            "peak_rss_mib": 512.0,
        },
    }  # fmt: skip


def _config(services: dict[str, Any]) -> dict[str, Any]:
    return {
        "seed": 1,
        "resolution": "fluid",
        "replications": 1,
        "output": "outputs",
        "scenario": {"name": "june_peak", "description": "The busiest Saturday of June."},
        "population": {"simultaneous": 100_000, "date": "2027-06-19"},
        "demand": {"rates": {"api": {"couple": {"ceremony": {"rate": 0.002}}}}},
        "platform": {
            "name": "wedsync",
            "zones": ["a", "b", "c"],
            "services": {
                name: {
                    "slots": 16,
                    "service_s": 16.0 / rate,
                    "service_scv": 1.5,
                    "boot": {"median_s": boot_s, "p95_s": 2 * boot_s},
                    "price_per_hour": price,
                    "slo_p95_s": slo_s,
                    "min_instances": 1,
                    "max_instances": 9000,
                    "user_facing": name not in ("database", "ai-services"),
                }
                for name, (_, rate, slo_s, price, boot_s) in services.items()
            },
        },
        "engine": {"mode": "act"},
        "controller": {"name": "engine"},
        "telemetry": {"interval_s": 5},
        "infrastructure": {"name": "simulated"},
        "faults": {},
        "thresholds": {"violations": "slo.violation_ratio <= 0.0005"},
    }


@pytest.fixture(scope="session")
def made() -> Callable[..., Made]:
    """`make`, for tests that change a record before it is written."""
    return make


@pytest.fixture(scope="session")
def small_record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small whole record on disk; read only."""
    return make().write(tmp_path_factory.mktemp("records") / "small")
