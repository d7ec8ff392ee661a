"""What is asked of a trial of the hours to come, and what its answer looks like.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC) where they say when, and
seconds where they say how long; figures that are not known are null.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from engine.api.documents import NAME, Document, Figure, RequestBody
from engine.model import Direction

SHORT = Annotated[str, Field(max_length=100)]


class TriedLoad(RequestBody):
    """So many times the requests at one service."""

    service: NAME
    factor: Annotated[float, Field(ge=0.0, le=100.0)]


class TriedPause(RequestBody):
    """No scaling of a service, "": of all."""

    service: SHORT = ""
    direction: Direction = Direction.ALL


class TriedFloor(RequestBody):
    """At least so many instances of a service."""

    service: NAME
    instances: Annotated[int, Field(ge=1, le=10_000_000)]


class WhatIfRequest(RequestBody):
    """What is to be tried out, from a minute from now on; several at once are one change.

    Without any, what is planned is answered alone.
    """

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"load": {"service": "api", "factor": 3}, "for_s": 7200}]}
    )

    zone: SHORT = ""
    """That is lost."""
    load: TriedLoad | None = None
    pause: TriedPause | None = None
    floor: TriedFloor | None = None
    controller: SHORT = ""
    """That decides in place of the present one."""
    for_s: Annotated[float, Field(ge=600.0, le=14_400.0)] = 7200.0


class WhatIfChoices(Document):
    """What may be chosen; the first of `controllers` is the present one."""

    zones: list[str]
    controllers: list[str]
    services: list[str]
    took_s: float


class TriedService(Document):
    """One service in the hours that were tried out; `short_s` is with fewer than the load needs."""

    ready_least: int
    ready_most: int
    needed_most: int
    short_s: float
    late_s: float
    """So long its p95 was above its SLO."""
    p95_most_s: Figure
    slo_p95_s: float
    violation_ratio: float
    cost_usd: float


class TriedCurves(Document):
    """One service, point by point."""

    ready: list[Figure]
    needed: list[Figure]
    p95_s: list[Figure]


class TriedSeries(Document):
    """Point by point: the first is at `start_s`, each sums `step_s` up."""

    start_s: float
    step_s: float
    usd_per_hour: list[Figure]
    bad_share: list[float]
    """Of what users asked for: the share that failed or was late."""
    services: dict[str, TriedCurves]


class TriedBranch(Document):
    """How the hours went."""

    controller: str
    notes: list[str]
    cost_usd: float
    usd_per_hour_most: float
    violation_ratio: float
    """Of all that users asked for: the share that failed or was late."""
    actions: int
    services: dict[str, TriedService]
    series: TriedSeries


class WhatIfDocument(Document):
    """The hours to come as planned and, if anything was to be tried, as changed.

    `covered_until_s` is the end of what is booked: behind it the last load goes on.
    """

    as_of_s: float
    for_s: float
    after_s: float
    """So long from `as_of_s` the change begins."""
    covered_until_s: float
    plan: TriedBranch
    changed: TriedBranch | None
    took_s: float
    """Wall seconds that it took."""
