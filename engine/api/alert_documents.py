"""Findings of the monitor, and the incidents that they are.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from engine.api.documents import Document, Figure


class CauseDocument(Document):
    """A likely cause, with its share of the evidence."""

    service: str
    kind: str
    weight: Figure
    words: str


class FindingDocument(Document):
    """What is wrong, since when, against what, for whom, and what to do."""

    id: str
    service: str
    kind: str
    severity: Literal["info", "warning", "critical"]
    watcher: str
    figure: str
    value: Figure
    limit: Figure
    low: Figure
    high: Figure
    confidence: Figure
    since_s: Figure
    noticed_s: Figure
    weddings: Figure
    guests: Figure
    causes: list[CauseDocument]
    words: str
    recommendation: str


class FindingList(Document):
    """All that is wrong now; of what is `silent` nothing can be said."""

    as_of_s: float
    watching_since_s: Figure
    services: list[str]
    silent: list[str]
    items: list[FindingDocument]


class IncidentDocument(Document):
    """What people are told of as one thing."""

    id: str
    service: str
    severity: Literal["info", "warning", "critical"]
    opened_s: float
    level: int
    levels: int
    acknowledged_by: str
    acknowledged_s: Figure
    told_s: Figure
    notices: int
    findings: list[str]
    words: list[str]


class IncidentList(Document):
    """All incidents that are not over, and how many notices wait for who is to get them."""

    as_of_s: float
    undelivered: int
    items: list[IncidentDocument]


class IncidentAnswerRequest(Document):
    """What somebody does with an incident."""

    why: Annotated[str, Field(max_length=500, description="For the audit log")] = ""


class IncidentAnswerDocument(Document):
    """What was asked for; the engine takes it in with its next step."""

    incident: str
    service: str
    answer: Literal["acknowledge", "escalate"]
    by: str
