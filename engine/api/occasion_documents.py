"""Occasions: what is in no calendar, what it would take, and whether it stands ready.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from engine.api.documents import NAME, WHY, Document, RequestBody
from engine.ports.occasions import LONGEST_RAMP_S, MOST_TIMES, OccasionState


class OccasionStep(Document):
    """A step that it would take: asked for at `at_s`, in service by `ready_s`."""

    at_s: float
    service: str
    from_instances: int
    to_instances: int
    ready_s: float


class OccasionService(Document):
    """What one service needs for it at its highest, without it, and has now."""

    needed: int
    usual: int
    desired: int
    ready: int


class OccasionPreviewDocument(Document):
    """What it takes on top of what is expected anyway; less is known than comes if not `is_known`.

    `cost_usd` is for the instances that are needed besides; `is_ready` says whether all of them
    stand ready now.
    """

    services: dict[str, OccasionService]
    steps: list[OccasionStep]
    cost_usd: float
    is_known: bool
    is_ready: bool


class PastOccasion(Document):
    """What came of an earlier one of the same name: times the usual load, by service."""

    id: str
    starts_s: float
    expected: dict[str, float]
    came: dict[str, float]


class OccasionDocument(Document):
    """One occasion; `preview` is null for one that is over or was taken back.

    `came` is how many times the usual load came, null as long as it is not over; `past` are earlier
    ones of the same name, newest first.
    """

    id: str
    name: str
    times: dict[str, float]
    starts_s: float
    ends_s: float
    sure: float
    ramp_s: float
    status: OccasionState
    requested_by: str
    approved_by: str
    ended_by: str
    why: str
    preview: OccasionPreviewDocument | None
    came: dict[str, float] | None
    past: list[PastOccasion]


class OccasionList(Document):
    """All that are to come, and those that were over or taken back within thirty days."""

    as_of_s: float
    items: list[OccasionDocument]


class OccasionRequest(RequestBody):
    """What is expected, when, and how sure somebody is of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"name": "TV spot", "times": {"api": 3, "real-time": 2.5},
                 "starts_s": 1813430700, "ends_s": 1813432500, "sure": 0.8}
            ]
        }
    )  # fmt: skip

    name: NAME
    times: Annotated[
        dict[NAME, Annotated[float, Field(gt=1.0, le=MOST_TIMES)]],
        Field(min_length=1, max_length=200, description="Times the usual load, by service"),
    ]
    starts_s: float
    ends_s: float
    sure: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0
    ramp_s: Annotated[float, Field(ge=0.0, le=LONGEST_RAMP_S)] = 300.0
    dry_run: Annotated[bool, Field(description="Say what it would take, and nothing more")] = False
    why: WHY = ""


class OccasionReason(RequestBody):
    """Why somebody approves it."""

    why: WHY = ""
