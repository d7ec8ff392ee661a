"""Monitoring sessions: what is watched, how often, since when.

As in `engine.api.documents`: times ending in `_s` are epoch seconds (UTC), figures that are not
known are null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from engine.api.documents import LASTS_S, NAME, WHY, Document, Figure, RequestBody
from engine.monitoring.sessions import LEAST_S, MOST_S, STEP_S


class SessionDocument(Document):
    """One session; no `services` are all of them, no `kinds` are all kinds of findings."""

    id: str
    services: list[str]
    every_s: float
    kinds: list[str]
    since_s: float
    until_s: Figure
    status: Literal["running", "ended"]
    requested_by: str
    ended_by: str
    why: str
    looks: int
    looked_s: Figure


class SessionList(Document):
    """All that run, and those that ended within a day; what is `unwatched` no session watches."""

    as_of_s: float
    unwatched: list[str]
    items: list[SessionDocument]


class SessionRequest(RequestBody):
    """What to watch, how often, and for how long."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"services": ["api"], "every_s": 10, "kinds": ["errors", "response_time"],
                 "for_s": 7200}
            ]
        }
    )  # fmt: skip

    services: Annotated[
        list[NAME], Field(max_length=200, description="Names; without one: all services")
    ] = []  # noqa: RUF012 (frozen)
    every_s: Annotated[
        float, Field(ge=LEAST_S, le=MOST_S, multiple_of=STEP_S, description="Between two looks")
    ] = STEP_S
    kinds: Annotated[
        list[NAME],
        Field(max_length=50, description="Of findings, as in the catalogue; without one: all"),
    ] = []  # noqa: RUF012 (frozen)
    for_s: LASTS_S | None = None
    why: WHY = ""
