"""The tables of a live run's record, from what its journal tells.

What only a simulation can know is NaN: what became of every request, how many instances were needed
in hindsight.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from engine.model import SAMPLE_FIELDS, FloatArray
from engine.record.live.notes import JournalContent, LiveRun, S
from engine.record.schema.tables import DECISIONS, TIMELINE, WEDDINGS

FORECAST_SHOWN_S = 900.0
COUNTS = ("desired", "ready", "booting", "draining")
METRICS = ("cpu", "memory", "p50_s", "p95_s", "p99_s")
UNKNOWN = ("demand_rate", "served", "shed", "timed_out", "slow", "in_flight", "needed")


def timeline(run: LiveRun, notes: JournalContent) -> pd.DataFrame:
    """One row for each step and service, with the sample that belongs to it, if it ever came."""
    steps = {run.tick(step["due_s"]): step for step in notes.steps}
    times = np.array(sorted(steps))
    names = [spec.name for spec in run.specs]
    frames = []
    for spec in run.specs:
        samples = _by_tick(run, notes, spec.name, times)
        rate = samples[:, S["request_rate"]]
        counts = _counts(steps, times, spec.name)
        columns: dict[str, Any] = {
            "time_s": times,
            "service": [spec.name] * len(times),
            "arrival_rate": rate,
            "failed": rate * run.sample_s * samples[:, S["error_rate"]],
            "queued": samples[:, S["queue_depth"]],
        }
        columns |= {name: np.full(len(times), math.nan) for name in UNKNOWN}
        columns |= {name: samples[:, S[name]] for name in METRICS}
        columns |= {name: counts[:, k] for k, name in enumerate(COUNTS)}
        forecast = _forecasts(run, notes, spec.name, times)
        columns |= {f"forecast_q{q}": forecast[:, k] for k, q in enumerate((10, 50, 90))}
        columns["wedding_floor"] = _floors(steps, times, spec.name)
        columns["cost_per_hour"] = counts[:, 1:].sum(axis=1) * spec.price_per_hour
        if any(one.warm is not None for one in run.specs):
            warm = _warm(steps, times, spec.name)
            preparing = np.maximum(warm[:, 0] - warm[:, 1], 0.0)
            columns["warm"] = warm[:, 1]
            columns["cost_per_hour"] += warm[:, 1] * spec.warm_price_per_hour
            columns["cost_per_hour"] += preparing * spec.price_per_hour
        frames.append(TIMELINE.frame(columns, names))
    return pd.concat(frames, ignore_index=True)


def _by_tick(run: LiveRun, notes: JournalContent, service: str, times: FloatArray) -> FloatArray:
    """The sample that each step at `times` (steps,) could have seen: (steps, fields), NaN if none.

    A sample belongs to the first step at or after it.
    """
    table = np.full((len(times), len(SAMPLE_FIELDS)), math.nan)
    for time_s, row in notes.samples.get(service, {}).items():
        k = int(np.searchsorted(times, time_s - 1e-6))
        if k < len(times) and times[k] - time_s < run.sample_s:
            table[k] = row
    return table


def _warm(steps: Mapping[float, dict[str, Any]], times: FloatArray, service: str) -> FloatArray:
    """What is held warm, asked for and there: (steps, 2)."""
    rows = [steps[time_s].get("warm", {}).get(service, (0, 0)) for time_s in times.tolist()]
    return np.array(rows, dtype=np.float64).reshape(len(times), 2)


def _counts(steps: Mapping[float, dict[str, Any]], times: FloatArray, service: str) -> FloatArray:
    rows = [steps[time_s]["counts"][service] for time_s in times.tolist()]
    return np.array(rows, dtype=np.float64).reshape(len(times), len(COUNTS))


def _floors(
    steps: Mapping[float, dict[str, Any]], times: FloatArray, service: str
) -> NDArray[np.int32]:
    """The wedding floor in force: as of the last step that gave one."""
    floors, floor = np.zeros(len(times), np.int32), 0
    for k, time_s in enumerate(times.tolist()):
        floor = int(steps[time_s]["floors"].get(service, floor))
        floors[k] = floor
    return floors


def _forecasts(run: LiveRun, notes: JournalContent, service: str, times: FloatArray) -> FloatArray:
    """What had been forecast a quarter of an hour before: (steps, 3)."""
    shown = np.full((len(times), 3), math.nan)
    for step in notes.steps:
        for name, horizon_s, *quantiles in step["forecasts"]:
            if name == service and horizon_s == FORECAST_SHOWN_S:
                due_s = run.tick(step["time_s"] + horizon_s)
                shown[(times >= due_s) & (times < due_s + 60.0)] = quantiles
    return shown


def decisions(run: LiveRun, notes: JournalContent) -> pd.DataFrame:
    """The twin's table, and when the first request was served on what an action had added."""
    rows = [{**row, "served_s": served_s(run, row)} for row in notes.decisions.rows]
    return DECISIONS.rows(rows) if rows else DECISIONS.empty().assign(served_s=[])


def served_s(run: LiveRun, row: Mapping[str, Any]) -> float:
    """The first first request of an instance of the service after the action was accepted."""
    if row["kind"] != "action" or row["to_instances"] <= row["from_instances"]:
        return math.nan
    firsts = run.first_served.get(row["service"], ())
    return min((time_s for time_s in firsts if time_s > row["accepted_s"]), default=math.nan)


def weddings(notes: JournalContent) -> pd.DataFrame:
    """What the booked schedule said at each step: weddings in progress."""
    booked = [step for step in notes.steps if step["weddings"] is not None]
    return WEDDINGS.frame(
        {
            "time_s": [step["time_s"] for step in booked],
            "in_progress": [round(step["weddings"]) for step in booked],
        }
    )
