"""Days and seasons to come, and what is recommended for them.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from engine.api.documents import WHY, Document, Figure, RequestBody
from engine.model import WeddingType


class RecommendationDocument(Document):
    """One thing to do."""

    kind: str
    service: str
    before: Figure
    after: Figure
    reason: str
    taken: bool
    why_not: str
    confidence: Figure
    evidence: dict[str, Any]
    saving_usd: Figure
    cost_usd: Figure


class RecommendationsDocument(Document):
    """What should be done now, or in the months to come."""

    horizon: Literal["now", "season"]
    as_of: str
    items: list[RecommendationDocument]


class PreparedFloor(Document):
    """A floor for some hours of the day."""

    service: str
    instances: int
    from_s: float
    to_s: float


class PreparationDocument(Document):
    """What makes a day's capacity stand ready."""

    date: str
    dry_run: bool
    weddings: Figure
    confidence: Figure
    floors: list[PreparedFloor]
    rollback_plan: str


class SeasonDocument(Document):
    """A season, week by week; quantiles are at `levels`."""

    year: int
    season: str
    generated_at: str
    valid_until: str
    confidence: float
    levels: list[float]
    weddings: dict[str, Any]
    weeks: list[dict[str, Any]]
    peak_days: list[dict[str, Any]]
    capacity: dict[str, Any]
    historical_comparison: list[dict[str, Any]]
    notes: list[str]


class WeddingDayDocument(Document):
    """24 hours of a day or of one wedding; quantiles are at `levels`."""

    title: str
    generated_at: str
    valid_until: str
    start: str
    weddings: int
    confidence: float
    levels: list[float]
    hours: list[dict[str, Any]]
    peaks: dict[str, Any]
    timeline: list[dict[str, Any]]
    notes: list[str]


class PlanDocument(BaseModel):
    """A capacity plan: the content of `plan.json` (docs/guides/planning.md)."""

    model_config = ConfigDict(extra="allow")


class OptimisedService(Document):
    """One service over the months."""

    size: float
    reserved: int
    minimum: list[int]
    maximum: list[int]
    reserved_usd: float
    on_demand_usd: float


class OptimisationDocument(Document):
    """What the cheapest capacity of a season is, within the accepted risk."""

    date: str
    months: list[str]
    risk: float
    total_usd: float
    reserved_usd: float
    on_demand_usd: float
    saving_usd: Figure
    fits_the_quota: bool
    services: dict[str, OptimisedService]


class PreparationRequest(RequestBody):
    """Let a day's capacity stand ready."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    why: WHY = ""
    dry_run: bool = False


WEDDING_TYPES = tuple(kind.value for kind in WeddingType)
