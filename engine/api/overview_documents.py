"""What the answers look like that one page over everything needs.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from engine.api.decision_documents import DecisionDocument
from engine.api.documents import Document, Figure
from engine.api.metrics_documents import SampleDocument, WeddingsDocument
from engine.security.roles import Extent, Method, Permission, PlatformState, Role

MajorState = Literal["ready", "on_its_way", "late"]
Verification = Literal["not_carried_out", "under_way", "watched", "held", "overtaken", "taken_back"]


class PhaseDocument(Document):
    """How many of the booked events are in a phase now, as late as they usually run."""

    phase: str
    in_progress: float


class BookedAhead(Document):
    """Events in progress in each bin from now on; `major` are those among them that are major."""

    start_s: float
    bin_s: float
    events: list[float]
    major: list[float]


class OverviewWeddings(WeddingsDocument):
    """What is booked: now, by phase, and in the hours to come."""

    phases: list[PhaseDocument]
    ahead: BookedAhead


class CostDocument(Document):
    """USD/h and instances of all services, as desired, and the most that is allowed."""

    usd_per_hour: float
    budget_usd_per_hour: Figure
    instances: int
    quota: Figure


class StandingService(Document):
    """A service: what is asked of it, what it has, what it needs for that, what it costs."""

    desired: int
    ready: int
    booting: int
    draining: int
    min_instances: int
    max_instances: int
    carrying: int | None
    """Instances that carry the arrivals of the newest sample; null without one."""
    needed: int | None
    """The same with a zone to spare, where that is to be survived."""
    rate_per_instance: float
    slo_p95_s: float
    price_per_hour: float
    cost_per_hour: float
    user_facing: bool
    waited_for: bool
    """Whether users wait for it, directly or through another service."""
    stateful: bool
    wedding_floor: int
    sample_age_s: Figure
    sample: SampleDocument | None


class OverviewService(StandingService):
    """The same, with what people want of it and how serious it is."""

    floor: int
    """The highest floor of a person that holds, 0 for none."""
    paused: bool
    state: PlatformState


class ShortService(Document):
    """A service that has less than a group of major events needs."""

    service: str
    needed: int
    desired: int
    ready: int


class MajorGroup(Document):
    """Major events that begin in the same half hour, and whether the capacity for them stands.

    Of the services that users wait for: `ready`: all have what is needed; `on_its_way`: it is
    booting, or not due yet; `late`: it is due and nothing brings it.
    """

    at_s: float
    due_s: float
    """From when on the engine lets the capacity stand."""
    events: float
    needed: int
    ready: int
    state: MajorState
    short: list[ShortService]


class OverviewDocument(Document):
    """How it stands with everything that whoever asks may see."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "last_updated_s": 1781870400.0,
                    "step": 7,
                    "weddings": {
                        "noun": "weddings",
                        "in_progress": 812.4,
                        "major_in_progress": 3.0,
                        "next_peak": 990.1,
                        "next_peak_at_s": 1781874000.0,
                        "protection": True,
                        "known_until_s": 1781956800.0,
                        "phases": [{"phase": "ceremony", "in_progress": 203.5}],
                        "ahead": {
                            "start_s": 1781870400.0,
                            "bin_s": 60.0,
                            "events": [812.4, 813.0],
                            "major": [3.0, 3.0],
                        },
                    },
                    "cost": {
                        "usd_per_hour": 38.4,
                        "budget_usd_per_hour": None,
                        "instances": 96,
                        "quota": 500.0,
                    },
                    "services": {},
                    "majors": [],
                }
            ]
        },
    )

    last_updated_s: float
    step: int
    weddings: OverviewWeddings
    cost: CostDocument
    services: dict[str, OverviewService]
    majors: list[MajorGroup]


class WhoDocument(Document):
    """Whom the request shows, and what he may do, by what it is about and how it stands there.

    `what_if` says whether he may try the next hours out, and there is something to do it with.

    Besides, who is limited to some `services` may nothing elsewhere, nor for the platform.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "name": "pat",
                    "roles": ["viewer"],
                    "method": "token",
                    "services": None,
                    "expires_s": 1784462400.0,
                    "may": {"platform": {"calm": ["look"]}},
                    "what_if": False,
                }
            ]
        },
    )

    name: str
    roles: list[Role]
    method: Method
    services: list[str] | None
    expires_s: Figure
    may: dict[Extent, dict[PlatformState, list[Permission]]]
    what_if: bool


class VerificationDocument(Document):
    """Whether an action helped: `until_s` is when it is judged, `by` the decision that undid it."""

    state: Verification
    until_s: Figure
    by: str


class TakenBackTo(Document):
    """The count that a rollback goes to."""

    service: str
    instances: int | None


class BackgroundDocument(Document):
    """What stands behind an action."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={"examples": [{"verification": {"state": "held", "until_s": None,
                                                          "by": ""}}]},
    )  # fmt: skip

    decision: DecisionDocument
    wanted: list[DecisionDocument]
    """What the rules recommended for the service in the same step, taken or not."""
    rollback_plan: TakenBackTo
    verification: VerificationDocument
