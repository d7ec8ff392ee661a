"""The load as a load test sent it, in words and tables; its files lie beside the record's own.

A run can do without: then there is nothing to read, and the report has no such section.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from reports.wording import NOTHING, count, percent, plural, seconds

FILE, SECONDS = "load_summary.json", "load.parquet"
COLUMNS = ("time_s", "intended", "ok", "p95_s", "answered_p95_s")
REASONS_SHOWN = 8


class LoadError(ValueError):
    """The files of a load test are incomplete or malformed; the message says which and where."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True)


class Answered(_Part):
    """Response time from the moment at which requests were really sent."""

    p95_s: float | None


class Service(_Part):
    """One service as its users felt it."""

    intended: int
    sent: int
    ok: int
    failed: int
    shed: int
    timed_out: int
    slow: int
    dropped: int
    violation_ratio: float
    slo_p95_s: float
    p50_s: float | None
    p95_s: float | None
    p99_s: float | None
    answered: Answered


class Requests(_Part):
    """All requests."""

    intended: int
    sent: int
    retried: int
    ok: int
    dropped: int
    peak_rate_per_s: float


class Slo(_Part):
    """What was missed."""

    violation_ratio: float
    availability: float


class Generator(_Part):
    """How the load was made."""

    workers: int
    lost_workers: int
    unsent: int
    late_ratio: float
    late_after_s: float
    held_ratio: float
    peak_in_flight: int
    max_in_flight: int
    saturated: bool


class Limit(_Part):
    """One limit of the load test."""

    metric: str
    operator: str
    limit: float
    value: float | None
    passed: bool


class Summary(_Part):
    """`load_summary.json`, schema 1."""

    scenario: str
    seed: int
    scale: float
    speed: float
    host: str
    wall_s: float
    partial: bool
    requests: Requests
    slo: Slo
    services: dict[str, Service]
    reasons: dict[str, int]
    generator: Generator
    verdict: Literal["passed", "failed", "not judged"]
    thresholds: tuple[Limit, ...]


@dataclass(frozen=True, slots=True)
class Load:
    """A load test: its figures, and one row for each second and service."""

    summary: Summary
    seconds: pd.DataFrame


Cells = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""Headings and rows of a table."""


@dataclass(frozen=True, slots=True)
class Told:
    """What is said of it."""

    sentence: str
    services: Cells
    limits: Cells
    reasons: Cells
    note: str


def read(folder: Path) -> Load | None:
    """The load test whose files lie in `folder`, None without any; raises LoadError."""
    path = folder / FILE
    if not path.is_file():
        return None
    try:
        summary = Summary.model_validate(json.loads(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise LoadError(f"{path}: {where}: {first['msg']}") from error
    except (OSError, ValueError) as error:
        raise LoadError(f"{path}: is not JSON: {error}") from error
    table = folder / SECONDS
    try:
        frame = pd.read_parquet(table)
    except Exception as error:  # pyarrow raises its own kinds, and OSError
        raise LoadError(f"{table}: is missing or not a readable Parquet file") from error
    for column in (*COLUMNS, "service"):
        if column not in frame.columns:
            raise LoadError(f"{table}: {column}: the column is missing")
    return Load(summary, frame)


def tell(load: Load) -> Told:
    """The texts."""
    summary, generator = load.summary, load.summary.generator
    return Told(
        sentence=_sentence(summary),
        services=(
            (
                "service", "due", "sent", "ok", "failed", "shed", "timed out", "dropped", "slow",
                "missed SLO", "p50", "p95", "p99", "SLO p95", "p95 from sending",
            ),
            tuple(
                (
                    name, *map(count, (s.intended, s.sent, s.ok, s.failed, s.shed, s.timed_out,
                                       s.dropped, s.slow)),
                    percent(s.violation_ratio) if s.sent else NOTHING, seconds(s.p50_s),
                    seconds(s.p95_s), seconds(s.p99_s), seconds(s.slo_p95_s),
                    seconds(s.answered.p95_s),
                )
                for name, s in summary.services.items()
            ),
        ),
        limits=(
            ("limit", "value", "outcome"),
            tuple(
                (
                    f"{one.metric} {one.operator} {one.limit:g}",
                    NOTHING if one.value is None else f"{one.value:.4g}",
                    "✓ passed" if one.passed else "✗ FAILED",
                )
                for one in summary.thresholds
            ),
        ),
        reasons=(
            ("what went wrong", "requests"),
            tuple(
                (reason, count(number))
                for reason, number in list(summary.reasons.items())[:REASONS_SHOWN]
            ),
        ),
        note=(
            "Response times are felt: they count from the moment at which a request was due, "
            "whenever it was sent. “From sending” is what a closed-loop load test would have "
            f"reported. {plural(generator.workers, 'process', 'processes')} sent; "
            f"{percent(generator.late_ratio)} went out more than {seconds(generator.late_after_s)} "
            f"late for want of CPU, {percent(generator.held_ratio)} were held because "
            f"{count(generator.max_in_flight)} were in flight, {count(generator.unsent)} were "
            "not sent."
        ),
    )  # fmt: skip


def _sentence(summary: Summary) -> str:
    verdict = {
        "passed": "its limits were kept",
        "failed": "not all of its limits were kept",
        "not judged": (
            "the generator could not send it as planned, so nothing is said about the system"
        ),
    }[summary.verdict]
    cut = ", stopped before its end" if summary.partial else ""
    return (
        f"{count(summary.requests.intended)} requests were due in {seconds(summary.wall_s)}{cut}, "
        f"up to {count(summary.requests.peak_rate_per_s)} a second: {summary.scale:g} times the "
        f"load of {summary.scenario} (seed {summary.seed}), {summary.speed:g} times as fast, sent "
        f"to {summary.host}; {verdict}."
    )
