"""A moment of a run that is over and its hour, read from its record: how all stood, what was done.

What it answers has the words of the live answers, so that one page shows both.  What a record does
not hold is not there: how serious it was, the floors and pauses of people, which of the events in
progress were major, what was booked beyond the run.  How many instances a service needed is worked
out anew, by the sizing of that run's own settings.

Each question reads its rows from the files, and nothing is kept: a record may be of a day of
thousands of services.
"""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd

from engine.api.booked import AHEAD_S
from engine.api.figures import figure, series_of
from engine.api.overview import cost_of, standing_of
from engine.api.samples import SampleView
from engine.api.snapshot import ServiceLook
from engine.config.platform import PlatformConfig
from engine.config.run import BudgetConfig
from engine.config.strict import validated
from engine.decide.callgraph import critical_services
from engine.decide.sizing import Sizing, sizing
from engine.model import SAMPLE_FIELDS, FloatArray, ServiceSpec
from engine.record.schema.summary import SEALED, Summary
from engine.record.schema.tables import DECISIONS, TIMELINE, WEDDINGS, Table
from engine.record.sealed import FileSealer, read_part, read_summary
from engine.security.foreign_yaml import parsed_yaml
from engine.security.roles import PlatformState
from engine.settings import CapacitySettings

HOUR_S = 3600.0
BIN_S = 60.0
MOST_DECISIONS = 500
"""Actions of an hour that are shown; how many more there were is said."""
MEASURED = {"request_rate": "arrival_rate", "queue_depth": "queued"}
"""Columns of the timeline that samples call otherwise."""
UNMEASURED = ("error_rate",)
COUNTS = ("desired", "ready", "booting", "draining", "wedding_floor")
Rule = tuple[str, str, str | float]
"""A column, how it compares, and with what."""
_Read = TypeVar("_Read")


class NotRecordedError(ValueError):
    """The record does not show it; the message says why, and names no place on the disk."""


@dataclass(frozen=True, slots=True)
class RecordedPlatform:
    """What ran: its services with their sizing, in the order of its configuration."""

    specs: Mapping[str, ServiceSpec]
    sizes: Mapping[str, Sizing]
    waited_for: frozenset[str]
    budget: BudgetConfig


def hour(
    record: Path, sealer: FileSealer | None, at_s: float, service: str,
    *, visible: Callable[[Sequence[str]], Sequence[str]],
) -> dict[str, Any]:  # fmt: skip
    """The moment at or before `at_s` (epoch seconds, 0: its last), and the hour around it.

    Of the services that `visible` leaves, with the samples of `service` ("": the first that users
    enter at).  A moment before the run or after it is its first or its last.
    Raises NotRecordedError.
    """
    summary = _readable("summary.json", lambda: read_summary(record, sealer))
    platform = _platform(record, sealer)
    names = [name for name in visible(list(platform.specs)) if name in summary.services]
    if not names:
        raise NotRecordedError("it has no service that you may see")
    facing = [name for name in names if platform.specs[name].user_facing]
    service = service or (facing or names)[0]
    if service not in names:
        raise NotRecordedError(f"it has no service {service}; it has {', '.join(names)}")
    times = _rows(record, sealer, TIMELINE, [("service", "==", service)], columns=["time_s"])[
        "time_s"
    ]
    if times.empty:
        raise NotRecordedError(f"it has no sample of {service}")
    ordered = np.unique(times.to_numpy(np.float64))
    last = len(ordered) - 1
    chosen = np.searchsorted(ordered, at_s, side="right") - 1 if at_s else last
    moment_s = float(ordered[min(max(int(chosen), 0), last)])
    start_s = math.floor(moment_s / HOUR_S) * HOUR_S
    decisions, more = _decisions(record, sealer, start_s, names)
    return {
        "scenario": summary.scenario,
        "controller": summary.controller,
        "world": summary.world,
        "partial": summary.partial,
        "from_s": round(float(ordered[0]), 3),
        "until_s": round(float(ordered[-1]), 3),
        "overview": _overview(record, sealer, summary, platform, names=names, at_s=moment_s),
        "service": service,
        "series": _series(record, sealer, service, start_s),
        "decisions": decisions,
        "more": more,
    }


# --- how all stood


def _overview(
    record: Path, sealer: FileSealer | None, summary: Summary, platform: RecordedPlatform,
    *, names: Sequence[str], at_s: float,
) -> dict[str, Any]:  # fmt: skip
    rows = _rows(record, sealer, TIMELINE, [("time_s", "==", at_s)])
    counts = rows[list(COUNTS)].to_numpy(np.float64).astype(int)
    measured, looks = _samples(rows), {}
    for k, name in enumerate(rows["service"].astype(str)):
        if name in names:
            desired, ready, booting, draining, floor = counts[k].tolist()
            is_seen = bool(np.isfinite(measured[k, 1:]).any())
            view = SampleView((measured[k : k + 1],), 1) if is_seen else SampleView()
            looks[name] = ServiceLook(
                platform.specs[name], desired, ready, booting, draining, view, (), floor,
                PlatformState.CALM,
            )  # fmt: skip
    shown = [looks[name] for name in names if name in looks]
    return {
        "last_updated_s": round(at_s, 3),
        "weddings": _weddings(record, sealer, summary.noun.many, at_s),
        "cost": cost_of(shown, platform.budget.budget()),
        "services": {
            one.spec.name: standing_of(
                one, platform.sizes[one.spec.name], at_s,
                waited_for=one.spec.name in platform.waited_for,
            )
            for one in shown
        },
    }  # fmt: skip


