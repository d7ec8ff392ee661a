"""What is measured, expected and short of: the answers of `engine.api.routes.metrics`.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Literal

from engine.api.documents import Document, Figure
from engine.security.roles import PlatformState


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
