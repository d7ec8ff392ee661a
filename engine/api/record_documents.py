"""What earlier runs came to: the answer of `engine.api.routes.records`."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from engine.api.decision_documents import DecisionDocument
from engine.api.documents import Document, Figure
from engine.api.overview_documents import CostDocument, PhaseDocument, StandingService


class RecordDocument(Document):
    """One run record: `figures` by their paths in `summary.json`, null where there was nothing."""

    id: str
    """Its folder below the output folder."""
    scenario: str
    controller: str
    world: Literal["twin", "live"]
    seed: int
    started_at: str
    partial: bool
    """Whether it ended before it was over."""
    figures: dict[str, Figure]


class RecordList(Document):
    """The newest records, the newest first; `unreadable` more are there that cannot be read."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "items": [
                        {
                            "id": "june_peak/20270619T180000Z-engine-live",
                            "scenario": "june_peak",
                            "controller": "engine",
                            "world": "live",
                            "seed": 1,
                            "started_at": "2027-06-19T18:00:00+00:00",
                            "partial": False,
                            "figures": {"slo.violation_ratio": 0.0004, "cost.total_usd": 1078.5},
                        }
                    ],
                    "unreadable": 0,
                }
            ]
        },
    )

    items: list[RecordDocument]
    unreadable: int


class RecordedAhead(Document):
    """Events in progress in each bin of the two hours after, as far as the record reaches."""

    start_s: float
    bin_s: float
    events: list[float]


class RecordedWeddings(Document):
    """Events in progress, in all and by phase: as they were (`twin`), or as booked (`live`)."""

    noun: str
    in_progress: Figure
    phases: list[PhaseDocument]
    ahead: RecordedAhead


class RecordedOverview(Document):
    """How all stood at a moment of a run, as far as its record holds it."""

    last_updated_s: float
    weddings: RecordedWeddings
    cost: CostDocument
    services: dict[str, StandingService]


class RecordHour(Document):
    """A moment of a run that is over, and its hour; the run reaches from `from_s` to `until_s`.

    `series` are of one `service`; `more` actions of the hour were decided than are shown.
    """

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {
                    "id": "june_peak/20270619T180000Z-engine-live",
                    "scenario": "june_peak",
                    "controller": "engine",
                    "world": "live",
                    "partial": False,
                    "from_s": 1813428005.0,
                    "until_s": 1813435200.0,
                    "overview": {
                        "last_updated_s": 1813435200.0,
                        "weddings": {
                            "noun": "weddings",
                            "in_progress": 812.0,
                            "phases": [],
                            "ahead": {"start_s": 1813435200.0, "bin_s": 60.0, "events": [812.0]},
                        },
                        "cost": {
                            "usd_per_hour": 38.4,
                            "budget_usd_per_hour": None,
                            "instances": 96,
                            "quota": None,
                        },
                        "services": {},
                    },
                    "service": "api",
                    "series": {"time_s": [1813431660.0], "request_rate": [13980.8]},
                    "decisions": [],
                    "more": 0,
                }
            ]
        },
    )

    id: str
    scenario: str
    controller: str
    world: Literal["twin", "live"]
    partial: bool
    from_s: float
    until_s: float
    overview: RecordedOverview
    service: str
    series: dict[str, list[Figure]]
    decisions: list[DecisionDocument]
    more: int
