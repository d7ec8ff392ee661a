"""Services, and what people keep them at: floors and pauses.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from engine.api.documents import COUNT, LASTS_S, NAME, WHY, Document, Figure, RequestBody
from engine.config.recurrence import Recurrence
from engine.model import Direction
from engine.security.roles import PlatformState


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
