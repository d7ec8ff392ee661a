"""Manual actions: what is asked for, and what comes of it.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from engine.api.documents import COUNT, LASTS_S, NAME, WHY, Document, RequestBody
from engine.api.manual import ManualStatus

OVERRIDE = Annotated[
    bool,
    Field(
        description="In an emergency, by an incident commander: more at once, past steps, rests, "
        "quota and budget; with a reason, for an hour at the most"
    ),
]


class RollbackPlan(Document):
    """How to take it back."""

    service: str
    instances: int | None
    request: str


class ManualDocument(Document):
    """A manual action and how far it is."""

    id: str
    status: ManualStatus
    detail: str
    service: str
    from_instances: int | None
    to_instances: int
    requested_by: str
    why: str
    override: bool
    asked_s: float
    expires_s: float
    estimated_completion_s: float
    changed_s: float
    decisions: list[str]
    rollback_plan: RollbackPlan
    rolled_back_by: str


class ScalingResult(Document):
    """What a request to scale comes to; `dry_run`: nothing was done."""

    dry_run: bool
    actions: list[ManualDocument]
    warnings: list[str]


class ScaleDocument(ManualDocument):
    """The same of one service alone."""

    dry_run: bool
    warnings: list[str]
    cost_per_hour: float


class WithdrawnDocument(Document):
    """Whether there was one to take back."""

    kind: Literal["floor", "pause"]
    service: str
    withdrawn: bool


class ScaleRequest(RequestBody):
    """Take a service to a count and keep it there for a time."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"service": "api", "instances": 12, "why": "a partner's campaign", "for_s": 3600}
            ]
        }
    )

    service: NAME
    instances: COUNT
    why: WHY = ""
    for_s: LASTS_S = 3600.0
    dry_run: bool = False
    override: OVERRIDE = False


class ServiceChange(RequestBody):
    """One of several."""

    service: NAME
    instances: COUNT


class OrchestrateRequest(RequestBody):
    """Several services at once, all or none; what is called goes before who calls it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "changes": [
                        {"service": "api", "instances": 12},
                        {"service": "database", "instances": 4},
                    ],
                    "why": "a partner's campaign",
                    "dry_run": True,
                }
            ]
        }
    )

    changes: Annotated[list[ServiceChange], Field(min_length=1, max_length=100)]
    why: WHY = ""
    for_s: LASTS_S = 3600.0
    dry_run: bool = False
    override: OVERRIDE = False


class WeddingAwareRequest(RequestBody):
    """Scale to what the booked weddings and the forecasts of the next hours ask for."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"services": [], "dry_run": True}]})

    services: Annotated[list[NAME], Field(max_length=100)] = Field(default_factory=list)
    """Empty: all."""
    why: WHY = ""
    for_s: LASTS_S = 7200.0
    dry_run: bool = False


class RollbackRequest(RequestBody):
    """Take a manual action back."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "it was not needed"}]})

    why: WHY = ""
