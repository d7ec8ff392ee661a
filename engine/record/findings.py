"""The findings of a run as a table: each once, as it was noticed and as it ended."""

from __future__ import annotations

import json
import math

import pandas as pd

from engine.monitoring.findings import Finding, Findings
from engine.record.schema.tables import FINDINGS


class FindingNotes:
    """Collects findings step by step; times are those of the monitor's clock.

    Memory grows with the number of findings alone.
    """

    def __init__(self) -> None:
        self._first: dict[str, Finding] = {}
        self._last: dict[str, Finding] = {}
        self._ended_s: dict[str, float] = {}

    def note(self, findings: Findings) -> None:
        """Note one step's."""
        for finding in findings.began:
            self._first[finding.id] = finding
        for finding in findings.lasting:
            self._first.setdefault(finding.id, finding)  # of a monitor that was restored
            self._last[finding.id] = finding
        for finding in findings.ended:
            self._first.setdefault(finding.id, finding)
            self._last[finding.id] = finding
            self._ended_s[finding.id] = findings.now_s

    @property
    def all(self) -> list[Finding]:
        """Every finding so far as it was last, in the order in which they were noticed."""
        return [self._last.get(key, first) for key, first in self._first.items()]

    def table(self) -> pd.DataFrame:
        """The same as a table of the record."""
        if not self._first:
            return FINDINGS.empty()
        return FINDINGS.rows(
            [
                _row(first, self._last.get(key, first), self._ended_s.get(key, math.nan))
                for key, first in self._first.items()
            ]
        )


def _row(first: Finding, last: Finding, ended_s: float) -> dict[str, object]:
    """The figures are those that led to it, severity and causes those that it came to."""
    symptom, likeliest = first.symptom, last.causes[0]
    return {
        "time_s": first.noticed_s,
        "finding_id": first.id,
        "service": first.service,
        "kind": first.kind.value,
        "severity": last.severity.value,
        "watcher": symptom.watcher,
        "figure": symptom.figure,
        "value": symptom.value,
        "limit": symptom.limit,
        "low": symptom.low,
        "high": symptom.high,
        "since_s": first.since_s,
        "ended_s": ended_s,
        "confidence": symptom.confidence,
        "weddings": last.weddings,
        "guests": last.guests,
        "cause": likeliest.kind.value,
        "cause_service": likeliest.service,
        "causes": json.dumps([[c.service, c.kind.value, round(c.weight, 4)] for c in last.causes]),
        "words": symptom.words,
        "recommendation": last.recommendation,
    }
