"""What happened to the platform: faults, other events, and what the monitor noticed of them."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

from reports import wording
from reports.run.faults import faults
from reports.run.reading import Record
from reports.tables import TextTable, table
from reports.wording import count, plural, seconds, words

EVENTS_SHOWN = 40


def faults_table(record: Record) -> TextTable | None:
    """The first faults; None without any."""
    rows = [
        (
            fault.letter,
            words(fault.name),
            wording.clock(fault.start_s),
            wording.clock(fault.end_s) if fault.ended else "did not end",
            "; ".join(t for t in (words(fault.what), fault.detail) if t and t != words(fault.name)),
        )
        for fault in faults(record)[:EVENTS_SHOWN]
    ]
    return table(("", "fault", "from (UTC)", "to (UTC)", "what"), "     ", rows) if rows else None


def findings_table(record: Record) -> TextTable | None:
    """The worst findings, in the order in which they were noticed."""
    findings = record.findings
    worst = findings.assign(rank=findings["severity"].map({"critical": 0, "warning": 1}).fillna(2))
    chosen = worst.sort_values(["rank", "time_s"], kind="stable").head(EVENTS_SHOWN)
    rows = [
        (
            wording.clock(row["time_s"]),
            "lasts" if math.isnan(row["ended_s"]) else wording.clock(row["ended_s"]),
            row["service"],
            words(row["kind"]),
            row["severity"],
            f"{words(row['cause'])} at {row['cause_service']}",
            _shown_figure(row),
            row["recommendation"],
        )
        for row in chosen.sort_values("time_s", kind="stable").to_dict("records")
    ]
    headings = (
        "noticed (UTC)", "ended", "service", "finding", "severity", "likely cause", "figure",
        "what to do",
    )  # fmt: skip
    return table(headings, " " * len(headings), rows) if rows else None


def _shown_figure(row: Mapping[Hashable, Any]) -> str:
    """The figure against its threshold, or against the band that it left."""
    value = f"{words(row['figure'])} {row['value']:.3g}"
    if not math.isnan(row["limit"]):
        return f"{value}, threshold {row['limit']:.3g}"
    edges = ["…" if math.isnan(row[edge]) else f"{row[edge]:.3g}" for edge in ("low", "high")]
    return f"{value}, band {' – '.join(edges)}"


def findings_note(record: Record) -> str:
    """How the monitor fared, where it ran."""
    own = record.summary.detection
    if own is None:
        return ""
    faults = sum(fault.noticed for fault in own.faults.values())
    after = [fault.after_s for fault in own.faults.values() if fault.after_s is not None]
    times = f", the first alarm after {seconds(min(after))}" if after else ""
    hidden = max(len(record.findings) - EVENTS_SHOWN, 0)
    rest = f" {count(hidden)} more are in findings.parquet." if hidden else ""
    return (
        f"{plural(own.findings, 'finding')} of the monitor, {count(own.alarms)} of them a warning "
        f"or worse; {faults} of {plural(own.faults_seen, 'fault')} noticed{times}; "
        f"{plural(own.false_alarms, 'false alarm')}.{rest}"
    )


def _other_events(record: Record) -> list[Any]:
    return [event for event in record.events if not event.kind.startswith("fault_")]


def events_table(record: Record) -> TextTable | None:
    """The first events that are no faults; None without any."""
    rows = [
        (
            wording.clock(event.time_s),
            words(event.kind),
            words(event.name),
            "; ".join(t for t in (event.service, words(event.what), event.detail) if t),
        )
        for event in _other_events(record)[:EVENTS_SHOWN]
    ]
    return table(("time (UTC)", "event", "name", "what"), "    ", rows) if rows else None


def events_note(record: Record) -> str:
    """Where the rest is, or that nothing was in trouble."""
    hidden = max(len(_other_events(record)) - EVENTS_SHOWN, 0)
    hidden += max(len(faults(record)) - EVENTS_SHOWN, 0)
    if hidden:
        return f"{count(hidden)} more are in events.jsonl."
    if record.events:
        return ""
    if record.summary.live is not None:
        return "Nothing was in trouble in this run."
    return "Nothing was broken on purpose in this run."
