"""What answers look like, for the OpenAPI document and for clients.

Answers are encoded as they are made, without passing through these; the tests hold them against
each other.  Times ending in `_s` are epoch seconds (UTC), figures that are not known are null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.api.manual import ManualStatus
from engine.config.recurrence import Recurrence
from engine.config.strict import Strict
from engine.model import Category, Direction, Reason, WeddingType
from engine.security.roles import PlatformState

Figure = float | None
SERVICE = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
NAME = Annotated[str, Field(min_length=1, max_length=100)]
WHY = Annotated[str, Field(max_length=500)]
COUNT = Annotated[int, Field(ge=0, le=10_000_000)]
LASTS_S = Annotated[float, Field(ge=1.0, le=2_592_000.0)]


class Document(BaseModel):
    """An answer: closed, so that nothing comes out that is not written down here."""

    model_config = ConfigDict(extra="forbid")


class FieldDocument(Document):
    """What is wrong with one field."""

    field: str
    detail: str
    allowed: str


class ProblemDocument(Document):
    """Why a request came to nothing (RFC 9457)."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[FieldDocument] = Field(default_factory=list)


class SampleDocument(Document):
    """One sample: cpu and memory 0-1, requests/s, seconds, failed share, requests waiting."""

    time_s: float
    cpu: Figure
    memory: Figure
    request_rate: Figure
    p50_s: Figure
    p95_s: Figure
    p99_s: Figure
    error_rate: Figure
    queue_depth: Figure


class TrendDocument(Document):
    """How a figure moved: its mean, and the straight line through it."""

    mean: Figure
    lowest: Figure
    highest: Figure
    per_minute: Figure
    direction: Literal["rising", "falling", "steady", "unknown"]


class ForecastDocument(Document):
    """Requests/s at a time to come, at three quantiles."""

    horizon_s: float
    at_s: float
    q10: Figure
    q50: Figure
    q90: Figure


class ServiceCounts(Document):
    """Instances, and the newest sample."""

    desired: int
    ready: int
    booting: int
    draining: int
    wedding_floor: int
    state: PlatformState
    sample: SampleDocument | None


class RealtimeService(ServiceCounts):
    """One service now."""

    sample_age_s: Figure
    trends: dict[str, TrendDocument]
    predictions: list[ForecastDocument]
    series: dict[str, list[Figure]]
    """By field, each value the mean of as long a part of the range."""


class WeddingsDocument(Document):
    """What is booked: in progress now, and at the next peak within a day."""

    noun: str
    in_progress: Figure
    major_in_progress: Figure
    next_peak: Figure
    next_peak_at_s: Figure
    protection: bool
    known_until_s: Figure


class RealtimeDocument(Document):
    """Everything that is seen now."""

    last_updated_s: float
    last_updated: str
    step: int
    range_s: float
    services: dict[str, RealtimeService]
    wedding_context: WeddingsDocument


class Crossing(Document):
    """A figure beside its upper threshold."""

    figure: str
    value: Figure
    threshold: float
    share: Figure
    reached_in_s: Figure


class AnalysedService(Document):
    """What the figures of a service say."""

    verdict: Literal["ok", "near", "above", "no_samples"]
    utilisation: Figure
    figures: list[Crossing]
    trends: dict[str, TrendDocument]


class AnalysisDocument(Document):
    """What the figures of all services say."""

    last_updated_s: float
    range_s: float
    services: dict[str, AnalysedService]


class NeededDocument(Document):
    """What a service will need at a time to come."""

    horizon_s: float
    at_s: float
    request_rate_q50: Figure
    request_rate_q90: Figure
    instances: int


class CapacityService(Document):
    """One service: what is there, and what will be needed."""

    desired: int
    ready: int
    max_instances: int
    needed: list[NeededDocument]


class CapacityDocument(Document):
    """The capacity that the next hours need."""

    last_updated_s: float
    forecast_s: Figure
    services: dict[str, CapacityService]


class StandingDocument(Document):
    """A floor or a pause that stands."""

    kind: Literal["floor", "pause"]
    service: str
    instances: int | None = None
    direction: Direction | None = None
    pinned: int | None = None
    expires_s: Figure
    requested_by: str
    holds_now: bool
    schedule: Recurrence | None = None


class StandingList(Document):
    """All that stand, and what cannot be read of what was asked for."""

    items: list[StandingDocument]
    complaints: list[str]


class ServiceDocument(Document):
    """A service as it is configured and wanted; its ETag changes with what people may change."""

    name: str
    version: str
    desired: int
    min_instances: int
    max_instances: int
    slots: int
    rate_per_instance: float
    slo_p95_s: float
    price_per_hour: float
    stateful: bool
    user_facing: bool
    calls: dict[str, float]
    wedding_floor: int
    floors: list[StandingDocument]
    pauses: list[StandingDocument]
    manual_action: str
    state: PlatformState


class ServiceList(Document):
    """All services."""

    items: list[ServiceDocument]


class TroublesDocument(Document):
    """What does not work now, by source."""

    as_of_s: float
    troubles: dict[str, list[str]]


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


class HealthDocument(Document):
    """Whether the process answers."""

    status: Literal["alive"]


class ReadinessDocument(Document):
    """Whether the engine leads and steps."""

    ready: bool
    reason: str
    acts: bool
    steps: int
    skipped: int
    last_step_age_s: Figure
    lead: int
    """The number under which it leads, 0 while it does not; it only grows."""


class DecisionDocument(Document):
    """A recommendation or an action, and what became of it; an old one has no number."""

    number: int | None
    time_s: float
    kind: Literal["recommendation", "action"]
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


class Headroom(Document):
    """How much more a service could carry."""

    service: str
    request_rate: Figure
    carried_now: float
    carried_at_most: float
    utilisation: Figure
    growth: Figure
    limited_by: Literal["max_instances", "stateful", "quota", "budget"]
    queue_depth: Figure
    p95_share_of_slo: Figure


class BottlenecksDocument(Document):
    """Which service gives way first as load grows; the first one in front."""

    last_updated_s: float
    bottleneck: str
    services: list[Headroom]


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
    """A capacity plan: the content of `plan.json` (docs/planning.md)."""

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


# --- what is asked for


class RequestBody(Strict):
    """What somebody asks for: as strict as a configuration."""

    model_config = ConfigDict(defer_build=False)  # FastAPI would build it under another name


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


class FloorRequest(RequestBody):
    """At least so many instances, until taken back, for a time, or again and again."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"service": "api", "instances": 4, "for_s": 7200}]}
    )

    service: NAME
    instances: Annotated[int, Field(ge=1, le=10_000_000)]
    for_s: LASTS_S | None = None
    schedule: Recurrence | None = None
    why: WHY = ""


class PauseRequest(RequestBody):
    """No scaling of a service, "": of all."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"service": "api", "direction": "in", "for_s": 1800}]}
    )

    service: Annotated[str, Field(max_length=100)] = ""
    direction: Direction = Direction.ALL
    pinned: COUNT | None = None
    for_s: LASTS_S | None = None
    schedule: Recurrence | None = None
    why: WHY = ""


class ApproveRequest(RequestBody):
    """Let an action pass."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "agreed with the hotel"}]})

    why: WHY = ""


class RejectRequest(RequestBody):
    """Refuse an action; that is final."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"why": "the load is a test's"}]})

    why: Annotated[str, Field(min_length=1, max_length=500)]


class PreparationRequest(RequestBody):
    """Let a day's capacity stand ready."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"dry_run": True}]})

    why: WHY = ""
    dry_run: bool = False


WEDDING_TYPES = tuple(kind.value for kind in WeddingType)
