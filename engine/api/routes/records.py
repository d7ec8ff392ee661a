"""What earlier runs came to, to be compared."""

from __future__ import annotations

import asyncio
import functools
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from fastapi.responses import Response

from engine.api.access import Context, Reader
from engine.api.answers import documented, fresh
from engine.api.problems import Problem, ProblemError
from engine.api.record_documents import RecordHour, RecordList
from engine.api.recorded_hour import NotRecordedError
from engine.api.records import Records
from engine.api.routes.metrics import LAST_S
from engine.security.roles import visible

router = APIRouter(prefix="/api/scalability")
OF_SERVICE = "services."


@router.get(
    "/records",
    operation_id="records",
    summary="What earlier runs came to",
    response_model=RecordList,
    responses=documented(Problem.NOT_THERE, Problem.STORE),
)
async def records(context: Context, principal: Reader) -> Response:
    """The newest run records of the output folder with their headline figures, newest first.

    Who is limited to some services sees the figures of those and none of the platform's.
    """
    there = _there(context)
    newest, unreadable = await context.read(there.newest)
    items: list[dict[str, Any]] = []
    for one in newest:
        figures = dict(one.figures)
        if principal.services is not None:
            figures = {
                path: value for path, value in figures.items()
                if any(path.startswith(f"{OF_SERVICE}{name}.") for name in principal.services)
            }  # fmt: skip
        items.append(
            {
                "id": one.id, "scenario": one.scenario, "controller": one.controller,
                "world": one.world, "seed": one.seed, "started_at": one.started_at,
                "partial": one.partial, "figures": figures,
            }
        )  # fmt: skip
    return fresh({"items": items, "unreadable": unreadable})


Part = Annotated[str, Path(max_length=200, examples=["june_peak"])]


@router.get(
    "/records/{scenario}/{run}/hour",
    operation_id="recordHour",
    summary="A moment of an earlier run, and its hour",
    response_model=RecordHour,
    responses=documented(Problem.NOT_THERE),
)
async def record_hour(
    context: Context,
    principal: Reader,
    scenario: Part,
    run: Part,
    *,
    at: Annotated[
        int,
        Query(ge=0, le=LAST_S, description="A moment of the run (epoch s); without it: its last"),
    ] = 0,
    service: Annotated[
        str,
        Query(max_length=200, description="Of which the samples are; without: one users enter at"),
    ] = "",
) -> Response:
    """How all stood, what one service was asked for and what was done, from the run record.

    What `GET overview` says of now, as far as a record holds it.  A moment outside the run is its
    first or its last.
    """
    there = _there(context)

    of_mine = functools.partial(visible, principal)
    async with there.reading:
        try:
            document = await asyncio.to_thread(
                there.hour, f"{scenario}/{run}", float(at), service, of_mine
            )
        except NotRecordedError as error:
            raise ProblemError(
                Problem.NOT_THERE, f"the record {scenario}/{run}: {error}"
            ) from error
    return fresh(document)


def _there(context: Context) -> Records:
    if context.records is None:
        raise ProblemError(Problem.NOT_THERE, "this engine keeps no run records")
    return context.records
