"""What all answers and requests share, for the OpenAPI document and for clients.

What each is like is in the module of its topic, `engine.api.*_documents`.

Answers are encoded as they are made, without passing through these; the tests hold them against
each other.  Times ending in `_s` are epoch seconds (UTC), figures that are not known are null.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.config.strict import Strict

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


class BookingsAge(Document):
    """How fresh the outlook is: how many events are known, when their source was read and changed.

    Times are epoch seconds, null for never; of a listing that was not believed nothing was read.
    """

    events: int
    read_s: float | None
    changed_s: float | None


class TroublesDocument(Document):
    """What does not work now, by source, and how fresh is what the engine goes by.

    `counted_s`: when the counts of each service were taken that the newest step went by, where the
    infrastructure can tell; one that is not counted any more keeps the time of its last count.
    """

    as_of_s: float
    troubles: dict[str, list[str]]
    bookings: BookingsAge | None = None
    counted_s: dict[str, float] = Field(default_factory=dict)


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


class RequestBody(Strict):
    """What somebody asks for: as strict as a configuration."""

    model_config = ConfigDict(defer_build=False)  # FastAPI would build it under another name
