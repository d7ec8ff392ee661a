"""Decisions, those that wait for somebody, and what one says to them.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from engine.api.documents import WHY, Document, Figure, RequestBody
from engine.model import Category, Reason


class DecisionDocument(Document):
    """A recommendation or an action, and what became of it; an old one has no number."""

    number: int | None
    time_s: float
    kind: Literal["recommendation", "action", "warm"]
    """`warm`: an action on how many are held warm, whose counts are those."""
    decision_id: str
    service: str
    from_instances: int
    to_instances: int
    reason: Reason
    category: Literal["", Category.AUTOMATIC, Category.NEEDS_APPROVAL, Category.EMERGENCY]
    outcome: str
    why: str
    confidence: Figure
    cost_per_hour: Figure
    rollback_to: int | None
    trigger_s: Figure
    accepted_s: Figure
    completed_s: Figure
    weddings: Figure
    major_weddings: Figure
    evidence: dict[str, Figure]
    explanation: str


class AwaitingDocument(DecisionDocument):
    """An action that waits for people: who asked for it, who has approved it, how many have to."""

    scale_id: str
    asked_by: str
    approved_by: list[str]
    approvals_needed: int
    expires_s: float
    """Unanswered, it is over then; the engine asks anew if it is still needed."""


class DecisionPage(Document):
    """The newest decisions; `next` is the cursor of the page after."""

    items: list[DecisionDocument]
    next: str | None


class AwaitingList(Document):
    """All that wait."""

    items: list[AwaitingDocument]


class AnswerDocument(Document):
    """An answer that was given; `complete` once as many have approved as have to."""

    decision_id: str
    approved: bool
    by: str
    complete: bool
    approvals_needed: int
    approved_by: list[str]


class ApproveRequest(RequestBody):
    """Let an action pass."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "agreed with the hotel"}]})

    why: WHY = ""


class RejectRequest(RequestBody):
    """Refuse an action; that is final."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "the load is a test's"}]})

    why: Annotated[str, Field(min_length=1, max_length=500)]
