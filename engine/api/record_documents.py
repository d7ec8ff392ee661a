"""What earlier runs came to: the answer of `engine.api.routes.records`."""

from __future__ import annotations

from typing import Literal

from pydantic import ConfigDict

from engine.api.documents import Document, Figure


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
