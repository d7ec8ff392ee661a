"""The load as a load test sent it, in words and tables; its files lie beside the record's own.

A run can do without: then there is nothing to read, and the report has no such section.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from engine.record.schema import load
from engine.record.schema.load import LoadSummary
from engine.record.schema.tables import LOAD
from reports import wording
from reports.wording import NOTHING, count, percent, plural, seconds

REASONS_SHOWN = 8


@dataclass(frozen=True, slots=True)
class LoadTest:
    """A load test: its figures, and one row for each second and service."""

    summary: LoadSummary
    seconds: pd.DataFrame


Cells = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]
"""Headings and rows of a table."""


@dataclass(frozen=True, slots=True)
class LoadTestTexts:
    """What is said of it."""

    sentence: str
    services: Cells
    limits: Cells
    reasons: Cells
    note: str


def read(folder: Path) -> LoadTest | None:
    """The load test whose files lie in `folder`, None without any; raises SchemaError."""
    summary = load.read(folder)
    return None if summary is None else LoadTest(summary, LOAD.read(folder))


def tell(test: LoadTest) -> LoadTestTexts:
    """The texts."""
    summary, generator = test.summary, test.summary.generator
    return LoadTestTexts(
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
                    wording.OUTCOMES[one.outcome],
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


def _sentence(summary: LoadSummary) -> str:
    verdict = {
        "passed": "its limits were kept",
        "failed": "not all of its limits were kept",
        "not judged": (
            "the generator could not send it as planned, so nothing is said about the system"
        ),
    }[summary.verdict]
    if summary.nothing_to_judge:
        verdict = "none of its limits speaks of anything that was sent, so none was judged"
    if summary.exceptions:
        verdict = "its user classes raised exceptions, so it failed whatever its figures are"
    cut = ", stopped before its end" if summary.partial else ""
    return (
        f"{count(summary.requests.intended)} requests were due in {seconds(summary.wall_s)}{cut}, "
        f"up to {count(summary.requests.peak_rate_per_s)} a second: {summary.scale:g} times the "
        f"load of {summary.scenario} (seed {summary.seed}), {summary.speed:g} times as fast, sent "
        f"to {summary.host}; {verdict}."
    )
