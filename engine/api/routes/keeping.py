"""Samples that are kept: the series that a figure is made of, over a range of time."""

from __future__ import annotations

import math
from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import Response
from pydantic import BaseModel, Field
from pydantic_core import to_json

from engine.api.access import Context, Reader
from engine.api.answers import below, cursor_of, documented, duration_s
from engine.api.kept_documents import KeptRangeDocument
from engine.api.problems import FieldProblem, Problem, ProblemError, wrong
from engine.config.complaints import close
from engine.ingest.labels import read
from engine.ingest.settings import FIGURES

router = APIRouter(prefix="/api/scalability")

LAST_S = 4_102_444_800
"""2100; what is asked about lies before."""
HOUR_S, LEAST_STEP_S, MOST_STEP_S = 3600.0, 5.0, 86_400.0
MOST_STEPS = 1_500
MOST_POINTS = 50_000
"""Series × steps of one page."""


class KeptQuery(BaseModel):
    """Which kept samples are asked for."""

    service: str = Field(max_length=100, examples=["api"])
    figure: str = Field(
        max_length=100, description=f"One of {', '.join(FIGURES)}", examples=["cpu"]
    )
    begin: int = Field(
        0, alias="from", ge=0, le=LAST_S, description="Epoch seconds; 0: an hour before"
    )
    to: int = Field(0, ge=0, le=LAST_S, description="Epoch seconds; 0: now")
    step: str = Field("1m", max_length=12, description="Of each value: 5s … 1d, in steps of 5 s")
    limit: int = Field(100, ge=1, le=2_000, description="Series of a page")
    cursor: str = Field("", max_length=100, description="`next` of the page before")


@router.get(
    "/metrics/range",
    operation_id="metricsRange",
    summary="Kept samples of a figure's series",
    response_model=KeptRangeDocument,
    responses=documented(Problem.NOT_THERE, Problem.STORE),
)
async def metrics_range(
    context: Context, principal: Reader, asked: Annotated[KeptQuery, Query()]
) -> Response:
    """Smallest, largest, mean and count of each step, from memory and disk, whatever is finest."""
    service, figure = asked.service, asked.figure
    allowed = context.visible(principal)
    if service not in allowed:
        raise wrong("service", service, ", ".join(allowed), close(service, allowed))
    if figure not in FIGURES:
        raise wrong("figure", figure, ", ".join(FIGURES), close(figure, FIGURES))
    first, last, step_s = _steps(asked, context.clock_s())
    place = below(asked.cursor)
    if place is not None and place[0] != "n":
        raise wrong("cursor", asked.cursor, "`next` of the page before")
    skip = 0 if place is None else place[1]
    if context.kept is None:
        raise ProblemError(
            Problem.NOT_THERE, "this engine keeps no samples (metrics=received or metrics=scrape)"
        )
    most = max(min(asked.limit, MOST_POINTS // (last - first)), 1)
    step_ms = round(step_s * 1000.0)
    try:
        rows = await context.kept.kept(
            service, figure, first * step_ms, last * step_ms, step_ms=step_ms, skip=skip, most=most
        )
    except KeyError:
        raise ProblemError(Problem.NOT_THERE, f"no series makes the figure {figure} here") from None
    except (OSError, ValueError, RuntimeError) as error:
        raise ProblemError(Problem.STORE, f"kept samples cannot be read: {error}") from error
    content = {
        "service": service,
        "figure": figure,
        "step_s": step_s,
        "time_s": [step_s * k for k in range(first, last)],
        "items": [
            {
                "labels": dict(read(labels)),
                "smallest": rows.smallest[k].tolist(),
                "largest": rows.largest[k].tolist(),
                "mean": rows.mean[k].tolist(),
                "count": rows.count[k].tolist(),
            }
            for k, labels in enumerate(rows.labels)
        ],
        "next": cursor_of(skip + most) if rows.more else None,
    }
    # Ten times as fast as the library of the language, which counts with so many numbers.
    return Response(to_json(content, inf_nan_mode="null"), media_type="application/json")


def _steps(asked: KeptQuery, now_s: float) -> tuple[int, int, float]:
    """The first step asked for and the one after the last, counted in steps, and their length."""
    step_s = duration_s("step", asked.step, LEAST_STEP_S, MOST_STEP_S)
    if step_s % LEAST_STEP_S:
        raise wrong("step", asked.step, f"whole multiples of {LEAST_STEP_S:g}s")
    end_s = float(asked.to) if asked.to else now_s
    from_s = float(asked.begin) if asked.begin else end_s - HOUR_S
    first, last = math.floor(from_s / step_s), math.ceil(end_s / step_s)
    if not first < last:
        raise wrong("from", asked.begin, f"before to ({end_s:.0f})")
    if last - first > MOST_STEPS:
        detail = f"step: {last - first:,} steps are too many ({MOST_STEPS:,}); take longer ones"
        raise ProblemError(
            Problem.INVALID, detail, fields=[FieldProblem("step", detail, f"{MOST_STEPS:,} steps")]
        )
    return first, last, step_s