def _samples(rows: pd.DataFrame) -> FloatArray:
    """Rows of the timeline as samples (rows, fields); what it does not hold is NaN."""
    return np.column_stack(
        [
            np.full(len(rows), math.nan) if name in UNMEASURED
            else rows[MEASURED.get(name, name)].to_numpy(np.float64)
            for name in SAMPLE_FIELDS
        ]
    )  # fmt: skip


def _weddings(record: Path, sealer: FileSealer | None, noun: str, at_s: float) -> dict[str, Any]:
    """Events in progress at `at_s`, by phase, and in the two hours after, as far as it is told."""
    between: list[Rule] = [("time_s", ">", at_s - AHEAD_S), ("time_s", "<=", at_s + AHEAD_S)]
    rows = _rows(record, sealer, WEDDINGS, between).sort_values("time_s")
    times = rows["time_s"].to_numpy(np.float64)
    own = [column.name for column in WEDDINGS.columns]
    phases = [str(name) for name in rows.columns if name not in own]
    now = int(np.searchsorted(times, at_s, side="right")) - 1
    ends = np.arange(at_s, min(at_s + AHEAD_S, times[-1]) + 1e-6, BIN_S) if now >= 0 else ()
    ahead = np.searchsorted(times, ends, side="right") - 1
    return {
        "noun": noun,
        "in_progress": figure(float(rows["in_progress"].iloc[now])) if now >= 0 else None,
        "phases": [
            {"phase": phase, "in_progress": float(rows[phase].iloc[now])}
            for phase in phases if now >= 0
        ],
        "ahead": {
            "start_s": round(at_s, 3),
            "bin_s": BIN_S,
            "events": [float(rows["in_progress"].iloc[k]) for k in ahead],
        },
    }  # fmt: skip


# --- the hour


def _series(
    record: Path, sealer: FileSealer | None, service: str, start_s: float
) -> dict[str, list[float | None]]:
    of_hour: list[Rule] = [
        ("service", "==", service), ("time_s", ">", start_s), ("time_s", "<=", start_s + HOUR_S),
    ]  # fmt: skip
    rows = _rows(record, sealer, TIMELINE, of_hour).sort_values("time_s")
    return series_of(_samples(rows), start_s + HOUR_S, HOUR_S)


def _decisions(
    record: Path, sealer: FileSealer | None, start_s: float, names: Sequence[str]
) -> tuple[list[dict[str, Any]], int]:
    """The actions of the hour, the newest first, and how many more there were."""
    of_hour: list[Rule] = [
        ("kind", "==", "action"), ("time_s", ">=", start_s), ("time_s", "<", start_s + HOUR_S),
    ]  # fmt: skip
    rows = _rows(record, sealer, DECISIONS, of_hour).sort_values("time_s", ascending=False)
    rows = rows[rows["service"].isin(names)]
    shown = rows.head(MOST_DECISIONS)
    return [_decision(row) for row in shown.to_dict("records")], len(rows) - len(shown)


def _decision(row: Mapping[Any, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {"number": None}
    for column in DECISIONS.columns:
        if column.only is not None or column.name == "evidence":
            continue
        value = row[column.name]
        if column.is_text:
            document[column.name] = "" if pd.isna(value) else str(value)
        elif column.type == "float64":
            digits = 13 if column.name.endswith("_s") else 6
            document[column.name] = figure(float(value), digits)
        else:
            document[column.name] = int(value)
    evidence = json.loads(row["evidence"] or "{}")
    return document | {
        "rollback_to": document["rollback_to"] if document["rollback_to"] >= 0 else None,
        "evidence": {str(key): figure(float(value)) for key, value in evidence.items()},
    }


# --- the files


def _platform(record: Path, sealer: FileSealer | None) -> RecordedPlatform:
    def read() -> RecordedPlatform:
        tree = parsed_yaml(read_part(record, "config.yaml", sealer))
        config = validated(PlatformConfig, tree["platform"], "platform")
        sized = tree["engine"].get("capacity", {})
        capacity = validated(CapacitySettings, sized, "engine.capacity")
        specs = config.specs()
        waited_for = critical_services(specs)
        return RecordedPlatform(
            {spec.name: spec for spec in specs},
            {s.name: sizing(s, capacity, critical=s.name in waited_for) for s in specs},
            waited_for,
            validated(BudgetConfig, tree.get("budget") or {}, "budget"),
        )

    return _readable("config.yaml", read)


def _rows(
    record: Path, sealer: FileSealer | None, table: Table, rules: Sequence[Rule],
    *, columns: Sequence[str] = (),
) -> pd.DataFrame:  # fmt: skip
    """The rows of a table that keep all `rules`, with `columns` alone if any are named."""

    def read() -> pd.DataFrame:
        source: Path | io.BytesIO = record / table.file
        if sealer is not None and (record / SEALED).is_file():
            source = io.BytesIO(read_part(record, table.file, sealer))
        frame = pd.read_parquet(source, columns=list(columns) or None, filters=list(rules))
        missing = [name for name in (columns or table.names) if name not in frame.columns]
        if missing:
            raise ValueError(f"{missing[0]}: the column is missing")
        return frame

    return _readable(table.file, read)


def _readable(file: str, read: Callable[[], _Read]) -> _Read:
    """What `read` reads of the record's `file`; raises NotRecordedError."""
    try:
        return read()
    except FileNotFoundError as error:
        raise NotRecordedError(f"{file}: is missing") from error
    except Exception as error:  # pyarrow and yaml raise their own kinds
        raise NotRecordedError(f"{file}: cannot be read: {type(error).__name__}") from error
